"""Shared by the unit tests: a made-up machine as a tree of files, a ring door with a client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from ring_rig import RawClient, Rig
from ring_scheme import Toy

NVME = {
    "vendor": "0x1b36",
    "device": "0x0010",
    "subsystem_vendor": "0x1af4",
    "subsystem_device": "0x1100",
    "class": "0x010802",
    "revision": "0x02",
}


class FakeSysfs:
    """A `/sys` that has the PCI functions a test adds."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(
        self,
        address: str,
        driver: str = "",
        group: str = "",
        config: bytes = b"",
        ids: Mapping[str, str] = NVME,
    ) -> Path:
        """Add a function and return its folder."""
        folder = self.root / "bus/pci/devices" / address
        folder.mkdir(parents=True)
        for name, value in ids.items():
            (folder / name).write_text(value + "\n")
        (folder / "config").write_bytes(config)
        (folder / "uevent").write_text(
            (f"DRIVER={driver}\n" if driver else "") + f"PCI_SLOT_NAME={address}\n"
        )
        if driver:
            (folder / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
        if group:
            (folder / "iommu_group").symlink_to(f"../../../kernel/iommu_groups/{group}")
        return folder


@pytest.fixture
def sysfs(tmp_path: Path) -> FakeSysfs:
    return FakeSysfs(tmp_path / "sys")


@pytest.fixture
def toy() -> Iterator[Toy]:
    scheme = Toy()
    yield scheme
    scheme.shut()


@pytest.fixture
def rig(tmp_path: Path, toy: Toy) -> Iterator[Rig]:
    made = Rig(tmp_path, toy)
    yield made
    made.close()


@pytest.fixture
def client(rig: Rig) -> RawClient:
    return rig.connect()
