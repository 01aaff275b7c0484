"""What surrounds a window's picture: where its parts are, and what of it is at a point."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from orbital.rect import EMPTY, Rect
from orbital.window import Window
from redbear_host.abi.orbital import WindowFlag as F

BAR: Final = 28  # points of the title bar's height
CELL: Final = 18  # points that a button is wide
BORDER: Final = 8  # points beside and below a window at which it can be resized


class Part(IntEnum):
    """A part of a window that can be pointed at."""

    BODY = 0
    TITLE = 1
    CLOSE = 2
    MAXIMISE = 3
    MINIMISE = 4
    LEFT = 5
    RIGHT = 6
    BOTTOM = 7
    BOTTOM_LEFT = 8
    BOTTOM_RIGHT = 9


def bar_of(window: Window) -> Rect:
    """Return where the title bar is, in points; nothing for a window without one."""
    if not window.decorated:
        return EMPTY
    x, y, width, _ = window.place
    return Rect(x, y - BAR, width, BAR)


def frame_of(window: Window) -> Rect:
    """Return what a window covers with its title bar, in points."""
    return window.place.around(bar_of(window))


def buttons(window: Window) -> tuple[Part, ...]:
    """Return the buttons of the title bar, from the right."""
    found = [] if window.flags & F.UNCLOSABLE else [Part.CLOSE]
    if window.flags & F.RESIZABLE:
        found.append(Part.MAXIMISE)
    found.append(Part.MINIMISE)
    return tuple(found)


def part_at(window: Window, x: int, y: int) -> Part | None:
    """Return what of a window is at a point; None if nothing."""
    place = window.place
    if place.holds(x, y):
        return Part.BODY
    bar = bar_of(window)
    if bar.holds(x, y):
        cell = (bar.right - 1 - x) // CELL
        known = buttons(window)
        return known[cell] if cell < len(known) else Part.TITLE
    if not window.flags & F.RESIZABLE or window.flags & (F.FULLSCREEN | F.MAXIMIZED):
        return None
    top = bar.y if bar else place.y
    if not (place.x - BORDER <= x < place.right + BORDER and top <= y < place.bottom + BORDER):
        return None
    left, right, bottom = x < place.x, x >= place.right, y >= place.bottom
    if bottom:
        return Part.BOTTOM_LEFT if left else Part.BOTTOM_RIGHT if right else Part.BOTTOM
    return Part.LEFT if left else Part.RIGHT if right else None
