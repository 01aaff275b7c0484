"""What is above all windows: the cursor, where no plane shows it, and panels."""

from __future__ import annotations

from typing import Final, NamedTuple

from orbital.keys import Keys
from orbital.layout import in_units
from orbital.painter import HELP, Painter, Picture
from orbital.pixels import Image
from orbital.pointer import Pointer, Shape
from orbital.rect import Rect
from orbital.screen import Screen
from orbital.windows import Windows

__all__ = ["Overlay", "Overlays"]

_MARGIN: Final = 16  # points from the edge of the screen


class Overlay(NamedTuple):
    """A picture at a place of one screen."""

    image: Image
    place: Rect


class Overlays:
    """Panels and cursors of all screens, and the damage that they do when they change."""

    def __init__(self, windows: Windows, pointer: Pointer, keys: Keys, painter: Painter) -> None:
        self._windows: Final = windows
        self._pointer: Final = pointer
        self._keys: Final = keys
        self._painter: Final = painter
        self._shown: Final[dict[Screen, tuple[Overlay, ...]]] = {}
        self._cost = ""

    def forget(self, screen: Screen) -> None:
        """Hear that an output went, or has another size."""
        self._shown.pop(screen, None)

    def cost(self, seconds: float) -> None:
        """Hear what a frame took; seen with the next one."""
        self._cost = f"{seconds * 1000:.2f} ms"

    def refresh(self, screen: Screen) -> tuple[Overlay, ...]:
        """Return what is painted above a screen's windows, frontmost first.

        A cursor that the output's plane shows is not; what has changed since the last call is
        damaged.
        """
        cursor = self._cursor(screen)
        found = self._panels(screen)
        if cursor is not None and self._plane(screen, *cursor):
            cursor = None
        elif screen.cursor_key is not None:
            screen.cursor_key = None
            screen.output.set_cursor(None, 0, 0)
        if cursor is not None:
            found = (Overlay(cursor[0].image, cursor[1]), *found)
        before = self._shown.get(screen, ())
        if found != before:
            for overlay in {*before} ^ {*found}:
                screen.damage.add(overlay.place & screen.whole)
            self._shown[screen] = found
        return found

    def all(self, screen: Screen, *, cursor: bool) -> tuple[Overlay, ...]:
        """Return what is above the windows of a screen, with or without the cursor."""
        found = self._panels(screen)
        here = self._cursor(screen) if cursor else None
        return found if here is None else (Overlay(here[0].image, here[1]), *found)

    # -- the cursor --------------------------------------------------------------------------------

    def _cursor(self, screen: Screen) -> tuple[Picture, Rect] | None:
        """Return the cursor's picture and place; None if it is hidden or elsewhere."""
        pointer = self._pointer
        if pointer.shape == Shape.HIDDEN or not screen.place:
            return None
        picture = self._painter.cursor(pointer.shape, screen.scale)
        x, y = screen.pixel(pointer.x, pointer.y)
        place = Rect(x - picture.hot_x, y - picture.hot_y, picture.width, picture.height)
        return (picture, place) if place & screen.whole else None

    def _plane(self, screen: Screen, picture: Picture, place: Rect) -> bool:
        """Let the output's cursor plane show the cursor; tell whether it does."""
        output = screen.output
        width, height = output.cursor_limits
        fits = picture.width <= width and picture.height <= height
        if fits:
            if screen.cursor_key is not picture:
                output.set_cursor(picture.memory, picture.width, picture.height)
                screen.cursor_key, screen.cursor_at = picture, Rect(0, 0, 0, 0)
            if screen.cursor_at != place:
                screen.cursor_at = place
                output.move_cursor(place.x, place.y)
        return fits

    # -- panels ------------------------------------------------------------------------------------

    def _panels(self, screen: Screen) -> tuple[Overlay, ...]:
        keys, found = self._keys, []
        whole = screen.whole
        margin = in_units(_MARGIN, screen.scale)
        titles = keys.switcher.titles
        if titles:
            image = self._painter.panel(tuple(titles), keys.switcher.index, screen.scale)
            x, y = (whole.width - image.width) // 2, (whole.height - image.height) // 2
            found.append(Overlay(image, Rect(x, y, image.width, image.height)))
        elif keys.help_shown:
            image = self._painter.panel(HELP, -1, screen.scale)
            y = whole.height - image.height - margin
            found.append(Overlay(image, Rect(margin, y, image.width, image.height)))
        if keys.costs and self._cost:
            image = self._painter.panel((self._cost,), -1, screen.scale)
            x = whole.width - image.width - margin
            found.append(Overlay(image, Rect(x, margin, image.width, image.height)))
        return tuple(found)
