"""Text on a window's picture, and the colours that programs share with the desktop."""

from __future__ import annotations

from typing import Final

from orbital.orbclient import Rect
from orbital.pixels import Image
from orbital.text import line
from orbital.theme import Theme

__all__ = ["BACK", "BAR", "LIGHT", "TEXT", "text"]

_THEME: Final = Theme()
BACK: Final = 0xFF1B1B1B
BAR: Final = _THEME.bar_color
LIGHT: Final = 0xFF363636
TEXT: Final = _THEME.text_color


def text(picture: Image, words: str, place: Rect, size: int, colour: int = TEXT) -> int:
    """Write a line from the left of `place`, in its middle; return its width in pixels.

    What does not fit is cut, with dots.
    """
    place &= Rect(0, 0, picture.width, picture.height)
    found = line(words, size, place.width)
    if found.mask is None:
        return 0
    width, height = min(found.width, place.width), min(found.height, place.height)
    top = place.y + (place.height - height) // 2
    picture.write(found.mask, 0, 0, Rect(place.x, top, width, height), colour)
    return width
