"""What a viewer wants a pixel to look like, and how ours is made into that.

Ref: RFC 6143 §7.4 (PIXEL_FORMAT), §7.7.6 (CPIXEL).  Ours are the bytes blue, green, red, any.

All pixels of a piece are turned at once: a byte of the result is made of one byte of each colour by
a table, and bytes that hold two colours are joined as one large number.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

_FORMAT: Final = struct.Struct(">BBBBHHHBBB3x")
FORMAT_SIZE: Final = _FORMAT.size  # 16
OURS_SIZE: Final = 4  # bytes of a pixel as it is on the screen
_PLACES: Final = {"red": 2, "green": 1, "blue": 0}  # of the colours in it


class Malformed(ValueError):
    """The viewer does not keep to the protocol; the text says in what."""


class PixelFormat(NamedTuple):
    """PIXEL_FORMAT of RFC 6143."""

    bits_per_pixel: int
    depth: int
    big_endian: int
    true_colour: int
    red_max: int
    green_max: int
    blue_max: int
    red_shift: int
    green_shift: int
    blue_shift: int

    def pack(self) -> bytes:
        """Return the 16 bytes."""
        return _FORMAT.pack(*self)

    @property
    def size(self) -> int:
        """Bytes of a pixel."""
        return self.bits_per_pixel // 8


OURS: Final = PixelFormat(32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
MAPPED: Final = PixelFormat(8, 8, 0, 0, 7, 7, 3, 5, 2, 0)  # indices into `colour_map`


def parse(data: bytes) -> PixelFormat:
    """Read a format; `Malformed` for one that no pixel can have.

    One with a colour map comes back as `MAPPED`, whatever else it says.
    """
    found = PixelFormat(*_FORMAT.unpack(data))
    if found.bits_per_pixel not in (8, 16, 32):
        raise Malformed(f"{found.bits_per_pixel} bits per pixel")
    if not found.true_colour:
        if found.bits_per_pixel != 8:
            raise Malformed(f"a colour map for {found.bits_per_pixel} bits per pixel")
        return MAPPED
    taken = 0
    for name in _PLACES:
        most, shift = _of(found, name)
        if most & (most + 1) or not most:
            raise Malformed(f"the most of {name} is {most}, not all ones")
        mask = most << shift
        if mask >> found.bits_per_pixel or mask & taken:
            raise Malformed(f"{name} does not fit at bit {shift}")
        taken |= mask
    return found._replace(big_endian=min(found.big_endian, 1), true_colour=1)


def colour_map() -> list[tuple[int, int, int]]:
    """Return the colours of `MAPPED`, red, green and blue from 0 to 65535."""
    return [
        ((i >> 5) * 65535 // 7, (i >> 2 & 7) * 65535 // 7, (i & 3) * 65535 // 3) for i in range(256)
    ]


class Converter:
    """Makes pixels of one format; `compact` as CPIXEL: three bytes of four where those hold all."""

    def __init__(self, format_: PixelFormat, compact: bool = False) -> None:
        size = format_.size
        order = range(size - 1, -1, -1) if format_.big_endian else range(size)
        parts = [_parts(format_, 8 * place) for place in order]
        if compact:
            parts = _compacted(format_, parts)
        self.size: Final = len(parts)
        self.plain: Final = not compact and format_ == OURS  # nothing is to be done
        self._parts: Final = parts

    def convert(self, pixels: bytes) -> bytes:
        """Turn pixels of ours into the viewer's."""
        if self.plain:
            return pixels
        count = len(pixels) // OURS_SIZE
        out = bytearray(count * self.size)
        for place, parts in enumerate(self._parts):
            if not parts:
                continue
            joined: bytes = b""
            for colour, table in parts:
                piece = pixels[colour::OURS_SIZE]
                if table is not None:
                    piece = piece.translate(table)
                joined = _join(joined, piece) if joined else piece
            out[place :: self.size] = joined
        return bytes(out)


_Parts = list[tuple[int, bytes | None]]


def _parts(format_: PixelFormat, bit: int) -> _Parts:
    """Return of what the byte is made that begins at a bit: colours, and what each becomes."""
    found: _Parts = []
    for name, colour in _PLACES.items():
        most, shift = _of(format_, name)
        if not (most << shift) >> bit & 0xFF:
            continue
        table = bytes(((value * most + 127) // 255 << shift) >> bit & 0xFF for value in range(256))
        found.append((colour, None if table == _SAME else table))
    return found


_SAME: Final = bytes(range(256))


def _compacted(format_: PixelFormat, parts: list[_Parts]) -> list[_Parts]:
    """Leave the byte out that holds nothing, where CPIXEL says so."""
    if format_.size != 4 or not format_.true_colour or format_.depth > 24:
        return parts
    taken = sum(most << shift for most, shift in (_of(format_, name) for name in _PLACES))
    if taken <= 0xFF_FFFF:  # the least significant three bytes hold all
        return parts[1:] if format_.big_endian else parts[:3]
    if not taken & 0xFF:
        return parts[:3] if format_.big_endian else parts[1:]
    return parts


def _of(format_: PixelFormat, name: str) -> tuple[int, int]:
    """Return the most that a colour can be, and its lowest bit."""
    most: int = getattr(format_, f"{name}_max")
    shift: int = getattr(format_, f"{name}_shift")
    return most, shift


def _join(a: bytes, b: bytes) -> bytes:
    """Return the bytes of `a` and `b` or'ed."""
    both = int.from_bytes(a, "little") | int.from_bytes(b, "little")
    return both.to_bytes(len(a), "little")
