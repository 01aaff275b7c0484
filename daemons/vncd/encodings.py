"""Pixels on their way to one viewer: Raw, Zlib, ZRLE.

Ref: RFC 6143 §7.7.1 and §7.7.6; Zlib as the community's description has it.  Each compressed
encoding is one zlib stream for as long as the viewer stays, whatever happens to his pixel format.
"""

from __future__ import annotations

import zlib
from typing import Final

from daemons.vncd.messages import Encoding, sized
from daemons.vncd.pixels import OURS, Converter, PixelFormat

OFFERED: Final = frozenset((Encoding.RAW, Encoding.ZLIB, Encoding.ZRLE))

_LEVEL: Final = 1  # more costs our time on a machine that has other things to do
_TILE: Final = 64
_RAW: Final = b"\0"  # subencodings of ZRLE
_SOLID: Final = b"\1"


class Encoder:
    """What one viewer gets: his pixel format, his encoding, his zlib streams."""

    def __init__(self) -> None:
        self.encoding = Encoding.RAW
        self._streams: Final[dict[Encoding, zlib._Compress]] = {}
        self.format: PixelFormat
        self._plain: Converter
        self._compact: Converter
        self.use(OURS)

    def use(self, format_: PixelFormat) -> None:
        """Make pixels of another format from now on."""
        self.format = format_
        self._plain = Converter(format_)
        self._compact = Converter(format_, compact=True)

    def encode(self, pixels: bytes, width: int) -> bytes:
        """Return the data of a rectangle; `pixels` are the screen's, its rows `width` wide."""
        match self.encoding:
            case Encoding.ZLIB:
                return self._compress(self._plain.convert(pixels))
            case Encoding.ZRLE:
                return self._compress(self._tiles(pixels, width))
            case _:
                return self._plain.convert(pixels)

    def _compress(self, data: bytes) -> bytes:
        stream = self._streams.get(self.encoding)
        if stream is None:
            stream = self._streams[self.encoding] = zlib.compressobj(_LEVEL)
        return sized(stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))

    def _tiles(self, pixels: bytes, width: int) -> bytes:
        """Return the tiles of ZRLE: those of one colour as that, all others as they are."""
        converter = self._compact
        size = converter.size
        data = converter.convert(pixels)
        pitch = width * size
        found: list[bytes] = []
        for top in range(0, len(data), _TILE * pitch):
            bottom = min(top + _TILE * pitch, len(data))
            for left in range(0, pitch, _TILE * size):
                right = min(left + _TILE * size, pitch)
                starts = range(top, bottom, pitch)
                tile = b"".join([data[row + left : row + right] for row in starts])
                colour = tile[:size]
                if tile == colour * (len(tile) // size):
                    found += (_SOLID, colour)
                else:
                    found += (_RAW, tile)
        return b"".join(found)
