"""ahcid's driver in this process, on QEMU's AHCI model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import qemu_rig
from driver_rig import TIMEOUT, DriverRig

from daemons.ahcid.atapi import Cd
from daemons.ahcid.disk import AtaDisk
from daemons.ahcid.driver import Controller
from redbear_host.classes.commands import AtaCommand, AtaResult
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind

__all__ = ["TIMEOUT", "Rig", "started"]


class Rig(DriverRig[Controller, AtaDisk]):
    """A started controller."""

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
        fds = function.enable_interrupts(kind, 1)
        rig = Rig(machine, function, kind, fds, Controller(function, SystemClock(), **driver))
        yield rig
        rig.controller.stop()
