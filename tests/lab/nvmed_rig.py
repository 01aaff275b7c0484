"""nvmed's driver in this process, on QEMU's NVMe model."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import qemu_rig

from daemons.nvmed.driver import Controller, State
from daemons.nvmed.namespace import Namespace
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind, PciFunction
from redbear_host.lab.machine import Machine

WITHIN = 20.0
TIMEOUT = 0.4  # what a command may take, in tests about what happens after it


class Rig:
    """A started controller, and a loop that drives it by interrupts and ticks, as a daemon's."""

    def __init__(
        self,
        machine: Machine,
        function: PciFunction,
        kind: InterruptKind,
        vectors: int,
        **driver: Any,
    ) -> None:
        self.machine = machine
        self.function = function
        self._kind = kind
        self._fds = function.enable_interrupts(kind, vectors)
        self.controller = Controller(function, SystemClock(), vectors=vectors, **driver)
        self.controller.start()
        self.ended: dict[object, int] = {}

    @property
    def disk(self) -> Namespace:
        return self.controller.namespaces[0]

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
        if gone in ready and self.controller.state is not State.GONE:
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

    def write(self, lba: int, data: bytes, disk: Namespace | None = None) -> int:
        disk = disk or self.disk
        chunk = disk.chunk(len(data))
        chunk.view[: len(data)] = data
        disk.write(lba, len(data) // disk.block_size, chunk, self.done("write"))
        (errno,) = self.wait("write")
        chunk.free()
        return errno

    def read(self, lba: int, size: int, disk: Namespace | None = None) -> tuple[int, bytes]:
        disk = disk or self.disk
        chunk = disk.chunk(size)
        disk.read(lba, size // disk.block_size, chunk, self.done("read"))
        (errno,) = self.wait("read")
        data = bytes(chunk.view)
        chunk.free()
        return errno, data


@contextmanager
def started(
    arguments: Sequence[str],
    *,
    kind: InterruptKind = InterruptKind.MSIX,
    vectors: int = 2,
    **driver: Any,
) -> Iterator[Rig]:
    """Start QEMU with `arguments` and the driver on its first function."""
    with (
        qemu_rig.machine(arguments) as machine,
        closing(qemu_rig.opened(machine.functions[0])) as function,
    ):
        rig = Rig(machine, function, kind, vectors, **driver)
        yield rig
        rig.controller.stop()
