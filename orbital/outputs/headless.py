"""A screen that nobody sees: memory, for machines without one, for tests, and for screenshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from orbital.output import Frame
from orbital.outputs.paced import Paced
from orbital.rect import Rect
from orbital.window import nothing
from redbear_host.abi.display import WORD
from redbear_host.errors import ConfigError
from redbear_host.scheme.loop import Loop

SIDE_MOST: Final = 8192
_MODES: Final = ((640, 480), (800, 600), (1024, 768), (1280, 800), (1920, 1080), (2560, 1440))


class Headless(Paced):
    """One such screen."""

    def __init__(self, loop: Loop, width: int, height: int, rate: int) -> None:
        super().__init__("headless", loop, rate)
        self._preferred: Final = (width, height)
        self._size = (width, height)
        self._pixels = bytearray(width * height * WORD)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._size

    @property
    def cursor_limits(self) -> tuple[int, int]:
        """None: the cursor is drawn."""
        return 0, 0

    def modes(self) -> Sequence[tuple[int, int]]:
        """Return what it was configured to be, and the usual sizes."""
        return (self._preferred, *(mode for mode in _MODES if mode != self._preferred))

    def set_mode(self, width: int, height: int) -> None:
        """Take another size."""
        if (width, height) not in self.modes():
            raise ValueError(f"{width}x{height} is not one of its sizes")
        if (width, height) != self._size:
            self._size = (width, height)
            self._pixels = bytearray(width * height * WORD)
            self.on_changed()

    def _free(self) -> bool:
        return True

    def _frame(self) -> Frame:
        return Frame(memoryview(self._pixels), self._size[0] * WORD, ())

    def present(self, damage: Sequence[Rect]) -> None:
        """Count it."""
        self._began()
        self._shown()

    def set_cursor(self, picture: memoryview | None, width: int, height: int) -> None:
        """Have no cursor."""

    def move_cursor(self, x: int, y: int) -> None:
        """Have no cursor."""

    def close(self) -> None:
        """Leave nothing."""


class HeadlessSource:
    """The one screen there is then."""

    def __init__(self, loop: Loop, size: str, rate: int) -> None:
        """Make it `size`, as `1280x800`; `ConfigError` for what is no size."""
        self.on_outputs: Callable[[], object] = nothing
        self.outputs: Final = [Headless(loop, *read_size(size), rate)]

    def close(self) -> None:
        """Leave nothing."""


def read_size(text: str) -> tuple[int, int]:
    """Read `1280x800`; `ConfigError` for what is none."""
    width, cross, height = text.partition("x")
    if cross and width.isdecimal() and height.isdecimal():
        found = int(width[:9]), int(height[:9])
        if all(0 < side <= SIDE_MOST for side in found):
            return found
    raise ConfigError(
        f"{text!r} is no size of a screen", f"write it as 1280x800, at most {SIDE_MOST} each way"
    )
