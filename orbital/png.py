"""Pictures as PNG files.  Ref: Portable Network Graphics (PNG) Specification, W3C, 2003."""

from __future__ import annotations

import struct
import zlib
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = struct.Struct(">IIBBBBB")  # width, height, depth, colour, 0, 0, 0
_TRUECOLOUR: Final = 2
_FAST: Final = 1  # zlib's level: whoever waits for a picture waits for all windows


def encode(pixels: bytes | bytearray | memoryview, width: int, height: int, stride: int) -> bytes:
    """Return a file of words 0xXXRRGGBB, little endian, in rows of `stride` bytes; no alpha."""
    rows = bytearray((width * 3 + 1) * height)
    line = width * 3 + 1
    for number in range(height):
        start = number * stride
        row = bytes(pixels[start : start + width * 4])
        at = number * line + 1  # behind the filter's number: 0, none
        end = number * line + line
        rows[at:end:3] = row[2::4]
        rows[at + 1 : end : 3] = row[1::4]
        rows[at + 2 : end : 3] = row[0::4]
    header = _HEADER.pack(width, height, 8, _TRUECOLOUR, 0, 0, 0)
    body = zlib.compress(rows, _FAST)
    return b"".join(
        (_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", body), _chunk(b"IEND", b""))
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
