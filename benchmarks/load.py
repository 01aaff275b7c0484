"""A closed loop on one disk, by its driver alone: so many commands in flight, for so many seconds.

Used on every machine (qtest, VFIO), so that their figures mean the same.
"""

from __future__ import annotations

import random
import select
import time
from dataclasses import dataclass
from typing import Any, Final, Protocol

from daemons.ahcid.disk import AtaDisk
from daemons.ahcid.driver import Controller as AhciController
from daemons.nvmed.driver import Controller as NvmeController
from redbear_host.errors import DeviceError
from redbear_host.hw.ports import Clock, InterruptKind, PciFunction

DEPTH: Final = 32  # as many commands as a SATA disk takes

_PATIENCE_S: Final = 10.0
_ADDRESSES: Final = 4096  # random addresses drawn in advance, a power of two


@dataclass(frozen=True)
class Figure:
    """One measurement."""

    name: str
    per_second: float
    bytes_each: int

    @property
    def mib_per_second(self) -> float:
        """Throughput."""
        return self.per_second * self.bytes_each / (1 << 20)


class Controller(Protocol):
    """What nvmed's and ahcid's controllers have in common."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def poll(self, looks: int = 1) -> int: ...
    def flush_queue(self) -> None: ...
    def on_interrupt(self, vector: int = 0) -> int: ...


class Driver:
    """The driver alone, started on `function` with or without interrupts; `kind` says which."""

    def __init__(self, kind: str, function: PciFunction, clock: Clock, polled: bool) -> None:
        self.polled: Final = polled
        self.controller: Controller
        if kind == "nvme":
            nvme = NvmeController(function, clock, vectors=2, polled=polled)
            self._vector = 1
            fds = function.enable_interrupts(InterruptKind.MSIX, 2)
            nvme.start()
            self.controller, self.disk = nvme, nvme.namespaces[0]
        else:
            ahci = AhciController(function, clock, polled=polled)
            self._vector = 0
            fds = function.enable_interrupts(InterruptKind.MSI, 1)
            ahci.start()
            disk = ahci.disks[0]
            if not isinstance(disk, AtaDisk):
                raise DeviceError("the adapter's first device is no disk")
            self.controller, self.disk = ahci, disk
        self._poll: Final = select.epoll()
        self._poll.register(fds[self._vector], select.EPOLLIN | select.EPOLLET)  # as daemons' loop

    def close(self) -> None:
        """Stop the controller."""
        self.controller.stop()
        self._poll.close()

    def run(self, name: str, *, write: bool, size: int, depth: int, seconds: float) -> Figure:
        """Keep `depth` commands of `size` bytes in flight; return how many ended per second.

        There are twice as many buffers as commands in flight and they are used in turn, so that no
        buffer is used by two commands unless one is overtaken by `depth` others.
        """
        disk: Any = self.disk
        blocks = size // disk.block_size
        chance = random.Random(1)
        last = disk.block_count // blocks
        lbas = [chance.randrange(last) * blocks for _ in range(_ADDRESSES)]
        chunks = [disk.chunk(size) for _ in range(2 * depth)]
        wrapped = chunks + chunks
        ended: list[int] = []
        dones = [ended.append] * depth
        many = disk.write_many if write else disk.read_many
        wait = self._spin if self.polled else self._sleep
        at = turn = total = 0
        free = depth
        began = time.perf_counter()
        deadline = began + seconds
        if depth == 1:
            one = disk.write if write else disk.read
            chunk, done, look = chunks[0], ended.append, self.controller.poll
            while True:
                # The clock is looked at rarely: it may cost as much as a command.
                for lba in lbas[at : at + 64]:
                    one(lba, blocks, chunk, done)
                    if not (self.polled and look(1024)):
                        wait()
                at = at + 64 & _ADDRESSES - 1
                total += 64
                if time.perf_counter() >= deadline:
                    break
        while depth > 1:
            many(lbas[at : at + free], blocks, wrapped[turn : turn + free], dones[:free])
            free = wait()
            at = (at + free) % (_ADDRESSES - depth)
            turn = (turn + free) % (2 * depth)
            total += free
            if total & 63 < free and time.perf_counter() >= deadline:
                break
        took = time.perf_counter() - began
        counted = total
        while len(ended) < counted + depth - free:
            wait()
        for chunk in chunks:
            chunk.free()
        if any(ended):
            raise DeviceError(f"{name}: {sum(map(bool, ended))} of {len(ended)} commands failed")
        return Figure(name, counted / took, size)

    def _spin(self) -> int:
        poll = self.controller.poll
        for _ in range(1 << 16):
            if ended := poll(1024):
                return ended
        raise DeviceError("the controller completes nothing")

    def _sleep(self) -> int:
        self.controller.flush_queue()
        for _ in range(1000):
            if not self._poll.poll(_PATIENCE_S):
                break
            if ended := self.controller.on_interrupt(self._vector):
                return ended
        raise DeviceError("the controller does not interrupt")


def series(driver: Driver, seconds: float, prefix: str) -> list[Figure]:
    """Measure what the comparison needs: 4 KiB at depth 1 and 32, and 1 MiB at depth 4."""
    largest = min(1 << 20, driver.disk.max_transfer)
    loads = [(4096, 1), (4096, DEPTH), (largest, 4)]
    return [
        driver.run(
            f"{prefix} {'write' if write else 'read'} {size >> 10}k depth {depth}",
            write=write,
            size=size,
            depth=depth,
            seconds=seconds,
        )
        for write in (False, True)
        for size, depth in loads
    ]
