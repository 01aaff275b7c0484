"""Checks what `redbear-host up --device` needs.  Nothing here stops the lab."""

from __future__ import annotations

import gzip
import re
from typing import Final

from redbear_host.cli.checks.machine import Finding, Machine, ok, warn

MODULES: Final = ("vfio-pci", "vfio_iommu_type1")
ARENA: Final = 64 << 20  # bytes of memory a daemon may want its device to reach
_CAP_IPC_LOCK: Final = 14  # linux/capability.h: locked memory is not counted
_OFF: Final = ("intel_iommu=off", "amd_iommu=off", "iommu=off")
_NO_REMAP: Final = ("intremap=off", "nointremap")
_TABLES: Final = {"DMAR": "CONFIG_INTEL_IOMMU", "IVRS": "CONFIG_AMD_IOMMU"}  # ACPI 6.5, 5.2.6

_DEBIAN: Final = "boot Debian's own kernel: apt install linux-image-amd64"
_GUEST: Final = "or try it in a guest: redbear-host lab vm -- redbear-host doctor"
_GRUB: Final = "in GRUB_CMDLINE_LINUX of /etc/default/grub, then update-grub and reboot"


def modules(machine: Machine) -> Finding:
    """Check that the kernel has VFIO."""
    told = []
    for name in MODULES:
        if machine.path(f"/sys/module/{name.replace('-', '_')}").is_dir():
            told.append(f"{name} is loaded")
        elif _has_module(machine, name):
            told.append(f"{name} can be loaded")
        else:
            return warn("VFIO", f"kernel {machine.release} has no {name}", f"{_DEBIAN}; {_GUEST}")
    return ok("VFIO", ", ".join(told))


def _has_module(machine: Machine, name: str) -> bool:
    pattern = re.escape(name).replace("_", "[-_]").replace(r"\-", "[-_]")
    lists = ("modules.dep", "modules.builtin")
    return any(
        re.search(
            rf"(?m)^[^\s:]*/{pattern}\.ko", machine.text(f"/lib/modules/{machine.release}/{file}")
        )
        for file in lists
    )


def iommu(machine: Machine) -> Finding:
    """Check that an IOMMU is in use; if not, say why not."""
    groups = machine.names("/sys/kernel/iommu_groups")
    if groups:
        units = machine.names("/sys/class/iommu")
        of = f" by {', '.join(units)}" if units else ""
        return ok("IOMMU", f"in use: {len(groups)} groups{of}")
    words = machine.text("/proc/cmdline").split()
    off = [word for word in words if word in _OFF]
    if off:
        return warn("IOMMU", f"{off[0]} on the kernel's command line", f"remove it {_GRUB}")
    table = next((t for t in _TABLES if t in machine.names("/sys/firmware/acpi/tables")), None)
    if table is not None:
        if _built(machine, _TABLES[table]) is False:
            return warn("IOMMU", f"kernel {machine.release} is without {_TABLES[table]}", _DEBIAN)
        if table == "DMAR":
            return warn(
                "IOMMU",
                "the machine has one (VT-d), the kernel does not use it",
                f"add intel_iommu=on {_GRUB}",
            )
        return warn(
            "IOMMU",
            "the machine has one (AMD-Vi), the kernel does not use it",
            "journalctl -k | grep AMD-Vi says why",
        )
    processor = machine.text("/proc/cpuinfo")
    if re.search(r"(?m)^flags\s*:.*\bhypervisor\b", processor):
        return warn(
            "IOMMU",
            "this is a virtual machine without one",
            f"give it one (QEMU: -device intel-iommu,intremap=on), {_GUEST}",
        )
    name = "AMD-Vi (IOMMU)" if "AuthenticAMD" in processor else "VT-d"
    return warn(
        "IOMMU",
        "the firmware tells of none: it is switched off there, or the machine has none",
        f"switch on {name} in the firmware's set-up; {_GUEST}",
    )


def _built(machine: Machine, option: str) -> bool | None:
    """Tell whether the kernel was built with `option`; None if nobody kept its configuration."""
    text = machine.text(f"/boot/config-{machine.release}")
    packed = machine.path("/proc/config.gz")
    if not text and packed.exists():
        text = gzip.decompress(packed.read_bytes()).decode(errors="replace")
    return f"\n{option}=y" in f"\n{text}" if text else None


def interrupt_remapping(machine: Machine) -> Finding:
    """Check that a device cannot send any interrupt it likes, to any processor."""
    unsafe = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
    if not machine.names("/sys/kernel/iommu_groups"):
        return warn("interrupts", "no IOMMU to remap them", "see IOMMU")
    if machine.text(unsafe).strip() == "Y":
        return warn(
            "interrupts",
            "allow_unsafe_interrupts is on: VFIO would not insist on remapping",
            f"echo N > {unsafe}",
        )
    if re.search(r"\bIR-(?:PCI-MSI|IO-APIC|HPET)", machine.text("/proc/interrupts")):
        return ok("interrupts", "remapped")
    words = machine.text("/proc/cmdline").split()
    off = [word for word in words if word in _NO_REMAP]
    if off:
        return warn("interrupts", f"{off[0]} on the kernel's command line", f"remove it {_GRUB}")
    return warn(
        "interrupts",
        "not remapped: VFIO will refuse the device",
        "switch on VT-d interrupt remapping (or x2APIC) in the firmware's set-up",
    )


def lockdown(machine: Machine) -> Finding:
    """Check for lockdown: such a kernel loads signed modules only."""
    variable = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"  # UEFI 2.10, 3.3
    secure = machine.path(f"/sys/firmware/efi/efivars/{variable}")
    try:
        # Four bytes of attributes come before the value.
        on = secure.read_bytes()[4:5] == b"\1"
    except OSError:
        on = False
    boot = "Secure Boot on" if on else "Secure Boot off"
    mode = re.search(r"\[(\w+)\]", machine.text("/sys/kernel/security/lockdown"))
    if mode is None or mode[1] == "none":
        return ok("lockdown", f"none, {boot}")
    return warn(
        "lockdown",
        f"{mode[1]}, {boot}: the kernel loads signed modules only",
        "Debian's own modules are signed; for others see mokutil --import",
    )


def memlock(machine: Machine) -> Finding:
    """Check how much memory may be pinned for a device."""
    capable = re.search(r"(?m)^CapEff:\s*([0-9a-f]+)", machine.text("/proc/self/status"))
    if capable and int(capable[1], 16) >> _CAP_IPC_LOCK & 1:
        return ok("memlock", "CAP_IPC_LOCK: no limit on pinned memory")
    limit = re.search(r"(?m)^Max locked memory\s+(\S+)", machine.text("/proc/self/limits"))
    allowed = limit[1] if limit else "unknown"
    if allowed == "unlimited" or (allowed.isdigit() and int(allowed) >= ARENA):
        return ok("memlock", f"RLIMIT_MEMLOCK: {allowed}")
    return warn(
        "memlock",
        f"RLIMIT_MEMLOCK is {allowed}; a daemon's memory may need {ARENA}",
        "run it as root, or: ulimit -l unlimited",
    )
