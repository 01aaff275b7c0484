"""How a screen shows a window: in which pixels, and from which pictures."""

from __future__ import annotations

from typing import Final

from orbital.frame import Part, bar_of, buttons
from orbital.pixels import Image
from orbital.rect import EMPTY, Rect
from orbital.region import edges
from orbital.screen import Screen
from orbital.window import Window
from redbear_host.abi.orbital import SCALE_ONE

__all__ = ["Shown", "shown"]

_WIDEST: Final = 8192  # pixels of a title bar, which is a picture; windows may be wider


class Shown:
    """A window on one screen; thrown away when the window or the screen changes its place."""

    __slots__ = (
        "bar",
        "bar_box",
        "body",
        "body_box",
        "buttons",
        "frame",
        "frame_box",
        "image",
        "opaque",
        "scaled",
    )

    def __init__(self, screen: Screen, window: Window) -> None:
        source = window.image
        if source is None:
            raise ValueError(f"{window} has nothing to show")
        body = screen.pixels(window.place)
        if window.scale == screen.scale:
            # What was drawn for this screen is shown as it is, whatever rounding says of its size.
            body = Rect(body.x, body.y, window.width, window.height)
        self.body: Rect = body
        self.bar: Rect = EMPTY
        bar = bar_of(window)
        if bar and body:
            top = screen.pixel(bar.x, bar.y)[1]
            self.bar = Rect(body.x, top, min(body.width, _WIDEST), body.y - top)
        self.frame: Rect = body.around(self.bar)
        self.scaled: Image | None = None
        if (source.width, source.height) != (body.width, body.height) and body:
            self.scaled = source.scaled(body.width, body.height)
        self.image: Image = self.scaled or source
        self.opaque: bool = window.opaque
        self.buttons: tuple[Part, ...] = buttons(window)
        self.bar_box, self.body_box = edges(self.bar), edges(body)
        self.frame_box = edges(self.frame)

    def close(self) -> None:
        """Let the window's memory go."""
        if self.scaled is not None:
            self.scaled.close()
            self.scaled = None

    def damaged(self, rect: Rect, window: Window) -> Rect:
        """Return where pixels of the window's picture are seen on the screen."""
        body = self.body
        if self.scaled is None:
            return rect.moved(body.x, body.y) & body
        # A pixel is blended into those around it.
        across, down = body.width, body.height
        left = rect.x * across // window.width - across // window.width - 2
        top = rect.y * down // window.height - down // window.height - 2
        right = -(-rect.right * across // window.width) + across // window.width + 2
        bottom = -(-rect.bottom * down // window.height) + down // window.height + 2
        return Rect(left, top, right - left, bottom - top).moved(body.x, body.y) & body


def shown(screen: Screen, window: Window) -> Shown:
    """Return how `screen` shows a window that is showing."""
    found: Shown | None = window.items.get(screen)
    if found is None:
        found = window.items[screen] = Shown(screen, window)
    return found


def points(length: int, scale: int) -> int:
    """Return how many points a picture of so many pixels takes that was drawn for `scale`."""
    return -(-length * SCALE_ONE // scale)
