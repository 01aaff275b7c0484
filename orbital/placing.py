"""Where windows go when nobody says where, and how large they may be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from orbital.frame import BAR
from orbital.rect import Rect
from orbital.window import Window
from redbear_host.abi.orbital import WindowFlag as F

TASK_BAR: Final = 48  # points that are left free for a launcher at the bottom
STEP: Final = 32  # points from one window to the next of a cascade
TRIES: Final = 1000
_GRID: Final = 16  # points


def work_area(screen: Rect) -> Rect:
    """Return what is above the task bar."""
    return Rect(screen.x, screen.y, screen.width, max(screen.height - TASK_BAR, 0))


def automatic(
    screen: Rect, size: tuple[int, int], decorated: bool, others: Iterable[Window]
) -> tuple[int, int]:
    """Return where a new window of `size` points goes: the middle, or a step from who is there.

    `others` are the windows of its level.
    """
    area = work_area(screen)
    width, height = size
    least = area.y + (BAR if decorated else 0)
    x = area.x + max((area.width - width) // 2, 0)
    y = max(area.y + (area.height - height) // 2, least)
    taken = {other.place[:2] for other in others}
    for _ in range(TRIES):
        if (x, y) not in taken:
            break
        x, y = x + STEP, y + STEP
        if x + width > area.right:
            x = area.x + x % STEP
        if y + height > area.bottom:
            y = least + y % STEP
    return x, y


def snapped(place: Rect, across: int, down: int) -> tuple[int, int]:
    """Return the corner of `place` one step further on a grid."""

    def step(at: int, direction: int) -> int:
        if direction > 0:
            return (at // _GRID + 1) * _GRID
        return (-(-at // _GRID) - 1) * _GRID if direction < 0 else at

    return step(place.x, across), step(place.y, down)


def maximised(screen: Rect, window: Window) -> Rect:
    """Return the place of a window that fills what is above the task bar."""
    area = work_area(screen)
    bar = 0 if window.flags & F.BORDERLESS else BAR
    return Rect(area.x, area.y + bar, area.width, max(area.height - bar, 1))


def half(screen: Rect, window: Window, across: int, down: int) -> Rect:
    """Return the place of a window in that half of the screen to which the direction points."""
    x, y, width, height = work_area(screen)
    if across:
        x, width = (x + width // 2, width - width // 2) if across > 0 else (x, width // 2)
    if down:
        y, height = (y + height // 2, height - height // 2) if down > 0 else (y, height // 2)
    bar = 0 if window.flags & F.BORDERLESS else BAR
    return Rect(x, y + bar, max(width, 1), max(height - bar, 1))


def in_view(place: Rect, screen: Rect) -> tuple[int, int]:
    """Return a corner near that of `place` at which a title bar can be reached on `screen`."""
    x = min(max(place.x, screen.x + 64 - place.width), max(screen.right - 64, screen.x))
    y = min(max(place.y, screen.y + BAR), max(screen.bottom - 16, screen.y))
    return x, y
