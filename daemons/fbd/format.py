"""How a frame buffer of Linux stores pixels, and how ours become such.

Ref: linux uapi linux/fb.h: struct fb_var_screeninfo, struct fb_fix_screeninfo.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

VAR_SIZE: Final = 160  # of struct fb_var_screeninfo
FIX_SIZE: Final = 80  # of struct fb_fix_screeninfo, with 64-bit addresses

_VAR: Final = struct.Struct("<8I12I")
_ID: Final = struct.Struct("<16s")
_LENGTH_AT, _TYPE_AT, _VISUAL_AT, _LINE_AT = 24, 28, 36, 48
_PACKED_PIXELS: Final = 0
_TRUECOLOR, _DIRECTCOLOR = 2, 4

Convert: TypeAlias = Callable[[memoryview], bytes | bytearray | memoryview]
"""Turns words 0xXXRRGGBB of one row into bytes of the frame buffer."""


class Layout(NamedTuple):
    """What there is to know."""

    name: str  # of Linux's driver
    width: int
    height: int
    start: int  # byte of the first pixel that is seen
    pitch: int  # bytes of a row
    length: int  # bytes of the memory
    depth: int  # bytes of a pixel
    convert: Convert | None  # None: as they are


NOTHING: Final = Layout("none", 0, 0, 0, 0, 0, 4, None)


def parse(var: bytes, fix: bytes) -> Layout:
    """Understand what FBIOGET_VSCREENINFO and FBIOGET_FSCREENINFO say; ValueError if we cannot."""
    width, height, _, virtual, x, y, bits, grey, *fields = _VAR.unpack_from(var)
    (name,) = _ID.unpack_from(fix)
    (length,) = struct.unpack_from("<I", fix, _LENGTH_AT)
    kind, visual, pitch = (
        struct.unpack_from("<I", fix, at)[0] for at in (_TYPE_AT, _VISUAL_AT, _LINE_AT)
    )
    channels = [(fields[at], fields[at + 1]) for at in (0, 3, 6)]
    depth = bits // 8
    start = y * pitch + x * depth
    if kind != _PACKED_PIXELS or visual not in (_TRUECOLOR, _DIRECTCOLOR) or grey:
        raise ValueError(f"its pixels are of type {kind}, visual {visual}")
    if not (0 < width <= 16384 and 0 < height <= 16384 and width * depth <= pitch):
        raise ValueError(f"{width}x{height} pixels of {bits} bits, {pitch} bytes a row")
    end = start + (height - 1) * pitch + width * depth
    if end > length or y + height > max(virtual, height):
        raise ValueError(f"a picture of {height} rows at {start} in {length} bytes")
    convert = _converter(bits, channels)
    text = name.split(b"\0")[0].decode("ascii", "replace")
    return Layout(text, width, height, start, pitch, length, depth, convert)


def _converter(bits: int, channels: list[tuple[int, int]]) -> Convert | None:
    """Return what converts a row; None if nothing has to be."""
    if bits in (24, 32) and all(length == 8 and not at % 8 for at, length in channels):
        if bits == 32 and channels == [(16, 8), (8, 8), (0, 8)]:
            return None
        if max(at for at, _ in channels) < bits:
            return _bytewise(bits // 8, [at // 8 for at, _ in channels])
    if bits == 16 and all(0 < length <= 8 and at + length <= 16 for at, length in channels):
        return _packed(channels)
    raise ValueError(f"pixels of {bits} bits with channels {channels}")


def _bytewise(depth: int, places: list[int]) -> Convert:
    def convert(row: memoryview) -> bytearray:
        made = bytearray(len(row) // 4 * depth)
        for source, place in zip((2, 1, 0), places, strict=True):
            made[place::depth] = row[source::4]
        return made

    return convert


def _packed(channels: list[tuple[int, int]]) -> Convert:
    """Convert by tables: each byte of a channel gives a byte of the lower and of the upper half."""
    tables = []
    for source, (at, length) in zip((2, 1, 0), channels, strict=True):
        words = [value >> 8 - length << at for value in range(256)]
        lower, upper = bytes(word & 0xFF for word in words), bytes(word >> 8 for word in words)
        tables.append((source, lower, upper))

    def convert(row: memoryview) -> bytearray:
        count = len(row) // 4
        made = bytearray(count * 2)
        halves = [0, 0]
        for source, *pair in tables:
            channel = bytes(row[source::4])
            for half, table in enumerate(pair):
                halves[half] |= int.from_bytes(channel.translate(table), "little")
        for half, value in enumerate(halves):
            made[half::2] = value.to_bytes(count, "little")
        return made

    return convert
