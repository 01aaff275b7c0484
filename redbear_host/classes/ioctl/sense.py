"""How a SCSI command ends: its status, and sense data that say why.

Ref: SPC-4 (INCITS 513) 4.5 sense data, 5.3 status; SAT-4 (INCITS 557) 12.2.6 ATA Status Return.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from redbear_host.classes.commands import AtaResult

GOOD: Final = 0x00
CHECK_CONDITION: Final = 0x02

ERR: Final = 1 << 0  # bits of ATA's Status field (ACS-3 6.2)
DEVICE_FAULT: Final = 1 << 5

_FIXED: Final = 0x70
_DESCRIPTOR: Final = 0x72
_FIXED_BYTES: Final = 18
_ATA_STATUS_RETURN: Final = 0x09


class Key(IntEnum):
    """Sense keys (SPC-4 table 48)."""

    NO_SENSE = 0x0
    RECOVERED_ERROR = 0x1
    NOT_READY = 0x2
    MEDIUM_ERROR = 0x3
    HARDWARE_ERROR = 0x4
    ILLEGAL_REQUEST = 0x5
    UNIT_ATTENTION = 0x6
    DATA_PROTECT = 0x7
    ABORTED_COMMAND = 0xB


# Additional sense code and its qualifier (SPC-4 annex F)
NOTHING: Final = (0x00, 0x00)
ATA_INFORMATION: Final = (0x00, 0x1D)  # ATA PASS THROUGH INFORMATION AVAILABLE
READ_ERROR: Final = (0x11, 0x00)
INVALID_OPCODE: Final = (0x20, 0x00)
OUT_OF_RANGE: Final = (0x21, 0x00)
INVALID_FIELD: Final = (0x24, 0x00)
SAVING_NOT_SUPPORTED: Final = (0x39, 0x00)
NOT_PRESENT: Final = (0x3A, 0x00)  # MEDIUM NOT PRESENT
INTERNAL_FAILURE: Final = (0x44, 0x00)

# ACS-3 6.3, bits of the Error field, the most telling first; SAT-4 table 11
_ERRORS: Final = (
    (0x40, Key.MEDIUM_ERROR, (0x11, 0x04)),  # UNC: UNRECOVERED READ ERROR, AUTO REALLOCATE FAILED
    (0x10, Key.ILLEGAL_REQUEST, OUT_OF_RANGE),  # IDNF
    (0x80, Key.ABORTED_COMMAND, (0x47, 0x03)),  # ICRC: INFORMATION UNIT iuCRC ERROR DETECTED
    (0x04, Key.ABORTED_COMMAND, NOTHING),  # ABRT
)


class Outcome(NamedTuple):
    """How a command ended; `data` goes to the client, or `moved` bytes came from it."""

    status: int = GOOD
    sense: bytes = b""
    data: bytes = b""
    moved: int = 0
    host_status: int = 0  # SG_IO's: what the transport made of it


def fixed(key: Key, code: tuple[int, int]) -> bytes:
    """Make sense data in the fixed format, 18 bytes."""
    head = bytes([_FIXED, 0, key, 0, 0, 0, 0, _FIXED_BYTES - 8])
    return head + bytes(4) + bytes(code) + bytes(4)


def descriptor(key: Key, code: tuple[int, int], *descriptors: bytes) -> bytes:
    """Make sense data in the descriptor format."""
    rest = b"".join(descriptors)
    return bytes([_DESCRIPTOR, key, *code, 0, 0, 0, len(rest)]) + rest


def failed(key: Key, code: tuple[int, int]) -> Outcome:
    """End with CHECK CONDITION."""
    return Outcome(CHECK_CONDITION, fixed(key, code))


def illegal(code: tuple[int, int] = INVALID_FIELD) -> Outcome:
    """End a command that makes no sense."""
    return failed(Key.ILLEGAL_REQUEST, code)


def ata_return(result: AtaResult, extended: bool) -> bytes:
    """Make the ATA Status Return descriptor: the registers the device wrote last."""
    count, lba = result.count.to_bytes(2, "big"), result.lba.to_bytes(6, "little")
    if not extended:  # the upper halves are not what the device wrote
        count, lba = bytes([0, count[1]]), lba[:3] + bytes(3)
    return bytes(
        [
            *(_ATA_STATUS_RETURN, 12, extended, result.error, *count),
            *(lba[3], lba[0], lba[4], lba[1], lba[5], lba[2]),
            *(result.device, result.status),
        ]
    )


def of_ata(result: AtaResult, extended: bool, asked: bool) -> tuple[int, bytes]:
    """Return status and sense data of an ATA command; `asked` says that CK_COND was set."""
    registers = ata_return(result, extended)
    if result.status & (ERR | DEVICE_FAULT):
        key, code = ata_error(result)
        return CHECK_CONDITION, descriptor(key, code, registers)
    if asked:
        return CHECK_CONDITION, descriptor(Key.RECOVERED_ERROR, ATA_INFORMATION, registers)
    return GOOD, b""


def ata_error(result: AtaResult) -> tuple[Key, tuple[int, int]]:
    """Say in SCSI's words what went wrong."""
    if result.status & DEVICE_FAULT:
        return Key.HARDWARE_ERROR, INTERNAL_FAILURE
    for bit, key, code in _ERRORS:
        if result.error & bit:
            return key, code
    return Key.ABORTED_COMMAND, NOTHING
