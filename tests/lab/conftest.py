"""Fixtures of the lab: machines with one device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import qemu_rig

from redbear_host.hw.ports import PciFunction
from redbear_host.lab.machine import Machine


@pytest.fixture
def nvme_machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with one NVMe controller."""
    with qemu_rig.nvme(tmp_path) as machine:
        yield machine


@pytest.fixture
def nvme_function(nvme_machine: Machine) -> Iterator[PciFunction]:
    """Its controller, opened here."""
    with closing(qemu_rig.opened(nvme_machine.functions[0])) as function:
        yield function
