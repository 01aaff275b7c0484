"""A made-up machine: sysfs and procfs in a folder, and as much of a kernel as binding needs."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

from kernel_shim.host import Host, Uses

NVME = {"class": "0x010802", "vendor": "0x1b36", "device": "0x0010"}


@dataclass
class Behaviour:
    """What the made-up kernel does; tests change it."""

    native: dict[str, str] = field(default_factory=dict)  # which driver takes a function by itself
    refusing: set[str] = field(default_factory=set)  # drivers whose probe fails
    modules: set[str] = field(default_factory=set)  # what modprobe can load
    writes: list[str] = field(default_factory=list)  # what was written, as `path text`
    fails_at: int = -1  # which of the writes fails
    stuck: bool = False  # unbinding has no end
    claimed: set[str] = field(default_factory=set)  # names that somebody opened exclusively
    uses: dict[str, Uses] = field(default_factory=dict)


@dataclass(frozen=True)
class FakeHost(Host):
    """See the module."""

    behaviour: Behaviour = field(default_factory=Behaviour)

    @classmethod
    def at(cls, root: Path) -> FakeHost:
        """Make an empty machine with vfio loaded."""
        host = cls(root / "sys", root / "proc", root / "dev")
        for name in ("vfio_pci", "vfio_iommu_type1"):
            (host.sys / "module" / name).mkdir(parents=True)
        for folder in (host.proc, host.dev, host.sys / "class/net", host.sys / "class/block"):
            folder.mkdir(parents=True)
        host.add_driver("vfio-pci")
        return host

    # -- what there is

    def add_driver(self, name: str) -> None:
        (self.sys / "bus/pci/drivers" / name).mkdir(parents=True)

    def add_function(
        self, address: str, driver: str = "", group: int | None = None, **files: str
    ) -> Path:
        folder = self.sys / "devices/pci0000:00" / address
        folder.mkdir(parents=True)
        known = {"subsystem_vendor": "0x0", "subsystem_device": "0x0", "revision": "0x0"}
        for name, text in (NVME | known | {"driver_override": "(null)"} | files).items():
            (folder / name).write_text(text + "\n")
        listed = self.sys / "bus/pci/devices"
        listed.mkdir(parents=True, exist_ok=True)
        (listed / address).symlink_to(folder)
        if driver:
            if not (self.sys / "bus/pci/drivers" / driver).exists():
                self.add_driver(driver)
            self.behaviour.native.setdefault(address, driver)
            self._attach(address, driver)
        if group is not None:
            members = self.sys / f"kernel/iommu_groups/{group}/devices"
            members.mkdir(parents=True, exist_ok=True)
            (members / address).symlink_to(folder)
            (folder / "iommu_group").symlink_to(members.parent)
        return folder

    def add_block(self, parent: Path, name: str, number: str, **files: str) -> Path:
        """Add a disk below a function, or a partition below a disk."""
        folder = parent / name
        (folder / "holders").mkdir(parents=True)
        for file, text in ({"dev": number} | files).items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text + "\n")
        (self.sys / "class/block" / name).symlink_to(folder)
        (self.dev / name).write_text("")
        return folder

    def add_mount(self, pid: int, namespace: str, number: str, point: str, source: str) -> None:
        process = self.proc / str(pid)
        (process / "ns").mkdir(parents=True, exist_ok=True)
        link = process / "ns/mnt"
        if not link.is_symlink():
            link.symlink_to(namespace)
        with (process / "mountinfo").open("a") as file:
            file.write(f"36 35 {number} / {point} rw,noatime shared:1 - ext4 {source} rw\n")

    # -- what the kernel does

    def state(self, address: str) -> tuple[str, str]:
        return self.driver(address), self.read(self.folder(address) / "driver_override")

    def write(self, path: Path, text: str, within: float) -> None:
        behaviour = self.behaviour
        behaviour.writes.append(f"{path.relative_to(self.sys)} {text}")
        if len(behaviour.writes) - 1 == behaviour.fails_at:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if path.name == "driver_override":
            path.write_text((text.strip() or "(null)") + "\n")
        elif path.name == "unbind":
            if behaviour.stuck:
                raise TimeoutError(errno.ETIMEDOUT, "no answer")
            (self.folder(text) / "driver").unlink()
        elif path.name == "drivers_probe":
            override = self.read(self.folder(text) / "driver_override")
            self._attach(text, behaviour.native.get(text, "") if override == "(null)" else override)

    def _attach(self, address: str, driver: str) -> None:
        folder = self.sys / "bus/pci/drivers" / driver
        link = self.folder(address) / "driver"
        if driver and driver not in self.behaviour.refusing and folder.exists():
            link.symlink_to(folder)

    def modprobe(self, module: str) -> str:
        if module not in self.behaviour.modules:
            return f"FATAL: Module {module} not found."
        (self.sys / "module" / module.replace("-", "_")).mkdir(exist_ok=True)
        (self.sys / "bus/pci/drivers" / module).mkdir(parents=True, exist_ok=True)
        return ""

    def open_exclusively(self, path: Path) -> int:
        if path.name in self.behaviour.claimed:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return os.open(path, os.O_RDONLY)

    def network_uses(self) -> dict[str, Uses]:
        return self.behaviour.uses
