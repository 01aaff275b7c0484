"""A card that is plugged in and out while `up` runs: Linux's own hotplug, by QEMU's monitor."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from guest_machine import SSD, disk, wait_for
from monitor import Monitor

from kernel_shim.host import MACHINE

pytestmark = pytest.mark.timeout(240)

PLUGGED = "0000:01:00.0"
SCHEME = Path("/scheme/disk.pci-0000-01-00.0-nvme")
SHOWN = Path("/scheme/pci/0000--01--00.0")


class Slot(Monitor):
    """The monitor, and the slot that it plugs a card into."""

    plugged = False

    def plug(self):
        self.ask("device_add", driver="nvme", id="plugged", bus="plug", drive="null", serial="P")
        self.plugged = True

    def unplug(self):
        """Pull the card; it is out when Linux has let it go."""
        self.ask("device_del", id="plugged")
        self.wait_event("DEVICE_DELETED")
        self.plugged = False


def redbear(*arguments, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "redbear_host", *map(str, arguments)],
        capture_output=True, text=True, timeout=90, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def monitor():
    monitor = Slot()
    monitor.ask("blockdev-add", driver="null-co", size=1 << 20, **{"node-name": "null"})
    yield monitor
    monitor.close()


@pytest.fixture
def slot(monitor):
    """Offer an empty slot, and leave it empty."""
    yield monitor
    if monitor.plugged:
        monitor.unplug()


def status():
    done = redbear("status", "--json", status=3)
    return next(one for one in json.loads(done)["daemons"] if one["name"].startswith("nvmed"))


def test_a_card_is_driven_when_it_comes_errs_when_it_leaves_and_is_driven_again(slot):
    redbear("up", "--await", PLUGGED, "--detach")
    try:
        assert not SCHEME.exists()
        assert not SHOWN.exists()
        slot.plug()
        wait_for(lambda: (SCHEME / "1").exists())
        assert (SHOWN / "driver").read_text() == "nvmed\n"
        assert MACHINE.driver(PLUGGED) == "vfio-pci"
        assert MACHINE.driver(SSD) == "nvme"  # nobody named it
        assert disk().is_block_device()
        with (SCHEME / "1").open("rb", buffering=0) as file:
            assert file.read(4096) == bytes(4096)
            slot.unplug()  # which daemon and shim have let go before
            with pytest.raises(OSError, match=r".") as failed:
                os.pread(file.fileno(), 4096, 8192)
            assert failed.value.errno == errno.ENODEV
        assert not Path("/sys/bus/pci/devices", PLUGGED).exists()
        wait_for(lambda: not SHOWN.exists())
        assert status()["gone"]
        slot.plug()
        wait_for(lambda: SHOWN.exists() and (SHOWN / "driver").read_text() == "nvmed\n")
        wait_for(lambda: (SCHEME / "1").exists())
        assert (SCHEME / "1").read_bytes() == bytes(1 << 20)
        slot.unplug()
        wait_for(lambda: status()["gone"])
    finally:
        redbear("down")
    assert not Path("/scheme").exists()


def test_a_card_that_nobody_named_is_shown_and_left_alone(slot):
    redbear("up", "--device", SSD, "--detach")
    try:
        slot.plug()
        wait_for(SHOWN.exists)
        wait_for(lambda: MACHINE.driver(PLUGGED) == "nvme")
        assert not SCHEME.exists()
        added = json.loads(redbear("add", "--device", PLUGGED, "--json"))
        assert added == {
            "address": PLUGGED, "name": "nvmed.0000-01-00.0", "schemes": [SCHEME.name],
        }  # fmt: skip
        assert (SCHEME / "1").stat().st_size == 1 << 20
        redbear("remove", SCHEME.name)
        assert not SCHEME.exists()
        assert (SHOWN / "driver").read_text() == "nvme\n"
        assert MACHINE.driver(PLUGGED) == "nvme"
    finally:
        redbear("down")
    wait_for(lambda: disk().is_block_device())
