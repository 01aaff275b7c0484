"""nvmed's driver alone: 4 KiB at depth 1 and 32, 1 MiB, by interrupt and polled.

    python benchmarks/nvme_driver.py                 what Python costs per command, nothing else
    python benchmarks/nvme_driver.py --lab null      on QEMU's model by qtest, no disk behind it
    python benchmarks/nvme_driver.py --lab file      the same, a file behind it
    python benchmarks/nvme_driver.py --device BDF    by VFIO on a spare device: WRITES ALL OVER IT
    python benchmarks/nvme_driver.py --json          figures for programs

Without a device the controller is an echo that completes whatever is submitted the moment the
doorbell rings; its own time is measured alone and subtracted.  `--sketch` adds the least a loop in
Python can do with a ring (no checks, no table of commands, nobody to call) for comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from load import Driver, Figure, series

from daemons.nvmed.driver import Controller
from kernel_shim import bind
from redbear_host.hw import qtest, vfio
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind, PciFunction
from redbear_host.lab.machine import Machine
from redbear_host.models.clock import FakeClock
from redbear_host.models.function import Slot
from redbear_host.models.nvme import Media, NvmeModel

SIZE: Final = 256 << 20  # of the lab's disk
ARENA: Final = 32 << 20
DEPTHS: Final = (1, 31)
ENTRIES: Final = 64
COMMANDS: Final = 31 * 64  # per round
TAIL, HEAD = 0x1008, 0x100C


class Echo(NvmeModel):
    """A controller whose I/O queue completes everything at once and moves no data."""

    def __init__(self) -> None:
        super().__init__({1: Media(blocks=1 << 20)}, FakeClock(), entries=ENTRIES)
        self._head = self._at = 0
        self._phase = 1

    def write(self, offset: int, value: int, width: int, /) -> None:
        """Take a doorbell of the I/O queue; leave the rest to the model."""
        if offset == TAIL:
            self.echo(value)
        elif offset != HEAD:
            super().write(offset, value, width)

    def begin_echo(self, sq: memoryview, cq: memoryview) -> None:
        """Find the rings, as 16-bit words."""
        self._sq, self._cq = sq.cast("H"), cq.cast("H")

    def echo(self, tail: int) -> None:
        """Complete what lies before `tail`."""
        sq, cq, head, at, phase = self._sq, self._cq, self._head, self._at, self._phase
        while head != tail:
            cq[8 * at + 6] = sq[32 * head + 1]
            head = (head + 1) % ENTRIES
            cq[8 * at + 4] = head
            cq[8 * at + 5] = 1
            cq[8 * at + 7] = phase
            at += 1
            if at == ENTRIES:
                at = 0
                phase ^= 1
        self._head, self._at, self._phase = head, at, phase


def echo_driver() -> tuple[Echo, Controller]:
    """Start the driver on an echo."""
    model = Echo()
    slot = Slot(model)
    function = slot.open()
    function.enable_interrupts(InterruptKind.MSIX, 2)
    controller = Controller(function, FakeClock(), vectors=2, polled=True, depth=ENTRIES)
    controller.start()
    rings = []
    for base, size in ((model.sqs[1].base, 64), (model.cqs[1].base, 16)):
        memory = slot.memory(base, ENTRIES * size, "echoing")
        if memory is None:
            raise ValueError("the driver's rings are not where it said")
        rings.append(memory)
    model.begin_echo(*rings)
    # The window's checks are the model's, not the driver's: let doorbells go straight through.
    for pair in controller._lanes.pairs:
        pair._write = lambda offset, value: model.echo(value) if offset == TAIL else None  # type: ignore[misc]
    return model, controller


def least(run: Callable[[], None], rounds: int = 200) -> float:
    """Return the least time `run` took, per command, in nanoseconds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter_ns()
        run()
        best = min(best, time.perf_counter_ns() - began)
    return best / COMMANDS


