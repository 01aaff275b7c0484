"""The landings of this machine that the contract is checked on.

A landing is a function that takes a temporary folder and returns a context with a `Rig`; add it to
`LANDINGS` and the whole suite runs on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import qemu_rig
from rig import Rig, crash_in_child

from redbear_host.hw.ports import PciFunction
from redbear_host.lab.machine import Machine
from redbear_host.models.clock import FakeClock
from redbear_host.models.function import Slot
from redbear_host.models.nvme import Media, NvmeModel

pytest.register_assert_rewrite("function_suite", "nvme_probe")


class QtestRig:
    """QEMU's NVMe model without a guest."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        (self._function,) = machine.functions

    def open(self) -> PciFunction:
        return qemu_rig.opened(self._function)

    def crash(self) -> None:
        crash_in_child(*self._function.grant())

    def pull(self) -> None:
        self._machine.kill()


@contextmanager
def qtest_rig(folder: Path) -> Iterator[Rig]:
    with qemu_rig.nvme(folder) as machine:
        yield QtestRig(machine)


class EventBell:
    """An eventfd, as every other landing has for an interrupt."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def ring(self) -> None:
        os.eventfd_write(self.fd, 1)

    def hush(self) -> None:
        with suppress(BlockingIOError):  # nobody rang
            os.eventfd_read(self.fd)


class ModelRig:
    """The Python model; a daemon that is killed leaves its slot as it is."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def open(self) -> PciFunction:
        return self._slot.open()

    def crash(self) -> None:
        # Imported late: `register_assert_rewrite` has its assertions rewritten first.
        from nvme_probe import leave_running

        leave_running(self._slot.open())

    def pull(self) -> None:
        self._slot.pull()


@contextmanager
def model_rig(folder: Path) -> Iterator[Rig]:
    with ExitStack() as undo:

        def new_bell() -> EventBell:
            bell = EventBell()
            undo.callback(os.close, bell.fd)
            return bell

        yield ModelRig(Slot(NvmeModel({1: Media()}, FakeClock()), new_bell))


LANDINGS: dict[str, Callable[[Path], AbstractContextManager[Rig]]] = {
    "model": model_rig,
    "qtest": qtest_rig,
}


@pytest.fixture(params=LANDINGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with LANDINGS[request.param](tmp_path) as rig:
        yield rig
