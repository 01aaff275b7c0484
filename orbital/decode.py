"""Picture files of a theme, by Pillow, at the scale of a screen."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from typing import Any, Final

from orbital.pixels import Image
from orbital.pointer import Shape
from redbear_host.abi.orbital import SCALE_ONE

_LOG: Final = logging.getLogger(__name__)
_LARGEST: Final = 512  # pixels of a picture's side


class Pictures:
    """The files of a theme, decoded when they are first wanted; one that cannot be is left out."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files: Final = dict(files)
        self._buttons: Final[dict[tuple[str, int], Image | None]] = {}

    def button(self, name: str, scale: int) -> Image | None:
        """Return a picture to draw from; None where the theme has none."""
        if name not in self._files:
            return None
        if (name, scale) not in self._buttons:
            found = self._decoded(name, scale)
            self._buttons[name, scale] = (
                None if found is None else Image(found[1], found[2], found[0])
            )
        return self._buttons[name, scale]

    def cursor(
        self, name: str, shape: Shape, scale: int
    ) -> tuple[bytearray, int, int, int, int] | None:
        """Return a cursor's pixels, width, height and hot spot; None where the theme has none.

        The arrow points with its top left pixel, all others with their middle.
        """
        found = self._decoded(name, scale)
        if found is None:
            return None
        pixels, width, height = found
        x, y = (0, 0) if shape == Shape.ARROW else (width // 2, height // 2)
        return pixels, width, height, x, y

    def _decoded(self, name: str, scale: int) -> tuple[bytearray, int, int] | None:
        data = self._files.get(name)
        if data is None:
            return None
        try:
            return _decode(data, scale)
        except (OSError, ValueError, ImportError, SyntaxError) as error:
            # Pillow reports a broken PNG as a SyntaxError.
            _LOG.warning("orbital.toml: %s: %s; the built-in picture is shown", name, error)
            del self._files[name]
            return None


def _decode(data: bytes, scale: int) -> tuple[bytearray, int, int]:
    from PIL import Image as Files

    with Files.open(io.BytesIO(data)) as file:
        if max(file.size) > _LARGEST:
            raise ValueError(f"{file.size[0]} by {file.size[1]} pixels is too large")
        picture: Any = file.convert("RGBA")
    if scale != SCALE_ONE:
        size = tuple(max(1, side * scale // SCALE_ONE) for side in picture.size)
        picture = picture.resize(size)
    red, green, blue, alpha = picture.convert("RGBa").split()
    # Words 0xAARRGGBB in memory, which Pillow does not know with alpha premultiplied.
    words = Files.merge("RGBA", (blue, green, red, alpha)).tobytes()
    return bytearray(words), *picture.size
