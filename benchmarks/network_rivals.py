"""Inside the guest: e1000d beside the kernel's e1000 with pktgen, and DPDK's testpmd, in one boot.

All drive the same 82540EM of the same QEMU, one after the other and by turns.  Started by
`benchmarks/network.py` on the host; prints one JSON document.

What is sent ends at a hub with nobody else.  What is received comes from a program on the host
(`blast.c`), which waits whenever the card has no room: each receiver gets what it can take.

    python network_rivals.py [rounds]              frames per second, medians
    python network_rivals.py instructions          per frame, where the clock counts them
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from e1000_driver import device, frame, loop, send

from daemons.e1000d.driver import Card, Wishes
from kernel_shim import bind
from kernel_shim.rundir import RunDir
from kernel_shim.service import Service
from kernel_shim.supervisor import Supervisor
from kernel_shim.take import take
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind
from redbear_host.manifest import installed, named

SENDER: Final = "0000:00:04.0"
RECEIVER: Final = "0000:00:05.0"
SIZE: Final = 60
SECONDS: Final = 1.5
SETTLE: Final = 1.2  # QEMU holds back what comes for a second after a card has started
BATCH: Final = 128
PKTGEN: Final = Path("/proc/net/pktgen")
TESTPMD: Final = ["stdbuf", "-o0", "dpdk-testpmd", "-n", "1", "--no-telemetry"]
SCHEME: Final = "network.bench"

Rows = list[tuple[str, float]]


# -- the kernel's driver ---------------------------------------------------------------------------


def interface(address: str) -> str:
    """Wait for Linux's driver; return its interface's name."""
    folder = Path("/sys/bus/pci/devices") / address / "net"
    for _ in range(1000):
        if folder.is_dir() and (names := os.listdir(folder)):
            return names[0]
        time.sleep(0.01)
    raise FileNotFoundError(folder)


def pktgen(address: str, clone: int, count: int) -> float:
    """Send by the kernel's packet generator; return frames per second."""
    name = interface(address)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    carrier = Path("/sys/class/net") / name / "carrier"
    until(lambda: carrier.read_text() == "1\n")
    thread = PKTGEN / "kpktgend_0"
    thread.write_text(f"add_device {name}\n")
    try:
        for word in (
            f"count {count}", f"pkt_size {SIZE}", "delay 0", f"clone_skb {clone}",
            "dst_mac 52:54:00:00:00:01", "dst 192.0.2.1",
        ):  # fmt: skip
            (PKTGEN / name).write_text(f"{word}\n")
        (PKTGEN / "pgctrl").write_text("start\n")
        until(lambda: "Result: OK" in (PKTGEN / name).read_text())  # it may not have begun yet
        said = (PKTGEN / name).read_text()
    finally:
        thread.write_text("rem_device_all\n")
        subprocess.run(["ip", "link", "set", name, "down"], check=True)
    found = re.search(r"(\d+)pps", said)
    if found is None or found[1] == "0":
        raise ValueError(said)
    return float(found[1])


def kernel_receives(address: str) -> float:
    """Count what Linux's driver receives in a while; the stack throws it away."""
    name = interface(address)
    counter = Path("/sys/class/net") / name / "statistics/rx_packets"
    subprocess.run(["ip", "link", "set", name, "up", "promisc", "on"], check=True)
    try:
        carrier = Path("/sys/class/net") / name / "carrier"
        until(lambda: carrier.read_text() == "1\n")
        time.sleep(SETTLE)
        return window(lambda: int(counter.read_text()))
    finally:
        subprocess.run(["ip", "link", "set", name, "down", "promisc", "off"], check=True)


# -- DPDK ------------------------------------------------------------------------------------------


@contextmanager
def bound(address: str) -> Iterator[None]:
    """Give the card to vfio-pci, and back."""
    record = bind.plan(address)
    bind.bind(record)
    try:
        yield
    finally:
        bind.restore(record)


