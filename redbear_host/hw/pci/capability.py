"""Capabilities: the lists they hang in, and the registers of those this project programs.

Ref: PCI Local Bus Specification, revision 3.0 ("PCI"); PCI Express Base Specification, revision 5.0
("PCIe").
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from redbear_host.bits import RO, RW, Bits, Block, bits, ro, rw
from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.pci.header import (
    CAPABILITIES_POINTER,
    CONVENTIONAL_SIZE,
    EXTENDED_SIZE,
    ConfigWindow,
    Header,
)
from redbear_host.hw.ports import Config


class CapabilityId(IntEnum):
    """The capabilities this project looks at (PCI appendix H; PCIe 7.5, 7.9)."""

    POWER_MANAGEMENT = 0x01
    MSI = 0x05
    PCI_EXPRESS = 0x10
    MSIX = 0x11
    ADVANCED_FEATURES = 0x13


class Capability(NamedTuple):
    """One entry of a capability list."""

    id: int
    offset: int  # of its first byte in configuration space
    version: int = 0  # extended capabilities only


def capabilities(config: Config) -> list[Capability]:
    """Walk the capability list (PCI 6.7); the order is the device's, an id may come twice.

    Raises `DeviceError` where the list leaves its space or comes back to an entry it had, `Gone`
    where it reads as all ones.
    """
    if not Header(ConfigWindow(config)).STATUS.read().CAPABILITIES_LIST:
        return []
    found: dict[int, Capability] = {}
    offset = config.read8(CAPABILITIES_POINTER) & ~3  # the two low bits are reserved: mask them
    while offset:
        if offset < 0x40 or offset in found:
            raise DeviceError(f"capability list is broken: it goes to {offset:#x}{_path(found)}")
        word = config.read16(offset)
        if word == 0xFFFF:
            raise Gone(f"capability at {offset:#x} reads as all ones")
        found[offset] = Capability(word & 0xFF, offset)
        offset = word >> 8 & ~3
    return list(found.values())


def extended_capabilities(config: Config) -> list[Capability]:
    """Walk the PCI Express extended capabilities (PCIe 7.6); none in a 256-byte space.

    Errors as for `capabilities`.
    """
    if config.size < EXTENDED_SIZE:
        return []
    found: dict[int, Capability] = {}
    offset = CONVENTIONAL_SIZE
    while offset:
        if offset < CONVENTIONAL_SIZE or offset in found:
            raise DeviceError(
                f"extended capability list is broken: it goes to {offset:#x}{_path(found)}"
            )
        word = config.read32(offset)
        if not found and word in (0, 0xFFFF_FFFF):
            return []  # how a function without any says so (PCIe 7.6.2)
        if word == 0xFFFF_FFFF:
            raise Gone(f"extended capability at {offset:#x} reads as all ones")
        found[offset] = Capability(word & 0xFFFF, offset, word >> 16 & 0xF)
        offset = word >> 20 & ~3
    return list(found.values())


def _path(found: dict[int, Capability]) -> str:
    return " after " + ", ".join(f"{offset:#x}" for offset in found) if found else ""


def find_capability(config: Config, wanted: CapabilityId) -> int | None:
    """Return the offset of the first capability with that id, or None."""
    for capability in capabilities(config):
        if capability.id == wanted:
            return capability.offset
    return None


class Address32(Bits):
    """A message address, or its lower half; the two low bits are zero (PCI 6.8.1.4)."""

    ADDRESS: int = bits(31, 0)


class MessageData16(Bits, width=16):
    """What an MSI writes; the low bits become the vector (PCI 6.8.1.6)."""

    DATA: int = bits(15, 0)


class MessageData32(Bits):
    """What an MSI-X vector writes (PCI 6.8.2.8)."""

    DATA: int = bits(31, 0)


class MsiControl(Bits, width=16):
    """Message Control for MSI (PCI 6.8.1.3)."""

    MSI_ENABLE: bool = bits(0)
    MULTIPLE_MESSAGE_CAPABLE: int = bits(3, 1)  # log2 of the vectors asked for, 0 to 5
    MULTIPLE_MESSAGE_ENABLE: int = bits(6, 4)  # log2 of the vectors granted
    ADDRESS_64: bool = bits(7)
    PER_VECTOR_MASKING: bool = bits(8)


class Msi32(Block):
    """MSI capability with a 32-bit message address (PCI 6.8.1)."""

    CONTROL: RW[MsiControl] = rw(0x2, MsiControl)
    ADDRESS: RW[Address32] = rw(0x4, Address32)
    DATA: RW[MessageData16] = rw(0x8, MessageData16)


class Msi64(Block):
    """MSI capability with a 64-bit message address (PCI 6.8.1)."""

    CONTROL: RW[MsiControl] = rw(0x2, MsiControl)
    ADDRESS: RW[Address32] = rw(0x4, Address32)
    UPPER_ADDRESS: RW[Address32] = rw(0x8, Address32)
    DATA: RW[MessageData16] = rw(0xC, MessageData16)


class MsixControl(Bits, width=16):
    """Message Control for MSI-X (PCI 6.8.2.3)."""

    TABLE_SIZE: int = bits(10, 0)  # vectors, less one
    FUNCTION_MASK: bool = bits(14)
    MSIX_ENABLE: bool = bits(15)


class MsixLocation(Bits):
    """Where the table, or the pending bits, lie (PCI 6.8.2.4, 6.8.2.5)."""

    BIR: int = bits(2, 0)  # which base address register
    OFFSET: int = bits(31, 3)  # into that window, in units of 8 bytes


class Msix(Block):
    """MSI-X capability (PCI 6.8.2)."""

    CONTROL: RW[MsixControl] = rw(0x2, MsixControl)
    TABLE: RO[MsixLocation] = ro(0x4, MsixLocation)
    PENDING: RO[MsixLocation] = ro(0x8, MsixLocation)


class VectorControl(Bits):
    """Vector Control (PCI 6.8.2.9)."""

    MASK: bool = bits(0)


class MsixEntry(Block):
    """One entry of an MSI-X table, which lies in a memory window (PCI 6.8.2)."""

    ADDRESS: RW[Address32] = rw(0x0, Address32)
    UPPER_ADDRESS: RW[Address32] = rw(0x4, Address32)
    DATA: RW[MessageData32] = rw(0x8, MessageData32)
    CONTROL: RW[VectorControl] = rw(0xC, VectorControl)


MSIX_ENTRY_SIZE: Final = 16


class PowerControl(Bits, width=16):
    """Power Management Control/Status (PCIe 7.5.2.2)."""

    POWER_STATE: int = bits(1, 0)  # 0 for D0, 3 for D3hot
    NO_SOFT_RESET: bool = bits(3)  # D3hot to D0 keeps the function's state
    PME_STATUS: bool = bits(15, w1c=True)


class PowerManagement(Block):
    """Power management capability (PCIe 7.5.2)."""

    CONTROL: RW[PowerControl] = rw(0x4, PowerControl)


class DeviceCapabilities(Bits):
    """Device Capabilities (PCIe 7.5.3.3)."""

    FUNCTION_LEVEL_RESET: bool = bits(28)


class DeviceControl(Bits, width=16):
    """Device Control (PCIe 7.5.3.4)."""

    INITIATE_FUNCTION_LEVEL_RESET: bool = bits(15)


class DeviceStatus(Bits, width=16):
    """Device Status (PCIe 7.5.3.5)."""

    TRANSACTIONS_PENDING: bool = bits(5)


class PciExpress(Block):
    """The part of the PCI Express capability that every function has (PCIe 7.5.3)."""

    DEVICE_CAPABILITIES: RO[DeviceCapabilities] = ro(0x4, DeviceCapabilities)
    DEVICE_CONTROL: RW[DeviceControl] = rw(0x8, DeviceControl)
    DEVICE_STATUS: RO[DeviceStatus] = ro(0xA, DeviceStatus)


class AfCapabilities(Bits, width=8):
    """AF Capabilities (Advanced Capabilities for Conventional PCI ECN, 3.1)."""

    TRANSACTIONS_PENDING: bool = bits(0)
    FUNCTION_LEVEL_RESET: bool = bits(1)


class AfControl(Bits, width=8):
    """AF Control (Advanced Capabilities for Conventional PCI ECN, 3.2)."""

    INITIATE_FUNCTION_LEVEL_RESET: bool = bits(0)


class AdvancedFeatures(Block):
    """Function level reset for a conventional function (the ECN named above)."""

    CAPABILITIES: RO[AfCapabilities] = ro(0x3, AfCapabilities)
    CONTROL: RW[AfControl] = rw(0x4, AfControl)
