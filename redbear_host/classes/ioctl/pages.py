"""What SCSI commands about a disk return: INQUIRY data, vital product data, mode and log pages.

Ref: SPC-4 (INCITS 513) 6.6, 7.3, 7.5, 7.8; SBC-3 (INCITS 514) 5.15, 5.16, 6.4, 6.5; SAT-4
(INCITS 557) clauses 8 to 10.
"""

from __future__ import annotations

from typing import Final

from redbear_host.classes.ioctl.facts import Facts

_SPC_4: Final = 6
_FORMAT: Final = 2  # of INQUIRY data
_T10_VENDOR: Final = 1  # kinds of designator (SPC-4 table 588)
_EUI_64: Final = 2
_NAA: Final = 3
_BINARY, _ASCII = 1, 2
_IDENTIFY, _IDENTIFY_PACKET = 0xEC, 0xA1
_SATA_SIGNATURE: Final = bytes.fromhex("3400500001000000000000000100000000000000")  # its first FIS

DISK: Final = 0x00
MOST_LBA: Final = 0xFFFF_FFFF


def _padded(value: str, size: int) -> bytes:
    return value.encode("ascii", "replace")[:size].ljust(size)


def _revision(facts: Facts) -> bytes:
    """Return what of the firmware's eight characters fits: the last four.

    ATA has two fields of four, of which the second may be blank (SAT-4 8.1.2).
    """
    ata = facts.firmware[4:] or facts.firmware
    return _padded(ata if facts.vendor == "ATA" else facts.firmware[-4:], 4)


def inquiry(facts: Facts) -> bytes:
    """Return standard INQUIRY data, 96 bytes."""
    head = bytes([facts.kind, 0, _SPC_4, _FORMAT, 96 - 5, 0, 0, 2])
    names = _padded(facts.vendor, 8) + _padded(facts.model, 16) + _revision(facts)
    # SAM-5, SPC-4 and SBC-3, no versions of them claimed (SPC-4 table 143)
    versions = b"".join(number.to_bytes(2, "big") for number in (0x00A0, 0x0460, 0x04C0))
    return (head + names).ljust(58, b"\0") + versions.ljust(96 - 58, b"\0")


def vital(page: int, facts: Facts, identify: bytes, most_blocks: int) -> bytes | None:
    """Return a vital product data page; None for one there is not.

    `identify` is IDENTIFY DEVICE data of a disk that has it.
    """
    bodies = {
        0x80: lambda: _padded(facts.serial, max(20, len(facts.serial))),
        0x83: lambda: _designators(facts),
        **({0x89: lambda: _ata_information(facts, identify)} if identify else {}),
        0xB0: lambda: _limits(most_blocks),
        0xB1: lambda: facts.rotation.to_bytes(2, "big").ljust(60, b"\0"),
        0xB2: lambda: bytes(4),  # no UNMAP, no WRITE SAME: discarding is BLKDISCARD's
    }
    if page == 0:
        body = bytes([0, *sorted(bodies)])
    elif page in bodies:
        body = bodies[page]()
    else:
        return None
    return bytes([facts.kind, page]) + len(body).to_bytes(2, "big") + body


def _designator(code: int, kind: int, value: bytes) -> bytes:
    return bytes([code, kind, 0, len(value)]) + value


def _designators(facts: Facts) -> bytes:
    """Name the disk: SAT-4 10.4.4."""
    name = _padded(facts.vendor, 8) + _padded(facts.model, 40) + _padded(facts.serial, 20)
    found = _designator(_ASCII, _T10_VENDOR, name)
    if facts.wwn:
        found += _designator(_BINARY, _NAA, facts.wwn)
    if facts.eui:
        found += _designator(_BINARY, _EUI_64, facts.eui)
    return found


def _ata_information(facts: Facts, identify: bytes) -> bytes:
    names = _padded("redbear", 8) + _padded("host SAT", 16) + _padded("1", 4)
    code = _IDENTIFY_PACKET if facts.packet else _IDENTIFY
    return bytes(4) + names + _SATA_SIGNATURE + bytes([code, 0, 0, 0]) + identify


def _limits(most_blocks: int) -> bytes:
    most = most_blocks.to_bytes(4, "big")
    return (bytes(4) + most + most).ljust(60, b"\0")


def capacity_10(blocks: int, size: int) -> bytes:
    """Return READ CAPACITY(10) data: the last block, as far as 32 bits go, and a block's size."""
    return min(blocks - 1, MOST_LBA).to_bytes(4, "big") + size.to_bytes(4, "big")


def capacity_16(blocks: int, size: int, physical: int) -> bytes:
    """Return READ CAPACITY(16) data."""
    exponent = max(0, (physical // size).bit_length() - 1)
    last, length = (blocks - 1).to_bytes(8, "big"), size.to_bytes(4, "big")
    return (last + length + bytes([0, exponent])).ljust(32, b"\0")


def mode(page: int, facts: Facts, changeable: bool) -> bytes | None:
    """Return a mode page, or all of them (0x3F); None for one there is not.

    None can be changed: `changeable` asks for the mask that says so.
    """
    pages = {
        0x01: bytes([0x01, 0x0A, 0x80]).ljust(12, b"\0"),  # read-write error recovery: AWRE
        0x08: bytes([0x08, 0x12, facts.write_cache << 2]).ljust(20, b"\0"),  # caching: WCE
        0x0A: bytes([0x0A, 0x0A, 0x00, 0x10]).ljust(12, b"\0"),  # control: unrestricted order
        0x1C: bytes([0x1C, 0x0A, 0x00, 0x06]).ljust(12, b"\0"),  # exceptions: only if asked
    }
    if changeable:
        pages = {number: body[:2].ljust(len(body), b"\0") for number, body in pages.items()}
    if page == 0x3F:
        return b"".join(pages.values())
    return pages.get(page)


def block_descriptor(blocks: int, size: int) -> bytes:
    """Return the short block descriptor of MODE SENSE."""
    return min(blocks, MOST_LBA).to_bytes(4, "big") + size.to_bytes(4, "big")


def log(page: int, body: bytes) -> bytes:
    """Return a log page."""
    return bytes([page, 0]) + len(body).to_bytes(2, "big") + body


def log_list() -> bytes:
    """Return the page that lists the others: temperature, informational exceptions."""
    return log(0x00, bytes([0x00, 0x0D, 0x2F]))


def log_temperature(celsius: int) -> bytes:
    """Return the temperature page; 255 where none is known."""
    return log(0x0D, _temperature(0, celsius) + _temperature(1, 0xFF))


def _temperature(code: int, celsius: int) -> bytes:
    return bytes([0, code, 0x03, 2, 0, celsius])


def log_exceptions(fails: bool, celsius: int) -> bytes:
    """Return the informational exceptions page: whether the disk expects to fail."""
    code = (
        (0x5D, 0x10) if fails else (0, 0)
    )  # HARDWARE IMPENDING FAILURE GENERAL HARD DRIVE FAILURE
    return log(0x2F, bytes([0, 0, 0x03, 4, *code, celsius, 0]))
