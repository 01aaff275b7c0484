"""The screens of a desktop, side by side or one over the other in its plane."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orbital.output import Output
from orbital.rect import Rect
from orbital.region import around
from orbital.screen import Screen
from redbear_host.abi.orbital import SCALE_ONE

__all__ = ["Layout"]


_NO_SCREEN: Final = 1 << 20  # pixels, where there is no screen


class Layout:
    """Screens in the order in which they came; the first is the one that a desktop starts on."""

    def __init__(self) -> None:
        self._screens: Final[list[Screen]] = []

    def __iter__(self) -> Iterator[Screen]:
        return iter(self._screens)

    def __len__(self) -> int:
        return len(self._screens)

    @property
    def bounds(self) -> Rect:
        """The smallest rectangle of the plane that holds all screens."""
        return around(screen.place for screen in self._screens)

    @property
    def pixels(self) -> int:
        """How many pixels all screens have together; without a screen, as if there were one."""
        return sum(map(_pixels_of, self._screens)) or _NO_SCREEN

    def add(self, output: Output, at: tuple[int, int] | None, scale: int) -> Screen:
        """Put an output at a point of the plane, or at the right of all others; scale 0: usual."""
        x, y = at if at is not None else (self.bounds.right, 0)
        screen = Screen(output, x, y, scale)
        self._screens.append(screen)
        return screen

    def remove(self, screen: Screen) -> None:
        """Take a screen away; the others stay where they are."""
        self._screens.remove(screen)

    def named(self, name: str) -> Screen | None:
        """Return the screen of the output called `name`."""
        return next((screen for screen in self._screens if screen.name == name), None)

    def of(self, output: Output) -> Screen | None:
        """Return the screen of an output."""
        return next((screen for screen in self._screens if screen.output is output), None)

    def at(self, x: int, y: int) -> Screen | None:
        """Return the first screen that shows a point."""
        return next((screen for screen in self._screens if screen.place.holds(x, y)), None)

    def mostly(self, place: Rect) -> Screen | None:
        """Return the screen that shows most of a rectangle; the first if none shows any of it."""
        if len(self._screens) < 2:
            return self._screens[0] if self._screens else None

        def shown(screen: Screen) -> int:
            part = screen.place & place
            return part.width * part.height

        return max(self._screens, key=shown)  # the first of several equal ones

    def nearest(self, x: int, y: int) -> tuple[int, int]:
        """Return the point on a screen that is nearest to a point."""
        best, distance = (0, 0), -1
        for screen in self._screens:
            place = screen.place
            if not place:
                continue
            near = (
                max(place.x, min(x, place.right - 1)),
                max(place.y, min(y, place.bottom - 1)),
            )
            far = (near[0] - x) ** 2 + (near[1] - y) ** 2
            if distance < 0 or far < distance:
                best, distance = near, far
        return best


def _pixels_of(screen: Screen) -> int:
    width, height = screen.size
    return width * height


def in_units(length: int, scale: int) -> int:
    """Return how many pixels of a picture drawn for `scale` are as long as so many points."""
    return length * scale // SCALE_ONE
