"""IOMMU groups: whether a function can be handed out, and if not, whose fault it is.

Ref: Linux, Documentation/driver-api/vfio.rst; a group is the least that can be handed out, since
the functions in it can reach each other, or the same memory.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kernel_shim.host import Host
from redbear_host.errors import ConfigError
from redbear_host.hostpci import HostFunction

VFIO: Final = "vfio-pci"
# Drivers that do no DMA on behalf of the host: VFIO lets them stay in a group.
HARMLESS: Final = ("", VFIO, "pci-stub", "pcieport")

_GRUB: Final = "GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub and reboot"
_OFF: Final = ("iommu=off", "intel_iommu=off", "amd_iommu=off")


class Trouble(NamedTuple):
    """Why a function cannot be handed out, and what to do about it."""

    why: str
    hint: str


def group_of(function: HostFunction, host: Host) -> int:
    """Return the function's IOMMU group; `ConfigError` says why it has none that protects."""
    trouble = no_group(function, host)
    if trouble is not None:
        raise ConfigError(*trouble)
    if function.group is None:
        raise ConfigError(f"{function.address} lost its IOMMU group", "try again")
    return function.group


def no_group(function: HostFunction, host: Host) -> Trouble | None:
    """Return what stands between the function and an IOMMU group that protects; None if nothing."""
    groups = host.sys / "kernel/iommu_groups"
    address = function.address
    if function.group is not None:
        if host.read(groups / str(function.group) / "name") == "vfio-noiommu":
            return Trouble(
                f"{address} has no IOMMU before it, only VFIO's no-IOMMU mode, "
                "in which a device may write to any memory",
                "switch the IOMMU on, and vfio.enable_unsafe_noiommu_mode off",
            )
        return None
    if host.names(groups):
        return Trouble(f"{address} is behind no IOMMU, though other functions are", "use another")
    words = host.read(host.proc / "cmdline").split()
    for word in _OFF:
        if word in words:
            return Trouble(
                f"the IOMMU is switched off on the kernel's command line ({word})",
                f"take {word} out of {_GRUB}",
            )
    tables = host.names(host.sys / "firmware/acpi/tables")
    if "DMAR" in tables and "intel_iommu=on" not in words:
        return Trouble(
            "the machine has an Intel IOMMU and the kernel does not use it",
            f"add intel_iommu=on to {_GRUB}",
        )
    if "DMAR" in tables or "IVRS" in tables:
        return Trouble(
            "the machine has an IOMMU and the kernel could not switch it on",
            "see why: dmesg | grep -i -e dmar -e amd-vi -e iommu",
        )
    return Trouble(
        "the firmware of this machine offers no IOMMU",
        "switch VT-d (Intel) or IOMMU (AMD) on in the firmware's set-up",
    )


def members(group: int, host: Host) -> list[HostFunction]:
    """Return the functions of a group."""
    names = host.names(host.sys / "kernel/iommu_groups" / str(group) / "devices")
    return [host.function(name) for name in names]


def foreign_members(function: HostFunction, host: Host) -> list[HostFunction]:
    """Return the other functions of its group that the host drives."""
    if function.group is None:
        return []
    return [
        member
        for member in members(function.group, host)
        if member.address != function.address and member.driver not in HARMLESS
    ]
