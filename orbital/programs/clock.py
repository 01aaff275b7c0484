"""`orbital-clock`: the time, in a window."""

from __future__ import annotations

import argparse
import time
from typing import Final

from orbital.orbclient import Rect, Window, WindowFlag
from orbital.programs.paint import BACK, TEXT, text
from orbital.programs.program import Program, started
from orbital.text import line

_SIZE: Final = (240, 80)


class Clock(Program):
    """A window with the time of the day."""

    def __init__(self, window: Window, form: str) -> None:
        super().__init__(window)
        self._form: Final = form
        self.every(1.0, self._tick)

    def _tick(self) -> None:
        self.stale = True

    def draw(self) -> list[Rect]:
        """Draw it as large as fits."""
        picture = self.window.picture
        whole = Rect(0, 0, picture.width, picture.height)
        now = time.strftime(self._form)
        size = max(8, min(picture.height // 2, 2 * picture.width // max(len(now), 1)))
        picture.fill(whole, BACK)
        width = line(now, size, picture.width).width
        text(picture, now, whole.moved((picture.width - width) // 2, 0) & whole, size, TEXT)
        return []


def run() -> None:
    """Read the arguments and show the clock."""
    parser = argparse.ArgumentParser(description="show the time in a window of Orbital")
    parser.add_argument("--form", default="%H:%M:%S", help="as for date(1) (%%H:%%M:%%S)")
    args = parser.parse_args()
    with Window(*_SIZE, "Clock", flags=WindowFlag.RESIZABLE) as window:
        Clock(window, args.form).run()


def main() -> int:
    """Run; return the exit status."""
    return started(run)
