"""Taking a function from its Linux driver to vfio-pci, and giving it back.

Ref: Linux, Documentation/ABI/testing/sysfs-bus-pci (driver_override, drivers_probe, unbind).

What there was before is a **record**, made and written down before anything changes, so that
whoever is left can restore it: the shim, its guardian, or `redbear-host down`.  Nothing is written
where it would outlive a reboot.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from kernel_shim import iommu
from kernel_shim.host import MACHINE, Host
from kernel_shim.iommu import VFIO
from redbear_host.errors import ConfigError, RedbearError, TransportError

WITHIN_S: Final = 30.0  # Linux's own drivers may wait that long for a command
RESERVE_S: Final = 10.0  # it takes none but a program that writes a word, on a machine that is busy
POLL_S: Final = 0.01


def plan(address: str, host: Host = MACHINE) -> dict[str, Any]:
    """Return the record of how the function is bound now; changes nothing.

    `ConfigError` if it cannot be handed out: no such function, no IOMMU, a group that the host uses
    too.
    """
    function = host.function(address)
    iommu.group_of(function, host)
    foreign = iommu.foreign_members(function, host)
    if foreign:
        whose = ", ".join(f"{member.address} (driven by {member.driver})" for member in foreign)
        raise ConfigError(
            f"{address} shares IOMMU group {function.group} with {whose}",
            "take those from their drivers too, or put the card into another slot",
        )
    override = host.read(host.folder(address) / "driver_override")
    return {
        "address": address,
        "driver": function.driver,
        "override": "" if override == "(null)" else override,
    }


def bind(record: dict[str, Any], host: Host = MACHINE, within: float = WITHIN_S) -> None:
    """Bind the function of `record` to vfio-pci; if that fails, it is back where it was.

    `ConfigError` where vfio-pci is missing, `TransportError` where a driver does not let go or
    vfio-pci does not take.
    """
    for module in (VFIO, "vfio_iommu_type1"):
        _load(module, host)
    try:
        _rebind(record["address"], VFIO, VFIO, host, within)
    except RedbearError as error:
        try:
            restore(record, host, within)
        except RedbearError as second:
            error.add_note(f"and it could not be given back: {second}")
        raise


def restore(record: dict[str, Any], host: Host = MACHINE, within: float = WITHIN_S) -> None:
    """Bind the function of `record` as it was; harmless when it is so already, or has left.

    `TransportError` where that cannot be done.
    """
    address, driver = record["address"], record["driver"]
    if not host.folder(address).exists():
        return
    if driver and not (host.sys / "bus/pci/drivers" / driver).exists():
        host.modprobe(driver)
    _rebind(address, driver, record["override"], host, within)


def _rebind(address: str, driver: str, override: str, host: Host, within: float) -> None:
    """Move a function to `driver` ("": to none) and leave `driver_override` as `override`."""
    folder = host.folder(address)
    deadline = time.monotonic() + within
    now = host.driver(address)
    if now != driver and now:
        _store(
            host, folder / "driver/unbind", address, deadline,
            f"{now} does not let go of {address}",
        )  # fmt: skip
        _wait(lambda: not host.driver(address), deadline, f"{now} does not let go of {address}")
    reserve = f"{address} cannot be reserved for"
    if driver and host.driver(address) != driver:
        # By name, since the kernel asks its drivers in an order of its own.
        _store(host, folder / "driver_override", driver, deadline, f"{reserve} {driver}")
        try:
            refused = f"{driver} does not take {address}"
            _store(host, host.sys / "bus/pci/drivers_probe", address, deadline, refused)
            _wait(lambda: host.driver(address) == driver, deadline, refused)
        finally:
            _reserve(override, address, host, f"{reserve} {override or 'no driver'}")
    else:
        _reserve(override, address, host, f"{reserve} {override or 'no driver'}")


def _reserve(override: str, address: str, host: Host, failure: str) -> None:
    path = host.folder(address) / "driver_override"
    if host.read(path).replace("(null)", "") != override:
        # A line feed alone means none.
        _store(host, path, override or "\n", time.monotonic() + RESERVE_S, failure)


def _load(module: str, host: Host) -> None:
    if (host.sys / "module" / module.replace("-", "_")).exists():
        return
    why = host.modprobe(module)
    if why:
        raise ConfigError(
            f"the module {module} cannot be loaded: {why}",
            "boot a kernel that has it: apt install linux-image-amd64 (the cloud kernel has not)",
        )


def _store(host: Host, path: Path, text: str, deadline: float, failure: str) -> None:
    try:
        host.write(path, text, max(0.0, deadline - time.monotonic()))
    except OSError as error:
        raise TransportError(f"{failure}: {error.strerror}", "see why: dmesg | tail") from error


def _wait(done: Callable[[], bool], deadline: float, failure: str) -> None:
    while not done():
        if time.monotonic() >= deadline:
            raise TransportError(failure, "see why: dmesg | tail")
        time.sleep(POLL_S)
