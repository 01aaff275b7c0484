"""Lines of text as masks, by Pillow and the FreeType inside it."""

from __future__ import annotations

import functools
from typing import Any, Final, NamedTuple

from orbital.pixels import Mask

__all__ = ["Line", "line", "prepare"]

_MOST: Final = 512  # characters of a line that are looked at
_MORE: Final = "…"


class Line(NamedTuple):
    """A line of text; `mask` is None where there is nothing to be seen."""

    mask: Mask | None
    width: int
    height: int  # the same for all lines of a size


def prepare() -> bool:
    """Load what letters need, while there are files; False where Pillow is not installed."""
    return line("Orbital", 16, 1000).mask is not None


@functools.lru_cache(maxsize=512)
def line(text: str, size: int, width: int) -> Line:
    """Return `text` in letters of `size` pixels, cut where it is wider than `width` pixels.

    Without Pillow, an empty line: titles are missing then, and nothing else.
    """
    font = _font(size)
    if font is None:
        return Line(None, 0, size)
    ascent, descent = font.getmetrics()
    height = ascent + descent
    cut = _cut("".join(map(_seen, text[:_MOST])), font, width)
    across = min(int(font.getlength(cut)) + 1, width)
    if not cut or across <= 0:
        return Line(None, 0, height)
    from PIL import Image as Pictures
    from PIL import ImageDraw

    stride = (across + 3) & ~3
    picture = Pictures.new("L", (stride, height))
    ImageDraw.Draw(picture).text((0, 0), cut, fill=255, font=font)
    return Line(Mask(across, height, bytearray(picture.tobytes()), stride), across, height)


def _cut(text: str, font: Any, width: int) -> str:
    """Return the longest beginning of `text` that fits, with dots where something is missing."""
    if font.getlength(text) <= width:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if font.getlength(text[:middle] + _MORE) <= width:
            fits = middle
        else:
            too_long = middle
    return text[:fits] + _MORE if fits else ""


def _seen(character: str) -> str:
    return character if character.isprintable() else " "


@functools.cache
def _font(size: int) -> Any:
    # Pillow takes 50 ms to import, which a desktop without any title does not need.
    try:
        from PIL import ImageFont
    except ImportError:
        return None
    return ImageFont.load_default(size)
