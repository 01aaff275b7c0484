"""Letters of one width, as masks: what a terminal and a viewer of text write with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from orbital.pixels import Mask
from redbear_host.errors import ConfigError

__all__ = ["Letters"]

_FILES: Final = (
    Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"),
    Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf"),
)
_MOST: Final = 4096  # masks that are kept


class Letters:
    """A font at a size: `width` by `height` pixels a cell."""

    def __init__(self, size: int) -> None:
        try:
            from PIL import Image, ImageDraw, ImageFont
        except ImportError as error:
            raise ConfigError(
                "letters are drawn by Pillow, which is not installed", "pip install pillow"
            ) from error
        self._new: Final[Any] = Image.new
        self._draw: Final[Any] = ImageDraw.Draw
        # Pillow's own letters are of different widths; they are put into cells of one.
        self._fonts: Final[list[Any]] = [
            ImageFont.truetype(str(file), size) if file.exists() else ImageFont.load_default(size)
            for file in _FILES
        ]
        ascent, descent = self._fonts[0].getmetrics()
        self.width: Final = max(1, round(self._fonts[0].getlength("0")))
        self.height: Final = ascent + descent
        self._masks: Final[dict[tuple[str, bool], Mask | None]] = {}

    def mask(self, text: str, bold: bool = False) -> Mask | None:
        """Return what is seen of a letter with its marks, one or two cells wide; None: nothing."""
        key = text, bold
        if key not in self._masks:
            if len(self._masks) >= _MOST:
                self._masks.clear()
            self._masks[key] = self._made(text, bold)
        return self._masks[key]

    def _made(self, text: str, bold: bool) -> Mask | None:
        if not text.strip() or not text.isprintable():
            return None
        font = self._fonts[bold]
        across = self.width * (2 if font.getlength(text) > self.width * 1.5 else 1)
        stride = (across + 3) & ~3
        picture = self._new("L", (stride, self.height))
        self._draw(picture).text((0, 0), text, fill=255, font=font)
        return Mask(across, self.height, bytearray(picture.tobytes()), stride)
