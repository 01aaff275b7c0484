"""Who is in front of whom: three levels, and within each the order of focus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orbital.window import Window
from redbear_host.abi.orbital import WindowFlag

FRONT: Final = 0
NORMAL: Final = 1
BACK: Final = 2


def level(window: Window) -> int:
    """Return which of the three levels a window is on."""
    if window.flags & WindowFlag.FRONT:
        return FRONT
    return BACK if window.behind else NORMAL


class Stack:
    """All windows, frontmost first, whether they are showing or not."""

    __slots__ = ("_levels", "_showing")

    def __init__(self) -> None:
        self._levels: Final[tuple[list[Window], ...]] = ([], [], [])
        self._showing: list[Window] | None = None

    def __iter__(self) -> Iterator[Window]:
        for windows in self._levels:
            yield from windows

    def __len__(self) -> int:
        return sum(map(len, self._levels))

    @property
    def showing(self) -> list[Window]:
        """Those that can be seen, frontmost first; not to be changed."""
        if self._showing is None:
            self._showing = [window for window in self if window.showing]
        return self._showing

    def level(self, number: int) -> list[Window]:
        """Return the windows of one level, frontmost first; not to be changed."""
        return self._levels[number]

    def add(self, window: Window) -> None:
        """Put a window in front of its level."""
        self._levels[level(window)].insert(0, window)
        self._showing = None

    def remove(self, window: Window) -> None:
        """Take a window out, on whatever level it is."""
        for windows in self._levels:
            if window in windows:
                windows.remove(window)
        self._showing = None

    def raise_(self, window: Window) -> None:
        """Put a window in front of its level, or of the level that its flags name now."""
        windows = self._levels[level(window)]
        if not windows or windows[0] is not window:
            self.remove(window)
            self.add(window)

    def lower(self, window: Window) -> None:
        """Put a window behind all others of its level."""
        self.remove(window)
        self._levels[level(window)].append(window)
        self._showing = None

    def changed(self) -> None:
        """Hear that a window shows itself or no longer does."""
        self._showing = None