def cost(depth: int, many: bool) -> float:
    """Nanoseconds of Python per 4 KiB read at `depth`, submission to `Done`, echo subtracted."""
    model, controller = echo_driver()
    disk = controller.namespaces[0]
    chunks = [disk.chunk(4096) for _ in range(depth)]
    lbas = [n * 8 for n in range(depth)]
    ended: list[int] = []
    done = ended.append
    dones = [done] * depth
    pairs = list(zip(lbas, chunks, strict=True))
    read, read_many, flush, poll = disk.read, disk.read_many, disk.flush_queue, controller.poll

    def singly() -> None:
        for _ in range(COMMANDS // depth):
            for lba, chunk in pairs:
                read(lba, 8, chunk, done)
            flush()
            poll()

    def together() -> None:
        for _ in range(COMMANDS // depth):
            read_many(lbas, 8, chunks, dones)
            flush()
            poll()

    def device() -> None:
        tail = model._head
        for _ in range(COMMANDS // depth):
            tail = (tail + depth) % ENTRIES
            model.echo(tail)

    nanoseconds = least(together if many else singly)
    if any(ended) or len(ended) % COMMANDS:
        raise ValueError("the echo does not answer every command")
    return nanoseconds - least(device)


def sketch(depth: int) -> float:
    """Nanoseconds per 4 KiB read of a loop with a ring and nothing else, echo subtracted."""
    model, _ = echo_driver()
    memory = memoryview(bytearray(ENTRIES * 80))
    sq, cq = memory[: ENTRIES * 64], memory[ENTRIES * 64 :]
    model.begin_echo(sq, cq)
    model._head = model._at = 0
    model._phase = 1
    store, words = struct.Struct("<BBHIQQQQIIIIII").pack_into, cq.cast("H")
    tail = head = number = 0
    phase = 1

    def loop() -> None:
        nonlocal tail, head, phase, number
        for _ in range(COMMANDS // depth):
            for _ in range(depth):
                address = 0x1000_0000 + 4096 * (number % ENTRIES)
                lba = number * 8 & 0x1FFF8
                store(sq, 64 * tail, 2, 0, number & 0xFFFF, 1, 0, 0, address, 0, lba, 0, 7, 0, 0, 0)
                tail = tail + 1 & ENTRIES - 1
                number += 1
            model.echo(tail)
            while words[8 * head + 7] & 1 == phase:
                head += 1
                if head == ENTRIES:
                    head = 0
                    phase ^= 1

    def device() -> None:
        tail = model._head
        for _ in range(COMMANDS // depth):
            tail = (tail + depth) % ENTRIES
            model.echo(tail)

    return least(loop) - least(device)


@contextmanager
def lab(backing: str) -> Iterator[Callable[[], PciFunction]]:
    """QEMU's NVMe model over null-co or a file; offers a function to open."""
    with tempfile.TemporaryDirectory() as folder:
        node: dict[str, object] = {"driver": "null-co", "size": SIZE, "read-zeroes": False}
        if backing == "file":
            path = Path(folder, "disk.img")
            with path.open("wb") as file:
                file.truncate(SIZE)
            node = {"driver": "file", "filename": str(path)}
        told = ["-blockdev", json.dumps(node | {"node-name": "d0"})]
        told += ["-device", "nvme,serial=BENCH,drive=d0,mdts=8,addr=4"]
        with Machine(told) as machine:
            yield lambda: qtest.open_function(*machine.functions[0].copy())


@contextmanager
def device(address: str) -> Iterator[Callable[[], PciFunction]]:
    """Take a real function by VFIO for as long as it takes."""
    record = bind.plan(address)
    bind.bind(record)
    try:
        claim = vfio.Claim(address, ARENA)
        try:
            grant, fds = claim.grant()
            yield lambda: vfio.open_function(grant, [os.dup(fd) for fd in fds])
        finally:
            claim.release()
    finally:
        bind.restore(record)


def measured(opened: Callable[[], PciFunction], seconds: float) -> Iterator[Figure]:
    """Measure by interrupt, then polled."""
    for polled in (False, True):
        function = opened()
        try:
            driver = Driver("nvme", function, SystemClock(), polled)
            try:
                yield from series(driver, seconds, "polled" if polled else "interrupt")
            finally:
                driver.close()
        finally:
            function.close()


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--lab", choices=("null", "file"), help="QEMU's model by qtest")
    where.add_argument("--device", metavar="BDF", help="a device by VFIO; its data is destroyed")
    parser.add_argument("--seconds", type=float, default=2.0, help="per figure")
    parser.add_argument("--sketch", action="store_true", help="compare with the least there is")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    rows: dict[str, float] = {}
    if args.lab or args.device:
        with lab(args.lab) if args.lab else device(args.device) as opened:
            for figure in measured(opened, args.seconds):
                rows[figure.name] = figure.per_second
        unit = "operations per second"
    else:
        for depth in DEPTHS:
            rows[f"read, one call each, depth {depth}"] = cost(depth, many=False)
            rows[f"read_many, depth {depth}"] = cost(depth, many=True)
            if args.sketch:
                rows[f"bare loop, depth {depth}"] = sketch(depth)
        unit = "nanoseconds of Python per command"
    if args.json:
        json.dump({"unit": unit, "figures": rows}, sys.stdout, indent=1)
        print()
        return
    print(f"{unit}:")
    for name, value in rows.items():
        print(f"  {name:34} {value:12,.0f}")


if __name__ == "__main__":
    main()
