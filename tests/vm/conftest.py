"""The guest's spare NVMe controller, with Linux's driver or with ours.

These tests run inside the lab's guest: `make vm-test`, or
`redbear-host lab vm -- .venv/bin/python -m pytest -p no:cacheprovider tests/vm`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "function_suite", "nvme_probe", "rig", "guest_machine", "monitor", "kms_desk", "kms_user"
)

from guest_machine import ARENA, DISK, SSD, VfioRig, wait_for  # noqa: E402 - rewritten, by now

from kernel_shim import bind  # noqa: E402
from kernel_shim.host import MACHINE  # noqa: E402
from redbear_host.hw.vfio import Claim  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    if Path("/proc/sys/kernel/hostname").read_text().strip() != "redbear-lab":
        raise pytest.UsageError(
            "tests/vm takes devices away from Linux: run it in the guest, by `make vm-test`"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A controller that is plugged in may have the name nvme0 when the spare one comes back.
    items.sort(key=lambda item: item.path.name == "test_hotplug.py")


@pytest.fixture
def ssd() -> Iterator[str]:
    """Offer the address of the controller, driven by Linux before the test and after it."""
    assert MACHINE.driver(SSD) == "nvme"
    wait_for(DISK.is_block_device)
    yield SSD
    assert MACHINE.driver(SSD) == "nvme", "the test did not give the controller back"
    wait_for(DISK.is_block_device)


@pytest.fixture(scope="module")
def bound() -> Iterator[str]:
    """Offer the address of the controller, bound to vfio-pci for the whole module."""
    record = bind.plan(SSD)
    bind.bind(record)
    yield SSD
    bind.restore(record)
    wait_for(DISK.is_block_device)


@pytest.fixture
def rig(bound: str) -> Iterator[VfioRig]:
    claim = Claim(bound, ARENA)
    try:
        rig = VfioRig(claim)
        rig.heal()
        yield rig
    finally:
        claim.release()
