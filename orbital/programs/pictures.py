"""Pictures of files, by Pillow, and the ways to fit one into a place."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from orbital.orbclient import Rect
from orbital.pixels import Image
from redbear_host.errors import ConfigError

__all__ = ["MODES", "draw", "load"]

MODES: Final = ("center", "fill", "scale", "zoom")
"""As it is; stretched; all of it as large as fits; as small as covers the place."""

_PIXELS_MOST: Final = 100_000_000


def load(path: Path) -> Image:
    """Return what is in a file; `ConfigError` says why it cannot be shown."""
    try:
        from PIL import Image as Pictures
    except ImportError as error:
        raise ConfigError(
            "pictures are read by Pillow, which is not installed", "pip install pillow"
        ) from error
    Pictures.MAX_IMAGE_PIXELS = None  # else it warns on the terminal; they are counted here
    try:
        with Pictures.open(path) as file:
            if file.width * file.height > _PIXELS_MOST:
                raise ConfigError(f"{path} has {file.width} by {file.height} pixels: too many")
            # Blue first, and the colours times the alpha: as windows have it.
            found = file.convert("RGBA").convert("RGBa")
            data = bytearray(found.tobytes("raw", "RGBa"))
            data[0::4], data[2::4] = data[2::4], data[0::4]
            return Image(found.width, found.height, data)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{path} is no picture that Pillow can read: {error}") from error


def draw(onto: Image, picture: Image, mode: str, back: int) -> Rect:
    """Draw `picture` onto all of `onto`; return where it is, which may be beyond the edges."""
    width, height = onto.width, onto.height
    across, down = picture.width, picture.height
    if mode == "fill":
        across, down = width, height
    elif mode in ("scale", "zoom"):
        # Which side decides: the one that would be too long, or the one that would be too short.
        by_width = (width * down <= height * across) == (mode == "scale")
        if by_width:
            across, down = width, max(1, down * width // across)
        else:
            across, down = max(1, across * height // down), height
    place = Rect((width - across) // 2, (height - down) // 2, across, down)
    onto.fill(Rect(0, 0, width, height), back)
    seen = place & Rect(0, 0, width, height)
    if (across, down) == (picture.width, picture.height):
        onto.over(picture, seen.x - place.x, seen.y - place.y, seen)
    else:
        scaled = picture.scaled(across, down)
        onto.over(scaled, seen.x - place.x, seen.y - place.y, seen)
        scaled.close()
    return place
