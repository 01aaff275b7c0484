"""`orbital-image FILE …`: pictures in a window; the arrows go from one to the next."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from orbital.orbclient import Event, Key, Rect, Window, WindowFlag, display_size
from orbital.pixels import Image
from orbital.programs import pictures
from orbital.programs.paint import BACK
from orbital.programs.program import Program, started
from redbear_host.abi.scancodes import Key as Scan

_LEAST: Final = (160, 120)
_NEXT: Final[dict[int, int]] = {Scan.RIGHT: 1, Scan.SPACE: 1, Scan.LEFT: -1}


class Images(Program):
    """One of several pictures, as large as fits."""

    def __init__(self, window: Window, files: list[Path], first: Image) -> None:
        super().__init__(window)
        self._files: Final = files
        self._at = 0
        self._image = first

    def on_event(self, event: Event) -> None:
        """Go on, go back, or end."""
        super().on_event(event)
        if isinstance(event, Key) and event.pressed:
            if event.scancode == Scan.ESC:
                self.ended = True
            elif (step := _NEXT.get(event.scancode)) is not None and len(self._files) > 1:
                self._show(self._at + step)

    def _show(self, at: int) -> None:
        self._at = at % len(self._files)
        path = self._files[self._at]
        self._image = pictures.load(path)
        self.window.title = path.name
        self.stale = True

    def draw(self) -> list[Rect]:
        """Draw it; small ones as they are."""
        onto = self.window.picture
        small = self._image.width <= onto.width and self._image.height <= onto.height
        pictures.draw(onto, self._image, "center" if small else "scale", BACK)
        return []


def run() -> None:
    """Read the arguments and show the pictures."""
    parser = argparse.ArgumentParser(description="show pictures in a window of Orbital")
    parser.add_argument("file", nargs="+", type=Path, help="PNG, JPEG, BMP and what Pillow reads")
    files: list[Path] = parser.parse_args().file
    first = pictures.load(files[0])
    most = display_size()
    width, height = (
        max(low, min(wanted, high * 3 // 4))
        for low, wanted, high in zip(_LEAST, (first.width, first.height), most, strict=True)
    )
    with Window(width, height, files[0].name, flags=WindowFlag.RESIZABLE) as window:
        Images(window, files, first).run()


def main() -> int:
    """Run; return the exit status."""
    return started(run)
