"""What a disk says about itself, whichever language it speaks.

Ref: ACS-3 (INCITS 522) 7.12.7, IDENTIFY DEVICE data; NVM Express Base Specification 2.0c, figures
275 and NVM Command Set 1.0c, figure 97, Identify Controller and Namespace data.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Final, NamedTuple

NON_ROTATING: Final = 1
_ATAPI: Final = 0x8000  # word 0, bits 15:14 are 10b


class Facts(NamedTuple):
    """As INQUIRY and its pages tell them; texts have no padding."""

    vendor: str
    model: str
    serial: str
    firmware: str
    packet: bool = False  # an ATAPI device
    kind: int = 0  # peripheral device type (SPC-4 table 137)
    wwn: bytes = b""  # 8 bytes, an NAA designator
    eui: bytes = b""  # 8 or 16 bytes
    physical: int = 512  # bytes
    rotation: int = 0  # rounds per minute, 1: does not rotate, 0: does not say
    trims: bool = False
    write_cache: bool = False
    smart: bool = False


def text(raw: bytes, /) -> str:
    """Read an ASCII field without its padding; what is not printable becomes `?`."""
    shown = raw.strip(b"\0 ").decode("ascii", "replace")
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in shown)


def readable(identify: bytes, /) -> bytes:
    """Put serial number, firmware and model of IDENTIFY data into the order they are read in.

    So Linux's HDIO_GET_IDENTITY returns them; the disk swaps each two characters.
    """
    found = bytearray(identify)
    for first, words in ((10, 10), (23, 4), (27, 20)):
        piece = slice(2 * first, 2 * (first + words))
        swapped = found[piece]
        swapped[::2], swapped[1::2] = swapped[1::2], swapped[::2]
        found[piece] = swapped
    return bytes(found)


def _swapped(raw: bytes, first: int, words: int) -> str:
    """Read an ATA string: two characters a word, the first one in the upper half."""
    piece = bytearray(raw[2 * first : 2 * (first + words)])
    piece[::2], piece[1::2] = piece[1::2], piece[::2]
    return text(bytes(piece))


def of_ata(identify: bytes, block_size: int) -> Facts:
    """Read IDENTIFY DEVICE or IDENTIFY PACKET DEVICE data, 512 bytes."""
    words = unpack_from("<256H", identify)
    packet = words[0] & 0xC000 == _ATAPI
    named = words[87] & 0xC100 == 0x4100
    wwn = b"".join(word.to_bytes(2, "big") for word in words[108:112]) if named else b""
    physical = block_size
    if words[106] & 0xC000 == 0x4000 and words[106] & 0x2000:
        physical <<= words[106] & 0xF
    rotation = words[217]
    return Facts(
        vendor="ATA",
        model=_swapped(identify, 27, 20),
        serial=_swapped(identify, 10, 10),
        firmware=_swapped(identify, 23, 4),
        packet=packet,
        kind=words[0] >> 8 & 0x1F if packet else 0,
        wwn=wwn,
        physical=physical,
        rotation=rotation if rotation == NON_ROTATING or 0x0400 < rotation < 0xFFFF else 0,
        trims=bool(words[169] & 1),
        write_cache=bool(words[85] & 1 << 5),
        smart=bool(words[82] & 1),
    )


def of_nvme(controller: bytes, namespace: bytes, block_size: int) -> Facts:
    """Read Identify Controller and Identify Namespace data, 4096 bytes each."""
    eui, nguid = namespace[120:128], namespace[104:120]
    return Facts(
        vendor="NVMe",
        serial=text(controller[4:24]),
        model=text(controller[24:64]),
        firmware=text(controller[64:72]),
        eui=nguid if any(nguid) else eui if any(eui) else b"",
        physical=block_size,
        rotation=NON_ROTATING,
        trims=bool(controller[520] & 1 << 2),
        write_cache=bool(controller[525] & 1),
        smart=True,
    )
