"""Sets of pixels as rectangles: what is damaged, and what is still to be painted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from orbital.rect import EMPTY, Rect

Box = tuple[int, int, int, int]
"""Left, top, right, bottom: a rectangle while a frame is painted, when much is computed and little
kept; a `Rect` takes ten times as long to make."""

MOST: Final = 16  # rectangles of damage; more are joined, however much they waste
_CALL: Final = 4096  # pixels that may be painted for nothing to save one rectangle


def without(rects: Iterable[Rect], hole: Rect) -> list[Rect]:
    """Return what of disjoint `rects` is outside `hole`, as disjoint rectangles."""
    left, top, right, bottom = hole.x, hole.y, hole.x + hole.width, hole.y + hole.height
    found = []
    for rect in rects:
        x, y, width, height = rect
        x2, y2 = x + width, y + height
        if x >= right or y >= bottom or x2 <= left or y2 <= top:
            found.append(rect)
            continue
        if y < top:
            found.append(Rect(x, y, width, top - y))
        if y2 > bottom:
            found.append(Rect(x, bottom, width, y2 - bottom))
        upper, lower = max(y, top), min(y2, bottom)
        if x < left:
            found.append(Rect(x, upper, left - x, lower - upper))
        if x2 > right:
            found.append(Rect(right, upper, x2 - right, lower - upper))
    return found


def within(rects: Iterable[Rect], frame: Rect) -> list[Rect]:
    """Return what of `rects` is inside `frame`."""
    left, top, right, bottom = frame.x, frame.y, frame.x + frame.width, frame.y + frame.height
    found = []
    for x, y, width, height in rects:
        x1, y1 = x if x > left else left, y if y > top else top
        x2, y2 = x + width, y + height
        x2, y2 = x2 if x2 < right else right, y2 if y2 < bottom else bottom
        if x1 < x2 and y1 < y2:
            found.append(Rect(x1, y1, x2 - x1, y2 - y1))
    return found


def disjoint(rects: Iterable[Rect]) -> list[Rect]:
    """Return rectangles that hold the same pixels, each once."""
    found: list[Rect] = []
    for rect in rects:
        parts = [rect]
        for other in found:
            parts = without(parts, other)
            if not parts:
                break
        found += parts
    return found


def split(boxes: Iterable[Box], hole: Box) -> tuple[list[Box], list[Box]]:
    """Return what of disjoint boxes is inside `hole`, and what is outside of it."""
    left, top, right, bottom = hole
    inside: list[Box] = []
    outside: list[Box] = []
    for box in boxes:
        x1, y1, x2, y2 = box
        if x1 >= right or y1 >= bottom or x2 <= left or y2 <= top:
            outside.append(box)
            continue
        if y1 < top:
            outside.append((x1, y1, x2, top))
            y1 = top
        if y2 > bottom:
            outside.append((x1, bottom, x2, y2))
            y2 = bottom
        if x1 < left:
            outside.append((x1, y1, left, y2))
            x1 = left
        if x2 > right:
            outside.append((right, y1, x2, y2))
            x2 = right
        inside.append((x1, y1, x2, y2))
    return inside, outside


def inside(boxes: Iterable[Box], hole: Box) -> list[Box]:
    """Return what of boxes is inside `hole`."""
    left, top, right, bottom = hole
    found: list[Box] = []
    for x1, y1, x2, y2 in boxes:
        if x1 < right and y1 < bottom and x2 > left and y2 > top:
            if x1 < left:
                x1 = left
            if y1 < top:
                y1 = top
            found.append((x1, y1, x2 if x2 < right else right, y2 if y2 < bottom else bottom))
    return found


def edges(rect: Rect) -> Box:
    """Return a rectangle as a box."""
    x, y, width, height = rect
    return x, y, x + width, y + height


def area(rects: Iterable[Rect]) -> int:
    """Return how many pixels disjoint rectangles hold."""
    return sum(rect.width * rect.height for rect in rects)


class Damage:
    """Where a picture has to be painted anew: few rectangles, rather too large than too many."""

    __slots__ = ("_rects",)

    def __init__(self) -> None:
        self._rects: list[Rect] = []

    def __bool__(self) -> bool:
        return bool(self._rects)

    @property
    def rects(self) -> Sequence[Rect]:
        """What was added, joined; rectangles may overlap."""
        return self._rects

    def add(self, rect: Rect) -> None:
        """Add a rectangle; it is joined to another where that costs little."""
        if not rect:
            return
        rects = self._rects
        joined = True
        while joined:
            joined = False
            for index, other in enumerate(rects):
                if other.covers(rect):
                    return
                both = other.around(rect)
                waste = (
                    both.width * both.height - other.width * other.height - rect.width * rect.height
                )
                if waste <= _CALL:
                    del rects[index]
                    rect, joined = both, True
                    break
        rects.append(rect)
        if len(rects) > MOST:
            self._join_nearest()

    def take(self, bounds: Rect) -> list[Rect]:
        """Return what is within `bounds`, disjoint, and forget everything."""
        rects, self._rects = self._rects, []
        return disjoint(within(rects, bounds))

    def clear(self) -> None:
        """Forget everything."""
        self._rects = []

    def _join_nearest(self) -> None:
        """Join the newest with whichever other wastes least."""
        last = self._rects.pop()

        def waste(index: int) -> int:
            other = self._rects[index]
            both = other.around(last)
            return both.width * both.height - other.width * other.height

        index = min(range(len(self._rects)), key=waste)
        other = self._rects.pop(index)
        self.add(other.around(last))


def around(rects: Iterable[Rect]) -> Rect:
    """Return the smallest rectangle that holds all of `rects`."""
    found = EMPTY
    for rect in rects:
        found = found.around(rect)
    return found
