"""nvmed's driver in this process, on QEMU's NVMe model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import qemu_rig
from driver_rig import TIMEOUT, DriverRig

from daemons.nvmed.driver import Controller
from daemons.nvmed.namespace import Namespace
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind

__all__ = ["TIMEOUT", "Rig", "started"]


class Rig(DriverRig[Controller, Namespace]):
    """A started controller."""

    @property
    def disk(self) -> Namespace:
        return self.controller.namespaces[0]


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
        fds = function.enable_interrupts(kind, vectors)
        controller = Controller(function, SystemClock(), vectors=vectors, **driver)
        rig = Rig(machine, function, kind, fds, controller)
        yield rig
        rig.controller.stop()
