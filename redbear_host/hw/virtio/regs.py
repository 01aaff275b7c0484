"""What all modern virtio devices on PCI have in common.

Ref: OASIS, Virtual I/O Device (VIRTIO) Version 1.2 ("VIRTIO").
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from redbear_host.bits import RC, RO, RW, Bits, Block, Struct, at, bits, rc, ro, rw

VENDOR: Final = 0x1AF4
VENDOR_SPECIFIC: Final = 0x09    # id of the capabilities that say where things are (4.1.4)
NO_VECTOR: Final = 0xFFFF        # in place of an MSI-X vector: none, or it could not be had

# Offsets in a vendor-specific capability (4.1.4)
CFG_TYPE: Final = 3
BAR: Final = 4
OFFSET: Final = 8
LENGTH: Final = 12
NOTIFY_OFF_MULTIPLIER: Final = 16


class CfgType(IntEnum):
    """What a capability locates (4.1.4)."""

    COMMON = 1
    NOTIFY = 2
    ISR = 3
    DEVICE = 4
    PCI = 5


class Feature(IntEnum):
    """Bits that every device has (6)."""

    VERSION_1 = 32
    ACCESS_PLATFORM = 33           # it reaches memory as the platform's IOMMU says


class Status(Bits, width=8):
    """device_status (2.1)."""

    ACKNOWLEDGE: bool = bits(0)
    DRIVER: bool = bits(1)
    DRIVER_OK: bool = bits(2)
    FEATURES_OK: bool = bits(3)
    NEEDS_RESET: bool = bits(6)
    FAILED: bool = bits(7)


class Isr(Bits, width=8):
    """ISR status (4.1.4.5); reading it lowers the line."""

    QUEUE: bool = bits(0)
    CONFIG: bool = bits(1)


class Byte(Bits, width=8):
    """A number of 8 bits."""

    VALUE: int = bits(7, 0)


class Half(Bits, width=16):
    """A number of 16 bits."""

    VALUE: int = bits(15, 0)


class Word(Bits):
    """A number of 32 bits, or half of an address."""

    VALUE: int = bits(31, 0)


class Common(Block):
    """virtio_pci_common_cfg (4.1.4.3); 64-bit fields are accessed in halves (4.1.3.1)."""

    DEVICE_FEATURE_SELECT: RW[Word] = rw(0x00, Word)
    DEVICE_FEATURE: RO[Word] = ro(0x04, Word)
    DRIVER_FEATURE_SELECT: RW[Word] = rw(0x08, Word)
    DRIVER_FEATURE: RW[Word] = rw(0x0C, Word)
    CONFIG_MSIX_VECTOR: RW[Half] = rw(0x10, Half)
    NUM_QUEUES: RO[Half] = ro(0x12, Half)
    DEVICE_STATUS: RW[Status] = rw(0x14, Status)
    CONFIG_GENERATION: RO[Byte] = ro(0x15, Byte)
    QUEUE_SELECT: RW[Half] = rw(0x16, Half)
    QUEUE_SIZE: RW[Half] = rw(0x18, Half)
    QUEUE_MSIX_VECTOR: RW[Half] = rw(0x1A, Half)
    QUEUE_ENABLE: RW[Half] = rw(0x1C, Half)
    QUEUE_NOTIFY_OFF: RO[Half] = ro(0x1E, Half)
    QUEUE_DESC_LOW: RW[Word] = rw(0x20, Word)
    QUEUE_DESC_HIGH: RW[Word] = rw(0x24, Word)
    QUEUE_DRIVER_LOW: RW[Word] = rw(0x28, Word)
    QUEUE_DRIVER_HIGH: RW[Word] = rw(0x2C, Word)
    QUEUE_DEVICE_LOW: RW[Word] = rw(0x30, Word)
    QUEUE_DEVICE_HIGH: RW[Word] = rw(0x34, Word)


class Interrupt(Block):
    """The ISR status byte (4.1.4.5)."""

    ISR: RC[Isr] = rc(0x00, Isr)


class Descriptor(Struct, size=16):
    """virtq_desc (2.7.5)."""

    addr: int = at(0, "Q")
    len: int = at(8, "I")
    flags: int = at(12, "H")
    next: int = at(14, "H")


NEXT: Final = 1                  # a descriptor goes on in another one
WRITE: Final = 2                 # the device writes to it; else it reads

# Parts of the available and the used ring, in bytes (2.7.6, 2.7.8)
RING_FLAGS: Final = 0
RING_IDX: Final = 2
RING_ENTRIES: Final = 4
AVAILABLE_ENTRY: Final = 2
USED_ENTRY: Final = 8            # the chain's first descriptor, and how many bytes were written
USED_ALIGN: Final = 4
EVENT: Final = 2                 # behind the entries, whether it is used or not
