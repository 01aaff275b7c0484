"""The header of configuration space: its registers, who a function is, where it sits.

Ref: PCI Local Bus Specification, revision 3.0 ("PCI").
"""

from __future__ import annotations

from typing import Final

from redbear_host.bdf import Bdf
from redbear_host.bits import RW, Bits, Block, bits, rw
from redbear_host.errors import ConfigError, Gone
from redbear_host.hw.ports import Config, PciIds

# Offsets in a type 0 header (PCI 6.1); up to HEADER_TYPE they hold for bridges too.
VENDOR_ID: Final = 0x00
DEVICE_ID: Final = 0x02
COMMAND: Final = 0x04
STATUS: Final = 0x06
REVISION_ID: Final = 0x08
CLASS_CODE: Final = 0x09
CACHE_LINE_SIZE: Final = 0x0C
LATENCY_TIMER: Final = 0x0D
HEADER_TYPE: Final = 0x0E
BIST: Final = 0x0F
BASE_ADDRESS: Final = 0x10
SUBSYSTEM_VENDOR_ID: Final = 0x2C
SUBSYSTEM_ID: Final = 0x2E
EXPANSION_ROM: Final = 0x30
CAPABILITIES_POINTER: Final = 0x34
INTERRUPT_LINE: Final = 0x3C
INTERRUPT_PIN: Final = 0x3D

# Offsets in a type 1 header, that of a bridge (PCI-to-PCI Bridge Architecture Specification,
# revision 1.2, 3.2).
PRIMARY_BUS: Final = 0x18
SECONDARY_BUS: Final = 0x19
SUBORDINATE_BUS: Final = 0x1A
IO_BASE_LIMIT: Final = 0x1C
MEMORY_BASE_LIMIT: Final = 0x20
PREFETCHABLE_BASE_LIMIT: Final = 0x24

HEADER_LAYOUT: Final = 0x7F  # in HEADER_TYPE: 0 for a function, 1 for a bridge
MULTI_FUNCTION: Final = 0x80  # in HEADER_TYPE

CONVENTIONAL_SIZE: Final = 0x100  # bytes of configuration space without PCI Express
EXTENDED_SIZE: Final = 0x1000


class Command(Bits, width=16):
    """Command register (PCI 6.2.2)."""

    IO_SPACE: bool = bits(0)
    MEMORY_SPACE: bool = bits(1)
    BUS_MASTER: bool = bits(2)
    PARITY_ERROR_RESPONSE: bool = bits(6)
    SERR_ENABLE: bool = bits(8)
    INTERRUPT_DISABLE: bool = bits(10)


class Status(Bits, width=16):
    """Status register (PCI 6.2.3)."""

    INTERRUPT_STATUS: bool = bits(3)
    CAPABILITIES_LIST: bool = bits(4)
    MASTER_DATA_PARITY_ERROR: bool = bits(8, w1c=True)
    SIGNALED_TARGET_ABORT: bool = bits(11, w1c=True)
    RECEIVED_TARGET_ABORT: bool = bits(12, w1c=True)
    RECEIVED_MASTER_ABORT: bool = bits(13, w1c=True)
    SIGNALED_SYSTEM_ERROR: bool = bits(14, w1c=True)
    DETECTED_PARITY_ERROR: bool = bits(15, w1c=True)


class Header(Block):
    """The two words every function has at the same place (PCI 6.1)."""

    COMMAND: RW[Command] = rw(COMMAND, Command)
    STATUS: RW[Status] = rw(STATUS, Status)


class ConfigWindow:
    """Configuration space as an `Mmio`, so that a `Block` can be bound to a capability.

    The bus has no 64-bit configuration access; one is done as two, the lower half first.
    """

    def __init__(self, config: Config) -> None:
        self.size: Final = config.size
        self.read8: Final = config.read8
        self.read16: Final = config.read16
        self.read32: Final = config.read32
        self.write8: Final = config.write8
        self.write16: Final = config.write16
        self.write32: Final = config.write32

    def read64(self, offset: int, /) -> int:
        """Read two halves."""
        low = self.read32(offset)
        return self.read32(offset + 4) << 32 | low

    def write64(self, offset: int, value: int, /) -> None:
        """Write two halves."""
        self.write32(offset, value & 0xFFFF_FFFF)
        self.write32(offset + 4, value >> 32)


def read_ids(config: Config) -> PciIds:
    """Read who made the function and what it is; `Gone` if nothing answers.

    A bridge has no subsystem identity in its header; both numbers are 0 then.
    """
    vendor = config.read16(VENDOR_ID)
    if vendor == 0xFFFF:
        raise Gone("no function answers: its vendor identity reads as all ones")
    plain = config.read8(HEADER_TYPE) & HEADER_LAYOUT == 0
    word = config.read32(REVISION_ID)
    return PciIds(
        vendor=vendor,
        device=config.read16(DEVICE_ID),
        subsystem_vendor=config.read16(SUBSYSTEM_VENDOR_ID) if plain else 0,
        subsystem=config.read16(SUBSYSTEM_ID) if plain else 0,
        class_code=word >> 8,
        revision=word & 0xFF,
    )


def parse_address(text: str) -> Bdf:
    """Read an address in any of its three forms; `ConfigError` for anything else.

    They are Linux's `0000:00:04.0`, Redox's `0000-00-04.0` in scheme names and pcid's
    `0000--00--04.0`.
    """
    for dash in ("--", "-"):
        if text.count(dash) == 2 and ":" not in text:
            try:
                return Bdf.parse(text.replace(dash, ":"))
            except ConfigError:
                break  # the error below shows what was typed, not our rewriting of it
    return Bdf.parse(text)


def display_name(address: Bdf) -> str:
    """Return what drivers call a function, as in `disk.pci-0000-00-04.0-nvme`."""
    return f"pci-{address.scheme_name}"
