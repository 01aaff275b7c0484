"""ahcid's driver in this process, on QEMU's AHCI model."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import qemu_rig

from daemons.ahcid.atapi import Cd
from daemons.ahcid.disk import AtaDisk
from daemons.ahcid.driver import Controller, State
from redbear_host.classes.commands import AtaCommand, AtaResult
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind, PciFunction
from redbear_host.lab.machine import Machine

WITHIN = 20.0
TIMEOUT = 0.4  # what a command may take, in tests about what happens after it


class Rig:
    """A started controller, and a loop that drives it by interrupts and ticks, as a daemon's."""

    def __init__(
        self, machine: Machine, function: PciFunction, kind: InterruptKind, **driver: Any
    ) -> None:
        self.machine = machine
        self.function = function
        self._kind = kind
        (self._fd,) = function.enable_interrupts(kind, 1)
        self.controller = Controller(function, SystemClock(), **driver)
        self.controller.start()
        self.ended: dict[object, int] = {}
        self.results: dict[object, AtaResult] = {}

    @property
    def disk(self) -> AtaDisk:
        disk = self.controller.disks[0]
        assert isinstance(disk, AtaDisk)
        return disk

    @property
    def cd(self) -> Cd:
        disk = self.controller.disks[-1]
        assert isinstance(disk, Cd)
        return disk

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
        ready = select.select([self._fd, gone], [], [], wait)[0]
        if self._fd in ready:
            with suppress(BlockingIOError):
                os.eventfd_read(self._fd)
            self.controller.on_interrupt()
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

    def write(self, lba: int, data: bytes, disk: AtaDisk | Cd | None = None) -> int:
        disk = disk or self.disk
        chunk = disk.chunk(len(data))
        chunk.view[: len(data)] = data
        disk.write(lba, len(data) // disk.block_size, chunk, self.done("write"))
        (errno,) = self.wait("write")
        chunk.free()
        return errno

    def read(self, lba: int, size: int, disk: AtaDisk | Cd | None = None) -> tuple[int, bytes]:
        disk = disk or self.disk
        chunk = disk.chunk(size)
        disk.read(lba, size // disk.block_size, chunk, self.done("read"))
        (errno,) = self.wait("read")
        data = bytes(chunk.view)
        chunk.free()
        return errno, data

    def flush(self) -> int:
        self.disk.flush(self.done("flush"))
        return self.wait("flush")[0]

    def ata(
        self, command: AtaCommand, data: bytes | int = 0, disk: AtaDisk | Cd | None = None
    ) -> tuple[AtaResult, bytes]:
        """Execute a command with these bytes to the device, or so many from it."""
        disk = disk or self.disk
        size = data if isinstance(data, int) else len(data)
        chunk = disk.chunk(size) if size else None
        if chunk is not None and not isinstance(data, int):
            chunk.view[:] = data
        ended: list[AtaResult] = []
        disk.ata(command, chunk, size, ended.append)
        self.controller.flush_queue()
        self.until(lambda: bool(ended))
        got = bytes(chunk.view) if chunk is not None else b""
        if chunk is not None:
            chunk.free()
        (result,) = ended
        return result, got


@contextmanager
def started(
    arguments: Sequence[str], *, kind: InterruptKind = InterruptKind.MSI, **driver: Any
) -> Iterator[Rig]:
    """Start QEMU with `arguments` and the driver on its first function."""
    with (
        qemu_rig.machine(arguments) as machine,
        closing(qemu_rig.opened(machine.functions[0])) as function,
    ):
        rig = Rig(machine, function, kind, **driver)
        yield rig
        rig.controller.stop()
