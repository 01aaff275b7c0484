"""The PCI functions Linux has found on this machine, as sysfs shows them.

Only looks: nothing here opens, binds or wakes a device.  (Linux, Documentation/ABI/testing/
sysfs-bus-pci.)
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redbear_host.bdf import Bdf
from redbear_host.errors import TransportError
from redbear_host.hw.ports import PciIds

SYS: Final = Path("/sys")

_LEFT: Final = (errno.ENOENT, errno.ENODEV)  # what reading a file of a function that left gives


@dataclass(frozen=True)
class HostFunction:
    """One function, at the moment it was looked at."""

    address: Bdf
    path: Path
    ids: PciIds
    driver: str  # the Linux driver bound to it, or ""
    group: int | None  # its IOMMU group, if the machine has an IOMMU in use


def host_functions(sys: Path = SYS) -> list[HostFunction]:
    """List the machine's functions in the order of their addresses.

    A function that leaves while it is being looked at is left out.
    """
    found = []
    for path in _folders(sys):
        function = _look(path)
        if function is not None:
            found.append(function)
    return sorted(found, key=lambda function: function.address)


def host_function(address: Bdf, sys: Path = SYS) -> HostFunction | None:
    """Look at one function; None if the machine has none at that address."""
    return _look(sys / "bus/pci/devices" / str(address))


def _folders(sys: Path) -> Iterable[Path]:
    if sys == SYS:
        # Here and not above: looking at one function, and every test on a made-up tree, works
        # without libudev.
        import pyudev

        for device in pyudev.Context().list_devices(subsystem="pci"):
            yield Path(device.sys_path)
        return
    devices = sys / "bus/pci/devices"
    if devices.is_dir():
        yield from devices.iterdir()


def _look(path: Path) -> HostFunction | None:
    def number(name: str) -> int:
        return int((path / name).read_text(), 16)

    try:
        ids = PciIds(
            vendor=number("vendor"),
            device=number("device"),
            subsystem_vendor=number("subsystem_vendor"),
            subsystem=number("subsystem_device"),
            class_code=number("class"),
            revision=number("revision"),
        )
    except OSError as error:
        if error.errno in _LEFT:
            return None
        raise TransportError(f"cannot look at PCI function {path.name}: {error}") from error
    group = _target(path / "iommu_group")
    return HostFunction(
        address=Bdf.parse(path.name),
        path=path,
        ids=ids,
        driver=_target(path / "driver"),
        group=int(group) if group else None,
    )


def _target(link: Path) -> str:
    """Return the last part of where a symbolic link points, or "" if there is no such link."""
    try:
        return link.readlink().name
    except OSError:
        return ""
