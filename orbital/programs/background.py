"""`orbital-background [PICTURE]`: what is behind all windows."""

from __future__ import annotations

import argparse
import errno
from pathlib import Path
from typing import Final

from orbital.orbclient import Event, Rect, Resize, Screen, Window, WindowFlag, display_size
from orbital.pixels import Image
from orbital.programs import pictures
from orbital.programs.program import Program, started
from redbear_host.errors import ConfigError

_FLAGS: Final = WindowFlag.BACK | WindowFlag.BORDERLESS | WindowFlag.UNCLOSABLE
_TOP: Final = (0x24, 0x2C, 0x3C)  # without a picture: red, green, blue at the top …
_BOTTOM: Final = (0x0C, 0x0E, 0x14)  # … and at the bottom
_BANDS: Final = 64


class Background(Program):
    """A window as large as its display, behind all others."""

    def __init__(self, window: Window, picture: Image | None, mode: str) -> None:
        super().__init__(window)
        self._picture: Final = picture
        self._mode: Final = mode

    def on_event(self, event: Event) -> None:
        """Stay as large as the display."""
        if isinstance(event, Screen):
            event = Resize(event.width, event.height)
        super().on_event(event)

    def draw(self) -> list[Rect]:
        """Draw the picture, or a gradient."""
        onto = self.window.picture
        if self._picture is not None:
            pictures.draw(onto, self._picture, self._mode, 0xFF000000)
            return []
        for band in range(_BANDS):
            top, bottom = (onto.height * edge // _BANDS for edge in (band, band + 1))
            red, green, blue = (
                low + (high - low) * band // (_BANDS - 1)
                for low, high in zip(_TOP, _BOTTOM, strict=True)
            )
            word = 0xFF000000 | red << 16 | green << 8 | blue
            onto.fill(Rect(0, top, onto.width, bottom - top), word)
        return []


def run() -> None:
    """Read the arguments and show the background."""
    parser = argparse.ArgumentParser(description="a background for a display of Orbital")
    parser.add_argument("picture", nargs="?", type=Path, help="its file; none: a gradient")
    parser.add_argument("--mode", choices=pictures.MODES, default="zoom", help="(%(default)s)")
    parser.add_argument("--display", type=int, default=0, metavar="N", help="(%(default)s)")
    args = parser.parse_args()
    picture = None if args.picture is None else pictures.load(args.picture)
    try:
        size = display_size(args.display)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        hint = "see what there is: redbear-host orbital displays"
        raise ConfigError(f"there is no display {args.display}", hint) from error
    with Window(*size, "", 0, 0, _FLAGS) as window:
        Background(window, picture, args.mode).run()


def main() -> int:
    """Run; return the exit status."""
    return started(run)
