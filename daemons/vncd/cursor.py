"""The cursor: for viewers who draw it themselves, and drawn for those who do not.

Ref: RFC 6143 §7.8.1 (Cursor); the community's description (Cursor With Alpha).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from daemons.vncd.messages import Encoding, rectangle
from daemons.vncd.pixels import Converter
from redbear_host.abi.display import CURSOR_SIDE, WORD
from redbear_host.classes.screen import Area

_PITCH: Final = CURSOR_SIDE * WORD
_OPAQUE: Final = 128  # alpha from which a pixel is there at all, for who knows no alpha
_NOTHING: Final = bytes(CURSOR_SIDE * _PITCH)


class Cursor(NamedTuple):
    """A picture of CURSOR_SIDE² words 0xAARRGGBB, alpha premultiplied, and where it is."""

    image: bytes = _NOTHING
    hot_x: int = 0
    hot_y: int = 0
    x: int = 0  # of the pixel that it points at
    y: int = 0
    visible: bool = False

    @property
    def area(self) -> Area:
        """Where it covers the screen; it may reach beyond, and begin before it."""
        return Area(self.x - self.hot_x, self.y - self.hot_y, CURSOR_SIDE, CURSOR_SIDE)

    def covers(self, area: Area) -> bool:
        """Tell whether it hides something of an area."""
        mine = self.area
        return (
            self.visible
            and area.x < mine.x + mine.width
            and mine.x < area.x + area.width
            and area.y < mine.y + mine.height
            and mine.y < area.y + area.height
        )

    def drawn_on(self, pixels: bytes, area: Area) -> bytes:
        """Return an area's pixels with the cursor over them."""
        out = bytearray(pixels)
        mine = self.area
        for y in range(max(area.y, mine.y), min(area.y + area.height, mine.y + mine.height)):
            row = (y - mine.y) * _PITCH
            to = (y - area.y) * area.width * WORD
            for x in range(max(area.x, mine.x), min(area.x + area.width, mine.x + mine.width)):
                source = row + (x - mine.x) * WORD
                keep = 255 - self.image[source + 3]
                if keep == 255:
                    continue
                at = to + (x - area.x) * WORD
                for colour in range(3):
                    below = (out[at + colour] * keep + 127) // 255
                    out[at + colour] = min(255, self.image[source + colour] + below)
        return bytes(out)

    # -- for viewers who draw it -------------------------------------------------------------------

    def _head(self, encoding: Encoding) -> bytes:
        if not self.visible:
            return rectangle(Area(0, 0, 0, 0), encoding)
        return rectangle(Area(self.hot_x, self.hot_y, CURSOR_SIDE, CURSOR_SIDE), encoding)

    def with_alpha(self) -> bytes:
        """Return the rectangle of Cursor With Alpha: red, green, blue, alpha, as Raw."""
        head = self._head(Encoding.ALPHA_CURSOR) + int(Encoding.RAW).to_bytes(4, "big")
        if not self.visible:
            return head
        out = bytearray(self.image)
        out[0::WORD], out[2::WORD] = self.image[2::WORD], self.image[0::WORD]
        return head + bytes(out)

    def with_mask(self, converter: Converter) -> bytes:
        """Return the rectangle of Cursor: pixels in the viewer's format, and which there are."""
        head = self._head(Encoding.CURSOR)
        if not self.visible:
            return head
        alphas = self.image[3::WORD]
        out = bytearray(self.image)
        for at, alpha in enumerate(alphas):
            if 0 < alpha < 255:
                for colour in range(at * WORD, at * WORD + 3):
                    out[colour] = min(255, out[colour] * 255 // alpha)
        bits = alphas.translate(_THERE).decode("ascii")
        mask = int(bits, 2).to_bytes(len(bits) // 8, "big")
        return head + converter.convert(bytes(out)) + mask


_THERE: Final = b"0" * _OPAQUE + b"1" * (256 - _OPAQUE)
