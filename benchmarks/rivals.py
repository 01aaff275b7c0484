"""Inside the guest: our driver over VFIO beside the kernel's own, in one boot.

    python rivals.py nvme|ahci [ROUNDS [SECONDS]]

Both drive the same device of the same QEMU, one after the other and by turns; then programs use it
through our daemon, at the ring door and by the scheme's file.  Started by `benchmarks/run.py` on
the host; prints one JSON document.

An emulator flatters a driver that makes no system calls: interrupts and system calls are dear here.
The ratios say how the two compare under emulation, not on iron.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from load import DEPTH, Driver, series

from kernel_shim import bind
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.vfio import Claim, open_function

ADDRESS: Final = "0000:00:04.0"
ARENA: Final = 32 << 20
COMMAND: Final = [sys.executable, "-m", "redbear_host"]
RING_LOAD: Final = Path(__file__).resolve().parent.parent / "build/bench/ring_load"
MODULES: Final = {"nvme": ["nvme", "poll_queues=1"], "ahci": ["ahci"]}
REGION: Final = 64 << 20

PSYNC: Final = ["--ioengine=psync"]
LIBAIO: Final = ["--ioengine=libaio"]
IO_URING: Final = ["--ioengine=io_uring"]
POLLED: Final = [*IO_URING, "--hipri", "--fixedbufs", "--registerfiles"]


def main() -> None:
    """Measure by turns, print medians as JSON."""
    kind = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 2.0
    subprocess.run(["modprobe", *MODULES[kind]], check=True, timeout=60)
    if kind == "ahci":
        subprocess.run(["modprobe", "sd_mod"], check=True, timeout=60)
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for figures in (kernel, ours, scheme):
            for name, value in figures(kind, seconds):
                found.setdefault(name, []).append(value)
                print(f"{name}: {value:,.0f}", file=sys.stderr, flush=True)
    json.dump({name: median(values) for name, values in found.items()}, sys.stdout)


def kernel(kind: str, seconds: float) -> list[tuple[str, float]]:
    """Measure the kernel's driver with fio."""
    disk = wait_for_disk()
    engines = {"psync": PSYNC, "libaio": LIBAIO, "io_uring": IO_URING}
    if kind == "nvme":
        engines["io_uring polled"] = POLLED
    figures = []
    for engine, options in engines.items():
        for verb in ("read", "write"):
            for depth in (1, 16, DEPTH):
                if depth == 1 and engine == "libaio":
                    continue  # psync says it
                if depth > 1 and engine == "psync":
                    continue  # it cannot
                if depth == 16 and engine != "libaio":
                    continue
                value = fio(disk, verb, "4k", depth, options, seconds)
                figures.append((f"kernel {engine} {verb} 4k depth {depth}", value))
    for verb in ("read", "write"):
        value = fio(disk, verb, "1M", 4, IO_URING, seconds)
        figures.append((f"kernel io_uring {verb} 1024k depth 4", value))
    return figures


def fio(path: Path, verb: str, size: str, depth: int, options: list[str], seconds: float) -> float:
    """Run fio; return operations per second."""
    done = subprocess.run(
        ["fio", "--name=b", f"--filename={path}", f"--rw=rand{verb}", f"--bs={size}",
         f"--iodepth={depth}", "--direct=1", "--time_based", f"--runtime={seconds:g}",
         f"--size={REGION}", "--norandommap", "--randrepeat=1", "--output-format=json", *options],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    job: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    return float(job[verb]["iops"])


def ours(kind: str, seconds: float) -> list[tuple[str, float]]:
    """Measure our driver alone over VFIO, by interrupt and polled."""
    record = bind.plan(ADDRESS)
    bind.bind(record)
    figures = []
    try:
        for polled in (False, True):
            claim = Claim(ADDRESS, ARENA)
            grant, fds = claim.grant()
            function = open_function(grant, [os.dup(fd) for fd in fds])
            driver = Driver(kind, function, SystemClock(), polled)
            prefix = "driver polled" if polled else "driver interrupt"
            try:
                figures += [(f.name, f.per_second) for f in series(driver, seconds, prefix)]
            finally:
                driver.close()
                function.close()
                claim.release()
    finally:
        bind.restore(record)
    return figures


def scheme(kind: str, seconds: float) -> list[tuple[str, float]]:
    """Measure what programs see of our daemon: libredox ones by ring, plain ones through FUSE."""
    figures = served(seconds, "")
    if kind == "nvme":
        slow = served(seconds, "[daemon.nvmed]\nquick = false\n")
        figures += [(f"without quick, {name}", value) for name, value in slow]
    return figures


def served(seconds: float, settings: str) -> list[tuple[str, float]]:
    """Measure both doors of one instance."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(settings)
        file.flush()
        subprocess.run(
            [*COMMAND, "up", "--detach", "--config", file.name, "--device", ADDRESS],
            check=True, timeout=120, stdout=sys.stderr,
        )  # fmt: skip
    try:
        name = next(one for one in os.listdir("/scheme") if one.startswith("disk."))
        number = next(one for one in sorted(os.listdir(f"/scheme/{name}")) if one.isdigit())
        disk = Path("/scheme", name, number)
        figures = []
        for verb in ("read", "write"):
            for depth in (1, DEPTH):
                value = ring(name, number, verb, depth, seconds)
                figures.append((f"ring {verb} 4k depth {depth}", value))
            for engine, size, depth, options in (
                ("psync", "4k", 1, PSYNC),
                ("libaio", "4k", 16, LIBAIO),
                ("libaio", "4k", DEPTH, LIBAIO),
                ("psync", "1M", 1, PSYNC),
            ):
                value = fio(disk, verb, size, depth, options, seconds)
                figures.append((f"file {engine} {verb} {size} depth {depth}", value))
        return figures
    finally:
        subprocess.run([*COMMAND, "down"], check=True, timeout=60, stdout=sys.stderr)


def ring(name: str, number: str, verb: str, depth: int, seconds: float) -> float:
    """Keep `depth` requests of a C program in the daemon's ring."""
    argv = [str(RING_LOAD), name, number, verb, "4096", str(depth), f"{seconds:g}"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120)
    return float(done.stdout)


def wait_for_disk() -> Path:
    """Let udev's or devtmpfs's node of the device's disk appear."""
    subprocess.run(["udevadm", "settle"], check=False, timeout=30)
    for _ in range(1000):
        for entry in Path("/sys/class/block").iterdir():
            node = Path("/dev", entry.name)
            whole = not (entry / "partition").exists()
            if whole and f"/{ADDRESS}/" in os.path.realpath(entry) and node.is_block_device():
                return node
        subprocess.run(["sleep", "0.01"], check=True)
    raise FileNotFoundError(f"no disk at {ADDRESS}")


if __name__ == "__main__":
    main()