def testpmd(address: str, mode: str, lcores: str) -> float:
    """Let DPDK's own test program send or receive; return frames per second."""
    told = [*TESTPMD, "--lcores", lcores, "-a", address, "--", "-i", f"--forward-mode={mode}"]
    with bound(address), subprocess.Popen(
        [*told, f"--txpkts={SIZE}", "--nb-cores=1", "--total-num-mbufs=16384"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        if process.stdin is None or process.stdout is None:
            raise BrokenPipeError
        into, out = process.stdin.fileno(), process.stdout.fileno()

        def answered() -> str:
            said = b""
            while b"testpmd> " not in said:
                more = os.read(out, 65536)
                if not more:
                    raise EOFError(said.decode())
                said += more
            return said.decode()

        def asked(line: str) -> str:
            os.write(into, f"{line}\n".encode())
            return answered()

        def count() -> int:
            said = asked("show port stats 0")
            found = re.search(rf"{'TX' if mode == 'txonly' else 'RX'}-packets: (\d+)", said)
            if found is None:
                raise ValueError(said)
            return int(found[1])

        answered()
        asked("set promisc all on")
        asked("start")
        time.sleep(SETTLE)
        rate = window(count)
        os.write(into, b"stop\nquit\n")
        process.stdout.read()
        return rate


# -- ours ------------------------------------------------------------------------------------------


@contextmanager
def started(address: str) -> Iterator[Card]:
    """Start our driver on a card, alone."""
    with device(address) as function:
        function.enable_interrupts(InterruptKind.INTX, 1)
        card = Card(function, SystemClock(), Wishes(receive=512, transmit=512), InterruptKind.INTX)
        card.start()
        try:
            yield card
        finally:
            card.stop()


def driver_sends(count: int) -> Rows:
    """Measure our driver alone."""
    with started(SENDER) as card:
        content = frame(card.mac, SIZE)
        return [
            ("ours frame by frame", send(card, count, 1, content, copy=True)),
            ("ours batch", send(card, count, BATCH, content, copy=False)),
            ("ours batch, copied", send(card, count, BATCH, content, copy=True)),
        ]


def driver_receives() -> Rows:
    """Measure our driver alone, receiving."""
    with started(RECEIVER) as card:
        card.set_promiscuous(True)
        time.sleep(SETTLE)
        return [
            ("ours receive frame by frame", taken_in(card, 1)),
            ("ours receive batch", taken_in(card, BATCH)),
        ]


def taken_in(card: Card, batch: int) -> float:
    """Receive for `SECONDS`, looking for at most `batch` frames at a time."""
    received, release, clock = card.received, card.release, time.perf_counter
    came = 0
    began = clock()
    while clock() < began + SECONDS:
        for _ in range(16):
            frames = received(batch)
            if frames:
                release(len(frames))
                came += len(frames)
    return came / (clock() - began)


@contextmanager
def served(address: str) -> Iterator[Path]:
    """Serve a card by e1000d, and nothing else; client and daemon share a processor.

    With two, what is measured is how long QEMU takes to wake one of them.
    """
    os.sched_setaffinity(0, {0})
    with tempfile.TemporaryDirectory() as folder:
        supervisor = Supervisor(RunDir(Path(folder, "run")), Path(folder, "scheme"))
        os.environ["REDBEAR_RINGS"] = f"{folder}/run/ring"
        os.environ["REDBEAR_SCHEME"] = f"{folder}/scheme"
        supervisor.open()
        try:
            holding = supervisor.hold(address)
            taken = take(address, holding.note_binding)
            holding.keep(taken)
            manifest = named("e1000d", installed())
            options = {name: option.default for name, option in manifest.options.items()}
            supervisor.start(
                Service(
                    name="e1000d",
                    module=manifest.module,
                    schemes=(SCHEME,),
                    device=taken,
                    policy=manifest.policy(options, "vfio"),
                    options=options,
                )
            )
            yield Path(folder, "scheme", SCHEME)
        finally:
            supervisor.close()
            os.sched_setaffinity(0, range(os.cpu_count() or 1))


def doors_send(count: int) -> Rows:
    """Measure sending through e1000d's two doors."""
    from redbear_host.client.frames import Frames

    rows: Rows = []
    with served(SENDER) as scheme:
        content = frame((scheme / "mac").read_bytes()[:6], SIZE)
        fd = os.open(scheme / "data", os.O_WRONLY)
        write = os.write
        began = time.perf_counter()
        for _ in range(count // 20):
            write(fd, content)
        rows.append(("scheme file", count // 20 / (time.perf_counter() - began)))
        os.close(fd)
        batch = [content] * BATCH
        with Frames(f"/scheme/{SCHEME}") as card:
            card.send(batch)
            began = time.perf_counter()
            for _ in range(count // BATCH):
                card.send(batch)
            rows.append(("ring batch", count // BATCH * BATCH / (time.perf_counter() - began)))
    return rows


def doors_receive() -> Rows:
    """Measure receiving through e1000d's two doors."""
    from redbear_host.client.frames import Frames

    with served(RECEIVER) as scheme:
        fd = os.open(scheme / "data", os.O_RDONLY)
        read = os.read
        time.sleep(SETTLE)
        file = for_a_while(lambda: bool(read(fd, 2048)))
        os.close(fd)
        with Frames(f"/scheme/{SCHEME}") as card:
            ring = for_a_while(lambda: len(card.receive()))
    return [("scheme file receive", file), ("ring batch receive", ring)]


def for_a_while(work: Callable[[], int]) -> float:
    """Do it over and over for `SECONDS`; return the sum of what it returns, per second."""
    done = 0
    clock = time.perf_counter
    began = clock()
    while clock() < began + SECONDS:
        done += work()
    return done / (clock() - began)


# -- the rest --------------------------------------------------------------------------------------


def until(done: Callable[[], bool]) -> None:
    """Wait, but not for ever."""
    deadline = time.monotonic() + 60
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


def window(count: Callable[[], int]) -> float:
    """Return how much a counter grows in a second, over `SECONDS`."""
    before, began = count(), time.perf_counter()
    time.sleep(SECONDS)
    after, ended = count(), time.perf_counter()
    return (after - before) / (ended - began)


def by_turns(rounds: int) -> dict[str, float]:
    """Measure all, `rounds` times; return medians."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        rows: Rows = [
            ("kernel pktgen", pktgen(SENDER, 0, 50_000)),
            ("kernel pktgen, cloned", pktgen(SENDER, 64, 50_000)),
            *driver_sends(500_000),
            ("DPDK txonly", testpmd(SENDER, "txonly", "0,1")),
            *doors_send(100_000),
        ]
        rows += [
            ("kernel receive", kernel_receives(RECEIVER)),
            *driver_receives(),
            ("DPDK rxonly", testpmd(RECEIVER, "rxonly", "0@0,1@0")),
            *doors_receive(),
        ]
        for name, value in rows:
            found.setdefault(name, []).append(value)
    return {name: median(values) for name, values in found.items()}


def instructions() -> dict[str, float]:
    """Measure what a frame costs, where a nanosecond is an instruction."""
    rows: Rows = [
        ("kernel pktgen", pktgen(SENDER, 0, 20_000)),
        ("kernel pktgen, cloned", pktgen(SENDER, 64, 20_000)),
    ]
    # For good: each change of drivers starts programs, and while they wait the clock runs away.
    bind.bind(bind.plan(SENDER))
    rows += [
        *driver_sends(50_000),
        ("DPDK txonly", testpmd(SENDER, "txonly", "0@0,1@0")),
    ]
    with started(SENDER) as card:
        looped = loop(card, 20_000, BATCH, frame(card.mac, SIZE))
        rows += [("ours receive batch", v) for name, v in looped.items() if "received" in name]
    return {name: 1e9 / value for name, value in rows}


def main() -> None:
    """Do what the arguments ask for."""
    words = sys.argv[1:]
    Path("/proc/sys/vm/nr_hugepages").write_text("128\n")
    Path("/dev/hugepages").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "hugetlbfs", "none", "/dev/hugepages"], check=True)
    subprocess.run(["modprobe", "pktgen"], check=True)
    found = instructions() if words[:1] == ["instructions"] else by_turns(int((words or "3")[0]))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
