"""Rectangles of pixels."""

from __future__ import annotations

from typing import NamedTuple


class Rect(NamedTuple):
    """A rectangle: its top left pixel, its width and height; one without pixels is false."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column that is not in it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row that is not in it."""
        return self.y + self.height

    def __bool__(self) -> bool:
        return self.width > 0 and self.height > 0

    def __and__(self, other: Rect) -> Rect:
        """Return what both have in common."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        width, height = min(self.right, other.right) - x, min(self.bottom, other.bottom) - y
        return Rect(x, y, width, height) if width > 0 and height > 0 else EMPTY

    def around(self, other: Rect) -> Rect:
        """Return the smallest rectangle that holds both."""
        if not self:
            return other
        if not other:
            return self
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Rect(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)

    def moved(self, x: int, y: int) -> Rect:
        """Return it `x` further to the right and `y` further down."""
        return Rect(self.x + x, self.y + y, self.width, self.height)

    def holds(self, x: int, y: int) -> bool:
        """Tell whether a pixel is in it."""
        return self.x <= x < self.right and self.y <= y < self.bottom

    def covers(self, other: Rect) -> bool:
        """Tell whether all of `other` is in it."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and self.right >= other.right
            and self.bottom >= other.bottom
        )


EMPTY = Rect(0, 0, 0, 0)
