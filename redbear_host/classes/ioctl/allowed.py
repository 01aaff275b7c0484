"""Which commands a client may send to a disk that was not claimed `destructive`.

Those that read, and those that make what was written durable.  Everything else could destroy data
or the device, or make it hard to use for the next one: it is refused until somebody said that
this device may be lost.  Unknown and vendor specific commands are everything else.

Ref: ACS-3 (INCITS 522), SPC-4, SBC-3, MMC-6; NVM Express Base Specification 2.0c figures 138 and
390, NVM Command Set 1.0c figure 12.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from redbear_host.classes.commands import AtaCommand, NvmeCommand, Transfer

_SMART: Final = 0xB0
_EXECUTE: Final = 0xD4
_SECTOR: Final = 512


class Shape(Enum):
    """How a command moves data, and how much."""

    NOTHING = 0
    PIO_SECTOR = 1  # 512 bytes from the device
    PIO_SECTORS = 2  # as many times 512 bytes as its count says
    PIO_BLOCKS = 3  # as many logical blocks
    DMA_SECTOR = 4
    DMA_SECTORS = 5
    DMA_BLOCKS = 6


_SMART_READS: Final = {
    0xD0: Shape.PIO_SECTOR,  # SMART READ DATA
    0xD1: Shape.PIO_SECTOR,  # SMART READ THRESHOLDS, obsolete
    _EXECUTE: Shape.NOTHING,  # SMART EXECUTE OFF-LINE IMMEDIATE: self-tests only read
    0xD5: Shape.PIO_SECTORS,  # SMART READ LOG
    0xDA: Shape.NOTHING,  # SMART RETURN STATUS
}
_ATA: Final = {
    0x20: Shape.PIO_BLOCKS,  # READ SECTOR(S)
    0x24: Shape.PIO_BLOCKS,  # READ SECTOR(S) EXT
    0x25: Shape.DMA_BLOCKS,  # READ DMA EXT
    0x27: Shape.NOTHING,  # READ NATIVE MAX ADDRESS EXT
    0x2F: Shape.PIO_SECTORS,  # READ LOG EXT
    0x40: Shape.NOTHING,  # READ VERIFY SECTOR(S)
    0x42: Shape.NOTHING,  # READ VERIFY SECTOR(S) EXT
    0x47: Shape.DMA_SECTORS,  # READ LOG DMA EXT
    0xA1: Shape.PIO_SECTOR,  # IDENTIFY PACKET DEVICE
    0xC8: Shape.DMA_BLOCKS,  # READ DMA
    0xE0: Shape.NOTHING,  # STANDBY IMMEDIATE
    0xE1: Shape.NOTHING,  # IDLE IMMEDIATE
    0xE4: Shape.PIO_SECTOR,  # READ BUFFER
    0xE5: Shape.NOTHING,  # CHECK POWER MODE
    0xE7: Shape.NOTHING,  # FLUSH CACHE
    0xE9: Shape.DMA_SECTOR,  # READ BUFFER DMA
    0xEA: Shape.NOTHING,  # FLUSH CACHE EXT
    0xEC: Shape.PIO_SECTOR,  # IDENTIFY DEVICE
    0xF8: Shape.NOTHING,  # READ NATIVE MAX ADDRESS
}
_EXTENDED: Final = frozenset((0x24, 0x25, 0x2F, 0x47))  # with 16 bits of count
_ONE: Final = (Shape.PIO_SECTOR, Shape.DMA_SECTOR)
_BLOCKS: Final = (Shape.PIO_BLOCKS, Shape.DMA_BLOCKS)
_BY_PIO: Final = (Shape.PIO_SECTOR, Shape.PIO_SECTORS, Shape.PIO_BLOCKS)
_PACKET: Final = frozenset(
    (
        0x00,  # TEST UNIT READY
        0x03,  # REQUEST SENSE
        0x12,  # INQUIRY
        0x1A,  # MODE SENSE(6)
        0x25,  # READ CAPACITY
        0x28,  # READ(10)
        0x43,  # READ TOC/PMA/ATIP
        0x46,  # GET CONFIGURATION
        0x4A,  # GET EVENT STATUS NOTIFICATION
        0x51,  # READ DISC INFORMATION
        0x52,  # READ TRACK INFORMATION
        0x5A,  # MODE SENSE(10)
        0xA8,  # READ(12)
        0xAD,  # READ DISC STRUCTURE
        0xBD,  # MECHANISM STATUS
        0xBE,  # READ CD
    )
)
_NVME_ADMIN: Final = frozenset(
    (
        0x02,  # Get Log Page
        0x06,  # Identify
        0x0A,  # Get Features
        0x14,  # Device Self-test
        0x1A,  # Directive Receive
        0x82,  # Security Receive
        0x86,  # Get LBA Status
    )
)
_NVME_IO: Final = frozenset(
    (
        0x00,  # Flush
        0x02,  # Read
        0x05,  # Compare
        0x0C,  # Verify
        0x0E,  # Reservation Report
    )
)

# What would take the controller away from its driver, destructive or not.
_NVME_DRIVERS: Final = frozenset(
    (
        0x00,  # Delete I/O Submission Queue
        0x01,  # Create I/O Submission Queue
        0x04,  # Delete I/O Completion Queue
        0x05,  # Create I/O Completion Queue
        0x08,  # Abort: it names commands of the driver's
        0x0C,  # Asynchronous Event Request
        0x15,  # Namespace Attachment: another namespace in the place of one that is served
        0x18,  # Keep Alive
        0x1C,  # Virtualization Management
        0x7C,  # Doorbell Buffer Config
    )
)
_NVME_SET_FEATURES: Final = 0x09
_NVME_DRIVERS_FEATURES: Final = frozenset(
    (
        0x07,  # Number of Queues
        0x0B,  # Asynchronous Event Configuration
        0x0D,  # Host Memory Buffer: the controller would write to addresses of the client's choice
        0x0F,  # Keep Alive Timer: a controller that hears nothing stops
    )
)
_ATA_DRIVERS: Final = frozenset(
    (
        0x08,  # DEVICE RESET
        0x60,  # READ FPDMA QUEUED: tags are the driver's
        0x61,  # WRITE FPDMA QUEUED
        0x63,  # NCQ NON-DATA
        0x64,  # SEND FPDMA QUEUED
        0x65,  # RECEIVE FPDMA QUEUED
        0xA0,  # PACKET: by the SCSI command itself
        0xB2,  # SET SECTOR CONFIGURATION EXT: blocks of another size
        0xE6,  # SLEEP: only a reset ends it
    )
)


def _shape(command: AtaCommand) -> Shape | None:
    if command.command == _SMART:
        return _SMART_READS.get(command.feature & 0xFF)
    return _ATA.get(command.command)


def ata_reads(command: AtaCommand) -> bool:
    """Tell whether a disk may be sent this in any case."""
    return _shape(command) is not None


def ata_fits(command: AtaCommand, size: int, block_size: int) -> bool:
    """Tell whether a command that reads comes with its own protocol, and with room for its data.

    What a device does with others is anybody's guess: one known model ends its process.
    """
    shape = _shape(command)
    if shape is None:
        return True
    if shape is Shape.NOTHING:
        return command.transfer is Transfer.NON_DATA
    if command.transfer is not (Transfer.PIO_IN if shape in _BY_PIO else Transfer.DMA_IN):
        return False
    if shape not in _ONE and command.extended != (command.command in _EXTENDED):
        return False  # the device would read another count than we do
    count = command.count or (1 << 16 if command.extended else 1 << 8)
    unit = block_size if shape in _BLOCKS else _SECTOR
    return size == (_SECTOR if shape in _ONE else count * unit)


def ata_lasts(command: AtaCommand) -> bool:
    """Tell whether a command that reads may take minutes: a self-test in captive mode."""
    return command.command == _SMART and command.feature & 0xFF == _EXECUTE


def ata_is_the_drivers(command: AtaCommand) -> bool:
    """Tell whether a disk may never be sent this by a client."""
    return command.command in _ATA_DRIVERS


def packet_reads(command: bytes) -> bool:
    """Tell whether an ATAPI device may be sent this SCSI command in any case."""
    return command[0] in _PACKET


def nvme_reads(command: NvmeCommand) -> bool:
    """Tell whether a controller may be sent this in any case."""
    return command.opcode in (_NVME_ADMIN if command.admin else _NVME_IO)


def nvme_is_the_drivers(command: NvmeCommand) -> bool:
    """Tell whether a controller may never be sent this by a client."""
    if not command.admin:
        return False
    if command.opcode == _NVME_SET_FEATURES:
        return command.cdw10 & 0xFF in _NVME_DRIVERS_FEATURES
    return command.opcode in _NVME_DRIVERS
