"""Which commands a client may send to a disk that was not claimed `destructive`.

Those that read, and those that make what was written durable.  Everything else could destroy data
or the device, or make it hard to use for the next one: it is refused until somebody said that
this device may be lost.  Unknown and vendor specific commands are everything else.

Ref: ACS-3 (INCITS 522), SPC-4, SBC-3, MMC-6; NVM Express Base Specification 2.0c figures 138 and
390, NVM Command Set 1.0c figure 12.
"""

from __future__ import annotations

from typing import Final

from redbear_host.classes.commands import AtaCommand, NvmeCommand

_SMART: Final = 0xB0
_SMART_READS: Final = frozenset(
    (
        0xD0,  # SMART READ DATA
        0xD1,  # SMART READ THRESHOLDS, obsolete
        0xD4,  # SMART EXECUTE OFF-LINE IMMEDIATE: self-tests only read
        0xD5,  # SMART READ LOG
        0xDA,  # SMART RETURN STATUS
    )
)
_ATA: Final = frozenset(
    (
        0x20,  # READ SECTOR(S)
        0x24,  # READ SECTOR(S) EXT
        0x25,  # READ DMA EXT
        0x2F,  # READ LOG EXT
        0x40,  # READ VERIFY SECTOR(S)
        0x42,  # READ VERIFY SECTOR(S) EXT
        0x47,  # READ LOG DMA EXT
        0xA1,  # IDENTIFY PACKET DEVICE
        0xC8,  # READ DMA
        0xE0,  # STANDBY IMMEDIATE
        0xE1,  # IDLE IMMEDIATE
        0xE4,  # READ BUFFER
        0xE5,  # CHECK POWER MODE
        0xE7,  # FLUSH CACHE
        0xE9,  # READ BUFFER DMA
        0xEA,  # FLUSH CACHE EXT
        0xEC,  # IDENTIFY DEVICE
        0xF8,  # READ NATIVE MAX ADDRESS
        0x27,  # READ NATIVE MAX ADDRESS EXT
    )
)
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
        0x18,  # Keep Alive
        0x1C,  # Virtualization Management
        0x7C,  # Doorbell Buffer Config
    )
)
_NVME_SET_FEATURES: Final = 0x09
_NVME_DRIVERS_FEATURES: Final = frozenset((0x07, 0x0B))  # Number of Queues, Asynchronous Events
_ATA_DRIVERS: Final = frozenset(
    (
        0x08,  # DEVICE RESET
        0x60,  # READ FPDMA QUEUED: tags are the driver's
        0x61,  # WRITE FPDMA QUEUED
        0x63,  # NCQ NON-DATA
        0x64,  # SEND FPDMA QUEUED
        0x65,  # RECEIVE FPDMA QUEUED
        0xA0,  # PACKET: by the SCSI command itself
        0xE6,  # SLEEP: only a reset ends it
    )
)


def ata_reads(command: AtaCommand) -> bool:
    """Tell whether a disk may be sent this in any case."""
    if command.command == _SMART:
        return command.feature & 0xFF in _SMART_READS
    return command.command in _ATA


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
