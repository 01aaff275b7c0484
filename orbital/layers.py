"""Which windows the planes of an output show, so that nobody has to paint them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orbital.output import Layer
from orbital.overlay import Overlay
from orbital.rect import Rect
from orbital.scene import shown
from orbital.screen import Screen
from orbital.window import Window
from orbital.windows import Windows

_OFFERED: Final = 8  # layers; no output has more planes
_BLOCKERS: Final = 64  # things in front, behind which no plane is looked for any more


class Layers:
    """Offers windows to outputs, and damages what planes no longer show."""

    def assign(
        self, screen: Screen, windows: Windows, overlays: Sequence[Overlay]
    ) -> frozenset[Window]:
        """Return the windows that planes show with the next `present` of a screen.

        A plane is above all that is painted: what is offered has nothing painted in front of it,
        and what is taken has nothing in front that was refused.
        """
        if not windows.lending and not screen.layered:
            return frozenset()
        offers = _offers(screen, windows, overlays)
        taken = _agreed(screen, offers)
        places = {window: layer.place for window, layer in taken}
        # What left a plane has to be painted, and what came on one must not stay painted below it.
        for window, place in screen.layered.items():
            if places.get(window) != place:
                screen.damage.add(place)
        for window, place in places.items():
            if screen.layered.get(window) != place:
                screen.damage.add(place)
        screen.layered = places
        return frozenset(places)


def _offers(
    screen: Screen, windows: Windows, overlays: Sequence[Overlay]
) -> list[tuple[Window, Layer]]:
    """Return what a plane could show, topmost first."""
    found: list[tuple[Window, Layer]] = []
    in_front: list[Rect] = [overlay.place for overlay in overlays]
    lending = len(windows.lending)
    for window in windows.stack.showing:
        item = shown(screen, window)
        if not item.frame & screen.whole:
            continue
        lent = window.lent
        if (
            lent is not None
            and lent.output is screen.output
            and item.scaled is None
            and (lent.buffer.width, lent.buffer.height) == item.body[2:]
            and screen.whole.covers(item.body)
            and not any(rect & item.body for rect in in_front)
        ):
            found.append((window, Layer(lent.buffer, item.body, window.opaque)))
        else:
            in_front.append(item.body)
        if item.bar:
            in_front.append(item.bar)
        lending -= lent is not None
        if not lending or len(found) == _OFFERED or len(in_front) > _BLOCKERS:
            break
    return found


def _agreed(screen: Screen, offers: list[tuple[Window, Layer]]) -> list[tuple[Window, Layer]]:
    """Ask the output until what it takes has nothing in front that it does not take."""
    while True:
        taken = screen.output.assign([layer for _, layer in offers])
        painted: list[Rect] = []
        behind = set()  # what must not be on a plane, because something in front is not
        for index, (_, layer) in enumerate(offers):
            if any(rect & layer.place for rect in painted):
                behind.add(index)
            if index in behind or index not in taken:
                painted.append(layer.place)
        if behind.isdisjoint(taken):
            return [offer for index, offer in enumerate(offers) if index in taken]
        # Fewer in each round.
        offers = [offer for index, offer in enumerate(offers) if index not in behind]
