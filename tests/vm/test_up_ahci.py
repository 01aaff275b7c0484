"""`up --device` on a real AHCI function: taken from Linux's driver, served, given back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from guest_machine import wait_for
from taken_disk import SCHEME, Taken, comes_back_with_what_was_written, outlives_its_daemon

from kernel_shim.host import MACHINE
from redbear_host.lab.spares import spare

pytestmark = pytest.mark.timeout(240)

SATA = spare("ahci").address


def linux_disk() -> Path | None:
    """The block device Linux has behind the controller."""
    found = Path(f"/sys/bus/pci/devices/{SATA}").glob("ata*/host*/target*/*/block/*")
    disks = [Path("/dev") / path.name for path in found]
    return disks[0] if disks and disks[0].is_block_device() else None


@pytest.fixture
def disk() -> Iterator[Taken]:
    """The spare SATA disk, which Linux has before the test and after it."""
    assert MACHINE.driver(SATA) == "ahci", "boot the guest with --device ahci"
    wait_for(lambda: linux_disk() is not None)
    yield Taken(SATA, "ahcid", SCHEME / "disk.pci-0000-00-05.0_ahci" / "0", linux_disk)
    assert MACHINE.driver(SATA) == "ahci", "the test did not give the adapter back"
    wait_for(lambda: linux_disk() is not None)


def test_an_adapter_is_driven_by_vfio_and_given_back_with_what_was_written(disk):
    comes_back_with_what_was_written(disk)


def test_ahcid_killed_under_vfio_comes_back_on_the_same_function(disk):
    outlives_its_daemon(disk)
