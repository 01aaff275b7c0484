"""Super+Tab: choosing a window from a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orbital.window import Window
from orbital.windows import Windows
from redbear_host.abi.orbital import WindowFlag


class Switcher:
    """The list while Super is held, and which of it is chosen."""

    def __init__(self, windows: Windows) -> None:
        self.index = 0
        self._windows: Final = windows
        self._list: list[Window] = []

    @property
    def titles(self) -> Sequence[str]:
        """What can be chosen, last used first; nothing while nobody chooses."""
        return [window.title for window in self._list]

    def step(self, by: int) -> None:
        """Choose the next, or the one before; the list is made at the first step."""
        if not self._list:
            self._list = sorted(filter(_listed, self._windows.stack), key=_last_used)
            self.index = 0
        if self._list:
            self.index = (self.index + by) % len(self._list)
            self._windows.cursor_moved()

    def choose(self) -> None:
        """Let the chosen window have the focus."""
        chosen = self._list[self.index] if self._list else None
        self.give_up()
        if chosen is not None:
            self._windows.minimise(chosen, False)
            self._windows.focus(chosen)

    def give_up(self) -> None:
        """Forget the list; the focus stays where it is."""
        if self._list:
            self._list = []
            self._windows.cursor_moved()

    def forget(self, window: Window) -> None:
        """Hear that a window is gone."""
        if window in self._list:
            at = self._list.index(window)
            del self._list[at]
            self.index -= at < self.index
            self.index = min(self.index, max(len(self._list) - 1, 0))
            self._windows.cursor_moved()


def _listed(window: Window) -> bool:
    hidden = window.flags & WindowFlag.HIDDEN or window.behind
    return bool(window.title) and not hidden and window.image is not None


def _last_used(window: Window) -> int:
    return -window.seen
