"""The guest's spare NVMe controller, and how its tests wait and hand it on."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from nvme_probe import DOORBELLS, start
from rig import crash_in_child

from redbear_host.hw.pci.header import ConfigWindow, Header
from redbear_host.hw.ports import PciFunction
from redbear_host.hw.vfio import Claim, open_function
from redbear_host.lab.spares import spare

SSD = spare("nvme").address
DISK = Path("/dev/nvme0n1")
ARENA = 4 << 20
# How long the guest may take for anything: its processor is emulated, and shares the machine's.
WITHIN = 60.0


def disk() -> Path:
    """Return Linux's node for the controller: not `DISK`, once another has taken that name."""
    found = Path("/sys/bus/pci/devices", SSD, "nvme").glob("nvme*/nvme*n1")
    return Path("/dev", next((re.sub(r"c\d+n", "n", node.name) for node in found), "none"))


def wait_for(done: Callable[[], bool], within: float = WITHIN) -> None:
    """Wait until the kernel has caught up."""
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline, f"not so within {within} s"
        time.sleep(0.01)


class VfioRig:
    """The claimed controller, for the contract suite."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim

    def open(self) -> PciFunction:
        grant, fds = self.claim.grant()
        return open_function(grant, [os.dup(fd) for fd in fds])

    def crash(self) -> None:
        crash_in_child(*self.claim.grant())
        self.claim.quiesce()
        self.heal()

    def heal(self) -> None:
        """Bring the model's INTx line down for good.

        QEMU 7.2 counts completion queues that are not empty, and does not take those off the count
        that a reset of the controller throws away: the line never falls again.  Each write to the
        doorbell of an empty queue takes one off.  (A machine of the host tests is always new.)
        """
        with closing(self.open()) as function:
            header = Header(ConfigWindow(function.config))
            controller = start(function)
            controller.identify()
            assert controller.admin.completed()
            assert controller.admin.take() == 0
            for _ in range(1000):
                if not header.STATUS.read().INTERRUPT_STATUS:
                    return
                function.bar(0).write32(DOORBELLS + 4, 1)  # still one taken
            raise AssertionError("the controller's INTx line does not fall")

    def pull(self) -> None:
        raise AssertionError("a card on the root bus cannot be pulled")
