"""Title bars, cursors and panels as pictures, made when they are first seen and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, NamedTuple

from orbital import art, decode
from orbital.frame import CELL, Part
from orbital.layout import in_units
from orbital.pixels import Image, premultiplied
from orbital.pointer import Shape
from orbital.rect import Rect
from orbital.text import line
from orbital.theme import Theme

__all__ = ["HELP", "Painter", "Picture"]

TITLE: Final = 16  # points of the height of letters
_PAD: Final = 8  # points around the lines of a panel, and before a title
_KEPT: Final = 8 << 20  # pixels of all title bars and panels together
_PANEL: Final = 560  # points that the lines of a panel may be wide
_LINES: Final = 24  # of a panel; more titles scroll

HELP: Final = (
    "Super + Tab: next window",
    "Super + Q: close",
    "Super + M: maximise or restore",
    "Super + H: minimise",
    "Super + Shift + Enter: full screen",
    "Super + arrows: move",
    "Super + Shift + arrows: half of the screen",
    "Super + C, X, V: copy, cut, paste",
    "Super + { } \\: volume",
    "Super + left button: move",
)

_BUTTONS: Final = {
    Part.CLOSE: (art.CLOSE, "window_close"),
    Part.MAXIMISE: (art.MAXIMISE, "window_max"),
    Part.MINIMISE: (art.MINIMISE, ""),
}
_CURSORS: Final = {
    Shape.ARROW: "cursor",
    Shape.LEFT_SIDE: "left_side",
    Shape.RIGHT_SIDE: "right_side",
    Shape.BOTTOM_SIDE: "bottom_side",
    Shape.BOTTOM_LEFT: "bottom_left_corner",
    Shape.BOTTOM_RIGHT: "bottom_right_corner",
}


class Picture(NamedTuple):
    """A cursor; `memory` has the pixels of `image`, rows without gaps."""

    image: Image
    memory: memoryview
    width: int
    height: int
    hot_x: int
    hot_y: int


class Painter:
    """Makes pictures in the colours of a theme."""

    def __init__(self, theme: Theme) -> None:
        self._theme: Final = theme
        self._kept: Final[OrderedDict[Hashable, Image]] = OrderedDict()
        self._pixels = 0  # of what is kept
        self._cursors: Final[dict[tuple[Shape, int], Picture]] = {}
        self._pictures: Final = decode.Pictures(theme.pictures)

    def bar(
        self,
        title: str,
        known: tuple[Part, ...],
        width: int,
        height: int,
        scale: int,
        focused: bool,
    ) -> Image:
        """Return a title bar with the buttons `known`, in pixels of a screen with that scale."""
        key = (title, width, height, scale, focused, known)
        image = self._kept.get(key)
        if image is None:
            image = self._keep(key, self._bar(title, known, width, height, scale, focused))
        return image

    def panel(self, lines: tuple[str, ...], chosen: int, scale: int) -> Image:
        """Return a panel of lines; the one with index `chosen` is highlighted."""
        key = (lines, chosen, scale)
        image = self._kept.get(key)
        if image is None:
            image = self._keep(key, self._panel(lines, chosen, scale))
        return image

    def cursor(self, shape: Shape, scale: int) -> Picture:
        """Return the picture of a cursor."""
        found = self._cursors.get((shape, scale))
        if found is None:
            drawn = self._pictures.cursor(_CURSORS[shape], shape, scale)
            pixels, width, height, x, y = drawn or art.cursor(shape, scale)
            image = Image(width, height, pixels)
            found = Picture(image, memoryview(pixels), width, height, x, y)
            self._cursors[shape, scale] = found
        return found

    def _keep(self, key: Hashable, image: Image) -> Image:
        self._kept[key] = image
        self._pixels += image.width * image.height
        while self._pixels > _KEPT and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._pixels -= oldest.width * oldest.height
        return image

    def _bar(
        self,
        title: str,
        known: tuple[Part, ...],
        width: int,
        height: int,
        scale: int,
        focused: bool,
    ) -> Image:
        theme, image = self._theme, Image.new(width, height)
        ground = theme.bar_highlight_color if focused else theme.bar_color
        ink = theme.text_highlight_color if focused else theme.text_color
        image.fill(Rect(0, 0, width, height), premultiplied(ground))
        for number, part in enumerate(known, 1):
            left = width - in_units(CELL * number, scale)
            outline, name = _BUTTONS[part]
            drawn = self._pictures.button(name + ("" if focused else "_unfocused"), scale)
            if drawn is not None:
                across, down = min(drawn.width, width), min(drawn.height, height)
                top = (height - down) // 2
                image.over(drawn, 0, 0, Rect(left, top, across, down))
            else:
                mask = art.button(outline, scale)
                top = (height - mask.height) // 2
                image.write(mask, 0, 0, Rect(left, top, mask.width, mask.height), ink)
        pad = in_units(_PAD, scale)
        room = width - in_units(CELL * len(known), scale) - 2 * pad
        written = line(title, in_units(TITLE, scale), room) if room > 0 else None
        if written is not None and written.mask is not None:
            top = (height - written.height) // 2
            image.write(written.mask, 0, 0, Rect(pad, top, written.width, written.height), ink)
        return image

    def _panel(self, lines: tuple[str, ...], chosen: int, scale: int) -> Image:
        theme = self._theme
        size, pad, most = (in_units(length, scale) for length in (TITLE, _PAD, _PANEL))
        first = max(0, min(chosen - _LINES // 2, len(lines) - _LINES))
        written = [line(text, size, most) for text in lines[first : first + _LINES]]
        step = max((one.height for one in written), default=size) + pad // 2
        width = max(one.width for one in written) + 2 * pad
        image = Image.new(width, step * len(written) + 2 * pad)
        image.fill(Rect(0, 0, width, image.height), premultiplied(theme.bar_color))
        for index, one in enumerate(written):
            top, ink = pad + index * step, theme.text_color
            if index + first == chosen:
                image.fill(Rect(0, top, width, step), premultiplied(theme.bar_highlight_color))
                ink = theme.text_highlight_color
            if one.mask is not None:
                place = Rect(pad, top + pad // 4, one.width, one.height)
                image.write(one.mask, 0, 0, place, ink)
        return image
