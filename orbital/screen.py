"""One output in the plane of the desktop: which points it shows, and at which scale."""

from __future__ import annotations

from typing import Final

from orbital.output import Output
from orbital.rect import EMPTY, Rect
from orbital.region import Damage
from orbital.window import Window
from redbear_host.abi.orbital import SCALE_ONE

SCALES: Final = range(SCALE_ONE // 2, SCALE_ONE * 8 + 1)  # the scales that are taken


def usual_scale(height: int) -> int:
    """Return the scale for a screen of so many rows where nobody set one: whole factors only."""
    return SCALE_ONE * (height // 1600 + 1)


class Screen:
    """An output, where it stands in the plane, and what of it has to be painted.

    Points are turned into pixels by rounding down, edges and not lengths: what touches in the plane
    touches on the screen.
    """

    __slots__ = (
        "cursor_at",
        "cursor_key",
        "damage",
        "layered",
        "outlined",
        "output",
        "place",
        "scale",
        "size",
        "wanted_scale",
        "whole",
    )

    def __init__(self, output: Output, x: int, y: int, scale: int) -> None:
        self.output: Final = output
        self.damage: Final = Damage()  # in pixels of the output
        self.place = EMPTY  # in points
        self.scale = SCALE_ONE
        self.size = (0, 0)  # in pixels
        self.whole = EMPTY  # the same as a rectangle
        self.cursor_at = EMPTY  # where the compositor has drawn the cursor
        self.cursor_key: object = None  # what the output's cursor plane shows
        self.layered: dict[Window, Rect] = {}  # where planes show windows
        self.outlined: list[Rect] = []  # where outlines of damage were drawn
        self.wanted_scale = scale  # 0: whatever is usual for its size
        self.put(x, y, scale)

    @property
    def name(self) -> str:
        """The name of the output."""
        return self.output.name

    def put(self, x: int, y: int, scale: int) -> None:
        """Take another place or scale, 0 for the usual, and the size that the output has now."""
        width, height = self.size = self.output.size
        self.wanted_scale = scale
        scale = max(SCALES.start, min(scale, SCALES.stop - 1)) if scale else usual_scale(height)
        self.scale = scale
        # The last point may be shown in part.
        across, down = (-(-length * SCALE_ONE // scale) for length in (width, height))
        self.place = Rect(x, y, across, down)
        self.whole = Rect(0, 0, width, height)
        self.damage.clear()
        self.damage.add(self.whole)
        self.cursor_at, self.cursor_key = EMPTY, None

    def pixel(self, x: int, y: int) -> tuple[int, int]:
        """Return the pixel at which a point begins."""
        return (x - self.place.x) * self.scale // SCALE_ONE, (
            (y - self.place.y) * self.scale // SCALE_ONE
        )

    def pixels(self, place: Rect) -> Rect:
        """Return where a rectangle of points is shown."""
        x, y = self.pixel(place.x, place.y)
        right, bottom = self.pixel(place.right, place.bottom)
        return Rect(x, y, right - x, bottom - y)
