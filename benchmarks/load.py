"""A closed loop on one NVMe namespace: so many commands in flight, for so many seconds.

Used on every machine (qtest, VFIO), so that their figures mean the same.
"""

from __future__ import annotations

import random
import select
import time
from dataclasses import dataclass
from typing import Final

from daemons.nvmed.driver import Controller
from redbear_host.errors import DeviceError
from redbear_host.hw.ports import InterruptKind, PciFunction

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


class Driver:
    """nvmed's driver, started on `function` with or without interrupts."""

    def __init__(self, function: PciFunction, clock: object, polled: bool) -> None:
        self.polled: Final = polled
        self.controller: Final = Controller(function, clock, vectors=2, polled=polled)  # type: ignore[arg-type]
        self._fds: Final = function.enable_interrupts(InterruptKind.MSIX, 2)
        self._poll: Final = select.epoll()
        self._poll.register(self._fds[1], select.EPOLLIN | select.EPOLLET)  # as the daemons' loop
        self.controller.start()
        self.namespace: Final = self.controller.namespaces[0]

    def close(self) -> None:
        """Stop the controller."""
        self.controller.stop()
        self._poll.close()

    def run(self, name: str, *, write: bool, size: int, depth: int, seconds: float) -> Figure:
        """Keep `depth` commands of `size` bytes in flight; return how many ended per second.

        There are twice as many buffers as commands in flight and they are used in turn, so that no
        buffer is used by two commands unless one is overtaken by `depth` others.
        """
        namespace = self.namespace
        blocks = size // namespace.block_size
        chance = random.Random(1)
        last = namespace.block_count // blocks
        lbas = [chance.randrange(last) * blocks for _ in range(_ADDRESSES)]
        chunks = [namespace.chunk(size) for _ in range(2 * depth)]
        wrapped = chunks + chunks
        ended: list[int] = []
        dones = [ended.append] * depth
        many = namespace.write_many if write else namespace.read_many
        wait = self._spin if self.polled else self._sleep
        at = turn = total = 0
        free = depth
        began = time.perf_counter()
        deadline = began + seconds
        if depth == 1:
            one = namespace.write if write else namespace.read
            chunk, done = chunks[0], ended.append
            while True:
                # The clock is looked at rarely: it may cost as much as a command.
                for lba in lbas[at : at + 64]:
                    one(lba, blocks, chunk, done)
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
            if ended := self.controller.on_interrupt(1):
                return ended
        raise DeviceError("the controller does not interrupt")


def series(driver: Driver, seconds: float, prefix: str) -> list[Figure]:
    """Measure what the comparison needs: 4 KiB at depth 1 and 32, and 1 MiB at depth 4."""
    largest = min(1 << 20, driver.namespace.max_transfer)
    loads = [(4096, 1), (4096, 32), (largest, 4)]
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
