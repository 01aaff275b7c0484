"""The landings of this machine that the contract is checked on.

A landing is a function that takes a temporary folder and returns a context with a `Rig`; add it to
`LANDINGS` and the whole suite runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from rig import Rig, crash_in_child

from redbear_host.hw.ports import PciFunction
from redbear_host.hw.qtest import open_function
from redbear_host.lab.devices import parse
from redbear_host.lab.machine import Machine

pytest.register_assert_rewrite("function_suite", "nvme_probe")


class QtestRig:
    """QEMU's NVMe model without a guest."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        (self._function,) = machine.functions

    def open(self) -> PciFunction:
        return open_function(*self._function.copy())

    def crash(self) -> None:
        crash_in_child(*self._function.grant())

    def pull(self) -> None:
        self._machine.kill()


@contextmanager
def qtest_rig(folder: Path) -> Iterator[Rig]:
    with Machine(parse("nvme:size=16M").arguments(folder)) as machine:
        yield QtestRig(machine)


LANDINGS: dict[str, Callable[[Path], AbstractContextManager[Rig]]] = {"qtest": qtest_rig}


@pytest.fixture(params=LANDINGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with LANDINGS[request.param](tmp_path) as rig:
        yield rig
