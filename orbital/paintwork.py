"""What has to be painted after something has changed, and who is told that there is work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from orbital.frame import bar_of
from orbital.layout import Layout
from orbital.rect import Rect
from orbital.region import around
from orbital.scene import shown
from orbital.stack import Stack
from orbital.window import Window, nothing

_APART: Final = 16  # rectangles of a window's damage that are kept apart


class Paintwork:
    """Windows on screens, as far as painting them goes."""

    def __init__(self) -> None:
        self.layout: Final = Layout()
        self.stack: Final = Stack()
        self.on_work: Callable[[], object] = nothing
        """Called when `draw` has something to do; not again before `draw` was called."""
        self.shifted = False  # windows are not where they were when `draw` was called last
        self.version = 0  # counts changes of anything but what windows draw
        self._working = False
        self._damaged: dict[Window, None] = {}

    def damage(self, window: Window, rects: Iterable[Rect] = ()) -> None:
        """Hear that a window's owner has drawn: where, in its pixels; nowhere is everywhere."""
        if window.image is None:
            return
        whole = Rect(0, 0, window.width, window.height)
        found = window.damage
        found += [rect & whole for rect in rects] or [whole]
        if len(found) > _APART:
            window.damage = [around(found)]
        self._damaged[window] = None
        self._work()

    def repaint(self) -> None:
        """Have everything painted anew."""
        for screen in self.layout:
            screen.damage.add(screen.whole)
        self._work()

    def cursor_moved(self) -> None:
        """Hear that the cursor or what is shown above all windows is not as it was."""
        self._work()

    def _work(self) -> None:
        if not self._working:
            self._working = True
            self.on_work()

    def _forget_items(self, window: Window) -> None:
        for item in window.items.values():
            item.close()
        window.items.clear()

    def _touch(self, window: Window) -> None:
        """Have everything of a window painted anew that can be seen."""
        self.shifted = True
        self.version += 1
        if window.showing and not window.closed:
            for screen in self.layout:
                screen.damage.add(shown(screen, window).frame & screen.whole)
            self._work()

    def _touch_bar(self, window: Window) -> None:
        self.version += 1
        if window.showing and not window.closed and bar_of(window):
            for screen in self.layout:
                screen.damage.add(shown(screen, window).bar & screen.whole)
            self._work()
