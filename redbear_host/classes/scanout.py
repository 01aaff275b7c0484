"""One display of a card: whose picture it shows, and what is on its way there.

What clients report in one round of the event loop goes to the card as one update, and they are
answered when the card has taken it over: N rectangles are one frame.
"""

from __future__ import annotations

from typing import Final

from redbear_host.classes.framebuffers import Framebuffer
from redbear_host.classes.screen import Area, DisplayAdapter
from redbear_host.scheme.request import Request

AREAS_MOST: Final = 16  # more than these are shown as the one that holds them all


def clip(area: Area, width: int, height: int) -> Area | None:
    """Return what of `area` lies in 0 by 0 to `width` by `height`; None for nothing."""
    x, y = min(area.x, width), min(area.y, height)
    right, bottom = min(area.x + area.width, width), min(area.y + area.height, height)
    return Area(x, y, right - x, bottom - y) if right > x and bottom > y else None


def covers(outer: Area, inner: Area) -> bool:
    """Tell whether all of `inner` lies in `outer`."""
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and outer.x + outer.width >= inner.x + inner.width
        and outer.y + outer.height >= inner.y + inner.height
    )


def around(one: Area, other: Area) -> Area:
    """Return the smallest area that holds both."""
    x, y = min(one.x, other.x), min(one.y, other.y)
    right = max(one.x + one.width, other.x + other.width)
    bottom = max(one.y + one.height, other.y + other.height)
    return Area(x, y, right - x, bottom - y)


class Scanout:
    """Display `display` of the card."""

    def __init__(self, adapter: DisplayAdapter, display: int) -> None:
        self._adapter: Final = adapter
        self._display: Final = display
        self.framebuffer: Framebuffer | None = None  # whose picture it is, or will be
        self._size = adapter.size(display)
        self._covered = (0, 0)  # pixels that may be other than black
        self._areas: list[Area] = []
        self._waiting: list[tuple[Request, int]] = []
        self._black = False  # it is to be cleared first
        self._blocked = False  # the card takes nothing now

    @property
    def idle(self) -> bool:
        """Nothing is on its way."""
        return not (self._areas or self._waiting or self._black)

    def show(self, framebuffer: Framebuffer, area: Area | None = None) -> None:
        """Show a picture, of which `area` has changed; None: all of it."""
        if framebuffer is not self.framebuffer:
            self.framebuffer = framebuffer
            wide, high = self._covered
            if framebuffer.width < wide or framebuffer.height < high:
                self._black, area = True, None
        self._add(area or Area(0, 0, framebuffer.width, framebuffer.height))

    def _add(self, area: Area) -> None:
        if any(covers(other, area) for other in self._areas):
            return
        self._areas = [other for other in self._areas if not covers(area, other)]
        self._areas.append(area)
        if len(self._areas) > AREAS_MOST:
            whole = area
            for other in self._areas:
                whole = around(whole, other)
            self._areas = [whole]

    def show_nothing(self) -> None:
        """Make it black."""
        self.framebuffer = None
        self._areas.clear()
        self._black = any(self._covered)

    def wait(self, request: Request, result: int = 0) -> None:
        """Answer `request` when all that was to be shown until now is taken over."""
        self._waiting.append((request, result))

    def on_ready(self) -> None:
        """Hear that the card takes pictures again."""
        self._blocked = False

    def on_changed(self) -> None:
        """Hear that it has changed: with another size it is black, else it may be."""
        self._blocked = False
        size = self._adapter.size(self._display)
        if size != self._size:
            self._size, self._covered, self._black = size, (0, 0), False
        if self.framebuffer is not None:
            self._areas.clear()
            self.show(self.framebuffer)

    def flush(self) -> None:
        """Hand over what there is to hand over, and answer those who wait for it."""
        if self._blocked or self.idle:
            return
        if self._black:
            self._adapter.clear(self._display)
            self._black, self._covered = False, (0, 0)
        if self._areas and not self._update():
            self._blocked = True
            return
        waiting, self._waiting = self._waiting, []
        for request, result in waiting:
            request.answer(result)

    def _update(self) -> bool:
        shown, (width, height) = self.framebuffer, self._adapter.size(self._display)
        if shown is not None:
            width, height = min(width, shown.width), min(height, shown.height)
            areas = [found for a in self._areas if (found := clip(a, width, height)) is not None]
            if areas:
                if not self._adapter.update(self._display, shown.pixels, shown.stride, areas):
                    return False
                wide, high = self._covered
                self._covered = (max(wide, width), max(high, height))
        self._areas.clear()
        return True
