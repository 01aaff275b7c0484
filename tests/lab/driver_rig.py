"""A disk's driver in this process, and a loop that drives it by interrupts and ticks."""

from __future__ import annotations

import os
import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from redbear_host.classes.disk import Disk
from redbear_host.hw.ports import InterruptKind, PciFunction
from redbear_host.lab.machine import Machine

WITHIN = 20.0
TIMEOUT = 0.4  # what a command may take, in tests about what happens after it


class Driver(Protocol):
    """What the controllers of all disk drivers have."""

    @property
    def deadline(self) -> float: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def gone(self) -> None: ...
    def tick(self, now: float, /) -> object: ...
    def on_interrupt(self, vector: int = 0, /) -> object: ...
    def flush_queue(self) -> None: ...


C = TypeVar("C", bound=Driver)
D = TypeVar("D", bound=Disk)


class DriverRig(ABC, Generic[C, D]):
    """A started controller with its first disk, driven as a daemon's loop would."""

    def __init__(
        self,
        machine: Machine,
        function: PciFunction,
        kind: InterruptKind,
        fds: Sequence[int],
        controller: C,
    ) -> None:
        self.machine = machine
        self.function = function
        self.controller = controller
        self._kind = kind
        self._fds = fds
        self._left = False
        self.ended: dict[object, int] = {}
        controller.start()

    @property
    @abstractmethod
    def disk(self) -> D: ...

    def done(self, tag: object) -> Callable[[int], None]:
        def done(errno: int) -> None:
            assert tag not in self.ended, f"{tag} ended twice"
            self.ended[tag] = errno

        return done

    def turn(self, patience: float = 0.05) -> None:
        """One round of the loop: wait for an interrupt, or until `tick` is due."""
        now = time.monotonic()
        gone = self.function.gone_fd
        wait = max(0.0, min(patience, self.controller.deadline - now))
        ready = select.select([*self._fds, gone], [], [], wait)[0]
        for vector, fd in enumerate(self._fds):
            if fd in ready:
                with suppress(BlockingIOError):
                    os.eventfd_read(fd)
                self.controller.on_interrupt(vector)
                if self._kind is InterruptKind.INTX:
                    self.function.unmask_intx()
        if gone in ready and not self._left:
            self._left = True
            self.controller.gone()
        if time.monotonic() >= self.controller.deadline:
            self.controller.tick(time.monotonic())

    def until(self, what: Callable[[], bool], within: float = WITHIN) -> None:
        end = time.monotonic() + within
        while not what():
            assert time.monotonic() < end, f"not within {within} s; ended: {self.ended}"
            self.turn()

    def wait(self, *tags: object, within: float = WITHIN) -> list[int]:
        """Hand over what is queued and wait for these commands; return how they ended."""
        self.controller.flush_queue()
        self.until(lambda: all(tag in self.ended for tag in tags), within)
        return [self.ended.pop(tag) for tag in tags]

    def write(self, lba: int, data: bytes, disk: Disk | None = None) -> int:
        disk = disk or self.disk
        chunk: Any = disk.chunk(len(data))
        chunk.view[: len(data)] = data
        disk.write(lba, len(data) // disk.block_size, chunk, self.done("write"))
        (errno,) = self.wait("write")
        chunk.free()
        return errno

    def read(self, lba: int, size: int, disk: Disk | None = None) -> tuple[int, bytes]:
        disk = disk or self.disk
        chunk: Any = disk.chunk(size)
        disk.read(lba, size // disk.block_size, chunk, self.done("read"))
        (errno,) = self.wait("read")
        data = bytes(chunk.view)
        chunk.free()
        return errno, data

    def flush(self) -> int:
        self.disk.flush(self.done("flush"))
        return self.wait("flush")[0]
