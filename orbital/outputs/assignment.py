"""Which pictures the hardware lays over each other by itself, instead of the compositor.

A card has a primary plane, as large as the screen, and may have overlays above it.  Windows whose
memory a card can show (`Layer`) go to them as long as the picture stays what the compositor would
have drawn:

* the primary plane shows an opaque window that covers the whole screen instead of the frame, if
  nothing of the frame is needed: all layers above the window are on overlays;
* an overlay shows a layer if all layers above it that overlap it are on overlays above that one:
  whatever else is drawn is in the frame, below.

No layer is scaled.  A card says by `works` (TEST_ONLY) what it can do; since some say yes to what
they cannot, formats and the order of planes are checked here as well, and a commit that is refused
after all is its caller's to survive.

Nothing here knows an operating system.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from orbital.output import Layer
from orbital.rect import Rect

OPAQUE: Final = int.from_bytes(b"XR24", "little")  # what drm_fourcc.h calls XRGB8888
BLENDED: Final = int.from_bytes(b"AR24", "little")  # ARGB8888: alpha premultiplied

_ASKED_MOST: Final = 32  # questions to the card for one arrangement: each takes a few microseconds


class Heights(NamedTuple):
    """How high a plane lies over others (`zpos`): from `least` to `most`, chosen by us."""

    least: int
    most: int


class Sheet(NamedTuple):
    """One plane of the hardware, with what matters here."""

    id: int
    formats: frozenset[int]
    heights: Heights | None  # None: it lies above the primary plane, more is not known


class Stack(NamedTuple):
    """The planes of one screen."""

    size: tuple[int, int]
    primary: Sheet
    overlays: Sequence[Sheet]
    ceiling: int | None = None  # the height of the cursor's plane: overlays stay below


class Shown(NamedTuple):
    """A layer on an overlay."""

    layer: int  # its place in the list
    sheet: int  # the plane's id
    format: int
    height: int | None  # what `zpos` becomes; None where the plane has none
    place: Rect  # on the screen, clipped to it
    x: int  # the pixel of the buffer that is at the place's top left
    y: int


class Plan(NamedTuple):
    """What the planes show."""

    direct: int | None = None  # the layer that the primary plane shows; None: the frame
    overlays: tuple[Shown, ...] = ()

    @property
    def layers(self) -> frozenset[int]:
        """Those that the compositor need not draw."""
        on_overlays = frozenset(shown.layer for shown in self.overlays)
        return on_overlays if self.direct is None else on_overlays | {self.direct}


NOTHING: Final = Plan()


def assign(
    layers: Sequence[Layer], stack: Stack, known: Collection[int], works: Callable[[Plan], bool]
) -> Plan:
    """Return the plan that spares the compositor most; `layers` are given topmost first.

    Of them, planes can show those whose buffer's key is in `known`.  `works` is asked of every plan
    before it is returned, but of `NOTHING`.
    """
    arranger = _Arranger(layers, stack, known, works)
    covering = arranger.covering()
    if covering is not None:
        plan = arranger.direct(covering)
        if plan is not None:
            return plan
    return arranger.with_overlays(NOTHING, len(layers))


class _Arranger:
    def __init__(
        self,
        layers: Sequence[Layer],
        stack: Stack,
        known: Collection[int],
        works: Callable[[Plan], bool],
    ) -> None:
        self._layers: Final = layers
        self._stack: Final = stack
        self._screen: Final = Rect(0, 0, *stack.size)
        self._mine: Final = [_fits(layer, known) for layer in layers]
        self._works: Final = works
        self._asked = 0

    def _ask(self, plan: Plan) -> bool:
        self._asked += 1
        return self._asked <= _ASKED_MOST and self._works(plan)

    def covering(self) -> int | None:
        """Return the topmost layer that could take the frame's place."""
        if OPAQUE not in self._stack.primary.formats:
            return None
        for index, layer in enumerate(self._layers):
            if layer.opaque and layer.place == self._screen and self._mine[index]:
                return index
        return None

    def direct(self, covering: int) -> Plan | None:
        """Show a layer instead of the frame, if all above it finds overlays."""
        base = Plan(direct=covering)
        if not self._ask(base):
            return None
        plan = self.with_overlays(base, covering)
        needed = (i for i in range(covering) if self._layers[i].place & self._screen)
        return plan if plan.layers.issuperset(needed) else None

    def with_overlays(self, plan: Plan, count: int) -> Plan:
        """Add overlays for the first `count` layers, as many as there are and the card takes."""
        free = list(self._stack.overlays)
        on: dict[int, Shown] = {}
        for index in range(count):
            if not free:
                break
            place = self._layers[index].place & self._screen
            above = [i for i in range(index) if self._layers[i].place & place]
            # Part of it would be hidden by what lies in the frame, unless all above is on overlays.
            if not place or not self._mine[index] or not all(i in on for i in above):
                continue
            over = [on[i].height for i in above]
            for shown in self._candidates(index, place, free, over, plan):
                bolder = plan._replace(overlays=(*plan.overlays, shown))
                if self._ask(bolder):
                    plan, on[index] = bolder, shown
                    free = [sheet for sheet in free if sheet.id != shown.sheet]
                    break
        return plan

    def _candidates(
        self,
        index: int,
        place: Rect,
        free: Sequence[Sheet],
        over: Sequence[int | None],
        plan: Plan,
    ) -> list[Shown]:
        """Return how the layer could be on one of the planes, the highest first."""
        layer = self._layers[index]
        pixel_format = OPAQUE if layer.opaque else BLENDED
        x, y = place.x - layer.place.x, place.y - layer.place.y
        taken = {shown.height for shown in plan.overlays}
        found = []
        for sheet in free:
            if pixel_format not in sheet.formats:
                continue
            if sheet.heights is None:
                if not over:  # which of two such planes lies above the other is not known
                    found.append(Shown(index, sheet.id, pixel_format, None, place, x, y))
                continue
            height = self._highest(sheet.heights, over, taken)
            if height is not None:
                found.append(Shown(index, sheet.id, pixel_format, height, place, x, y))
        found.sort(key=lambda shown: -1 if shown.height is None else shown.height, reverse=True)
        return found

    def _highest(
        self, heights: Heights, over: Sequence[int | None], taken: Collection[int | None]
    ) -> int | None:
        """Return the greatest height below all of `over` and above the primary plane."""
        limits = [heights.most + 1]
        limits += [height for height in (*over, self._stack.ceiling) if height is not None]
        if None in over:  # not known how high that lies
            return None
        primary = self._stack.primary.heights
        floor = 0 if primary is None else primary.most
        for height in range(min(limits) - 1, max(heights.least, floor + 1) - 1, -1):
            if height not in taken:
                return height
        return None


def _fits(layer: Layer, known: Collection[int]) -> bool:
    buffer, place = layer.buffer, layer.place
    return buffer.key in known and (buffer.width, buffer.height) == (place.width, place.height)
