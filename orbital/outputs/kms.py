"""One connector of a card with a monitor, as the compositor draws on it.

Two ways of showing a picture without tearing:

* **flip**: two buffers; the card shows the other one from the next vertical blank on, and says
  when.  Each buffer keeps what has changed since it was on the screen (`Frame.stale`).
* **transfer**, for virtual cards that show a copy of the buffer and copy only when told to: one
  buffer, and DIRTYFB with what has changed.  A flip would copy everything.

Drivers that have no vertical blank say at once that a flip is done: a timer paces those.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from typing import Final

from orbital.drm.card import Card
from orbital.drm.resources import Connector, Mode, Plane
from orbital.output import Buffer, Frame, Layer
from orbital.outputs import assignment
from orbital.outputs.assignment import NOTHING, Heights, Plan, Sheet, Stack
from orbital.outputs.canvas import Canvas
from orbital.outputs.cursor import CursorPlane
from orbital.outputs.lending import Lending
from orbital.outputs.pace import Pace
from orbital.outputs.pipe import Parts, open_pipe
from orbital.rect import Rect
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

TRANSFERS: Final = frozenset({"virtio_gpu", "qxl", "cirrus"})
"""Drivers whose screen shows a copy, brought up to date by DIRTYFB alone (measured, Linux 6.1)."""

_REFRESH: Final = 60.0  # of a mode that does not say


def _nothing() -> None:
    """Be called before anybody listens."""


class KmsOutput:
    """One screen of a card; `flipped`, `release`, `acquire` and `plug` come from its owner."""

    def __init__(
        self, card: Card, parts: Parts, connector: Connector, has_cursor: bool, loop: Loop
    ) -> None:
        """`OSError` if the card has no memory for it, `ValueError` if the connector has no mode."""
        if not connector.modes:
            raise ValueError(f"{card.name}-{connector.name} has no mode")
        self.on_ready: Callable[[], object] = _nothing
        self.on_changed: Callable[[], object] = _nothing
        self.parts: Final = parts
        self._card: Final = card
        self._loop: Final = loop
        self._name: Final = f"{card.name}-{connector.name}"
        self._modes = connector.modes
        self._mode = connector.modes[0]
        self._pipe: Final = open_pipe(card, parts)
        self._transfers: Final = card.driver in TRANSFERS
        self._cursor: Final = CursorPlane(card, parts.crtc, has_cursor)
        self._lending: Final = Lending(card)
        self._pace: Final = Pace(loop, self._name, self._tell_ready)
        self._canvases = self._make_canvases(self._mode)
        self._old: list[Canvas] = []  # of the mode before, until the new one is lit
        self._front: Canvas | None = None  # what the screen shows, or would if it were ours
        self._begun: Canvas | None = None  # what the compositor draws on
        self._lit = False  # our mode is set
        self._away = False  # somebody else has the screen, or it has gone
        self._refused = False  # the card does not take the mode, or nothing at all just now
        self._asked = False  # somebody was refused a frame
        self._layers: tuple[Layer, ...] = ()  # those that the plan counts
        self._plan = NOTHING
        self._arranged = True  # the screen shows the plan
        self._trusts = True  # the card has kept what it promised of planes
        self._tells = True  # DIRTYFB is of use
        self._complained = False

    def _make_canvases(self, mode: Mode) -> list[Canvas]:
        self._pace.period = 1 / (mode.refresh or _REFRESH)
        first = Canvas(self._card.buffer(mode.width, mode.height))
        if self._transfers:
            return [first]
        try:
            return [first, Canvas(self._card.buffer(mode.width, mode.height))]
        except OSError:
            first.close()
            raise

    # -- what the compositor asks ------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The card's name and the connector's, as `card0-Virtual-1`."""
        return self._name

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; 0 by 0 once it has gone."""
        return (self._mode.width, self._mode.height) if self._canvases else (0, 0)

    @property
    def cursor_limits(self) -> tuple[int, int]:
        """How large the picture of the cursor's plane is; 0 by 0 without one."""
        return self._cursor.limits

    def modes(self) -> Sequence[tuple[int, int]]:
        """Return the sizes the monitor takes."""
        return [(mode.width, mode.height) for mode in self._modes]

    def set_mode(self, width: int, height: int) -> None:
        """Take another size with the next picture; `OSError` if there is no memory for it."""
        for mode in self._modes:
            if (mode.width, mode.height) == (width, height):
                break
        else:
            raise ValueError(f"{self._name} has no mode of {width} by {height}")
        fresh = self._make_canvases(mode)
        self._old += self._canvases
        self._canvases = fresh
        self._mode = mode
        self._lit = self._refused = False
        self._drop_plan()
        self._change()

    def begin(self) -> Frame | None:
        """Return the canvas that is not on the screen, or the only one."""
        if self._pace.busy or self._away or self._refused or not self._canvases:
            self._asked = True
            return None
        self._begun = self._canvases[0]
        return self._begun.frame()

    def present(self, damage: Sequence[Rect]) -> None:
        """Show the canvas, or the window that takes its place."""
        canvas, self._begun = self._begun, None
        if canvas is None or self._away or canvas not in self._canvases:
            self._forget_picture()  # it was drawn on a screen that there no longer is
            return
        changed = [part for rect in damage if (part := rect & canvas.all)]
        try:
            if not self._lit:
                self._light(canvas)
            elif self._arranged and (self._transfers or self._plan.direct is not None):
                self._transfer(canvas, changed)
            else:
                self._flip(canvas, changed)
        except OSError as error:
            self._on_refusal(error)

    def set_cursor(self, picture: memoryview | None, width: int, height: int) -> None:
        """Show a picture on the cursor's plane."""
        self._cursor.set(picture, width, height)

    def move_cursor(self, x: int, y: int) -> None:
        """Move it; at once, without a frame."""
        self._cursor.move(x, y)

    def lend(self, width: int, height: int) -> Buffer | None:
        """Return memory of the card's, by a dma-buf: a client that maps it does not get the card.

        On many cards it is slow to read: good for a window that planes will show.
        """
        return self._lending.lend(width, height)

    def take_back(self, buffer: Buffer) -> None:
        """Free it once no plane shows it."""
        if any(self._layers[index].buffer.key == buffer.key for index in self._plan.layers):
            self._drop_plan()
        # One that has not been arranged yet shows what was arranged before.
        self._lending.take_back(buffer.key, at_once=self._arranged)

    def assign(self, layers: Sequence[Layer]) -> frozenset[int]:
        """Choose planes for layers, over none of which the compositor draws anything itself."""
        if not self._lit or self._away or not self._trusts:
            self._drop_plan()
            return frozenset()
        fresh = tuple(layers)
        if [_likeness(layer) for layer in fresh] != [_likeness(layer) for layer in self._layers]:
            plan = assignment.assign(fresh, self._stack(), self._lending.keys, self._works(fresh))
            if _pictures(plan, fresh) != _pictures(self._plan, self._layers):
                self._outdate_shown()
                self._arranged = False
            self._plan, self._layers = plan, fresh
        return self._plan.layers

    # -- what its owner tells ----------------------------------------------------------------------

    def flipped(self) -> None:
        """Hear that the picture is on the screen."""
        self._pace.land()

    def release(self) -> None:
        """Stop: somebody else gets the screen."""
        self._away = True

    def acquire(self) -> None:
        """Go on: the screen is ours again, and shows what it showed last."""
        self._away = self._lit = self._refused = False
        had_layers = bool(self._plan.layers)
        self._drop_plan()
        self._pace.reset()
        if self._front is not None and self._front in self._canvases:
            try:
                self._light(self._front)
            except OSError as error:
                self._on_refusal(error)
                return
        if had_layers:
            self._change()
        self._tell_ready()

    def plug(self, connector: Connector) -> None:
        """Take what the connector says now, and its best mode if that has changed."""
        was_best = self._mode[:2] == self._modes[0][:2]
        other = connector.modes[0][:2] != self._modes[0][:2]
        self._modes = connector.modes
        if other and (was_best or self._mode[:2] not in [mode[:2] for mode in self._modes]):
            self.set_mode(*connector.modes[0][:2])

    def close(self) -> None:
        """Let the screen be dark and free its memory; the console comes back with the card."""
        self._away = True
        self._pace.reset()
        try:
            self._pipe.dark()
        except OSError as error:  # it is not ours now, or has gone
            log.debug("%s: %s", self._name, error)
        self._cursor.close()
        self._vanish()
        self._lending.close()

    # -- showing -----------------------------------------------------------------------------------

    def _light(self, canvas: Canvas) -> None:
        self._pipe.light(canvas.frame_buffer, self._mode)
        self._lit = True
        self._arranged = True
        self._now_front(canvas, [canvas.all])
        for old in self._old:
            old.close()
        self._old = []
        self._lending.sweep()
        self._cursor.show()
        self._pace.shown()

    def _transfer(self, canvas: Canvas, damage: list[Rect]) -> None:
        """Say what has changed of the buffer that is shown."""
        if self._plan.direct is None:
            self._tells = self._card.dirty(canvas.frame_buffer, [*damage, *canvas.stale])
            self._now_front(canvas, damage)
        else:  # a window's own memory is on the screen: some real cards have to be told, too
            canvas.outdate(damage)
            self._tells = self._tells and self._card.dirty(self._primary_shows(canvas), damage)
        self._pace.shown()

    def _flip(self, canvas: Canvas, damage: list[Rect]) -> None:
        if not self._arranged:
            self._pipe.arrange(self._plan, self._frame_buffer_of(self._layers))
        direct = self._plan.direct is not None
        told = [] if direct or not self._arranged else [*damage, *canvas.stale]
        self._pipe.flip(self._primary_shows(canvas), told)
        if direct:
            for each in self._canvases:
                each.outdate([each.all])
        else:
            self._now_front(canvas, damage)
        self._arranged = True
        self._pace.take_off()

    def _primary_shows(self, canvas: Canvas) -> int:
        """Return the frame buffer for the primary plane."""
        if self._plan.direct is None:
            return canvas.frame_buffer
        opaque = assignment.OPAQUE
        return self._frame_buffer_of(self._layers)(self._plan.direct, opaque)

    def _now_front(self, canvas: Canvas, damage: Sequence[Rect]) -> None:
        canvas.stale = []
        for other in self._canvases:
            if other is not canvas:
                other.outdate(damage)
        self._canvases.sort(key=lambda one: one is canvas)  # what is shown is the next one's next
        self._front = canvas

    def _on_refusal(self, error: OSError) -> None:
        """Live on when the card does not show a picture."""
        self._forget_picture()
        if error.errno in (errno.EACCES, errno.EPERM):
            log.warning("%s: somebody else has the screen", self._name)
            self._away = True
        elif error.errno == errno.ENODEV:
            self._vanish()
            self._change()
        elif self._plan.layers and self._lit:
            log.warning("%s: its planes do not keep what they promise: %s", self._name, error)
            self._trusts = False
            self._drop_plan()
            self._change()
        elif self._lit:
            if not self._complained:
                log.warning("%s: sets its mode anew: %s", self._name, error)
            self._complained = True
            self._lit = False
            self._pace.shown()
            self._change()
        else:
            log.error("%s shows nothing: %s", self._name, error)
            self._refused = True  # until it gets another mode, or comes back
        self._drop_plan()

    def _change(self) -> None:
        self._loop.soon(lambda: self.on_changed())

    def _forget_picture(self) -> None:
        """Have everything drawn anew: what was in a frame has not been shown."""
        for canvas in self._canvases:
            canvas.outdate([canvas.all])

    def _vanish(self) -> None:
        self._away = True
        for canvas in (*self._canvases, *self._old):
            canvas.close()
        self._canvases, self._old = [], []
        self._front = self._begun = None

    # -- planes ------------------------------------------------------------------------------------

    def _stack(self) -> Stack:
        primary = self.parts.primary
        sheet = (
            Sheet(0, frozenset({assignment.OPAQUE}), None) if primary is None else _sheet(primary)
        )
        overlays = [_sheet(plane) for plane in self.parts.overlays]
        return Stack(self.size, sheet, overlays, self.parts.cursor_height)

    def _works(self, layers: Sequence[Layer]) -> Callable[[Plan], bool]:
        frame_buffer_of = self._frame_buffer_of(layers)
        return lambda plan: self._pipe.works(plan, frame_buffer_of)

    def _frame_buffer_of(self, layers: Sequence[Layer]) -> Callable[[int, int], int]:
        return lambda index, form: self._lending.frame_buffer(layers[index].buffer.key, form)

    def _outdate_shown(self) -> None:
        """Note that no canvas has what planes have shown until now."""
        places = [self._layers[index].place for index in self._plan.layers]
        for canvas in self._canvases:
            canvas.outdate([part for place in places if (part := place & canvas.all)])

    def _drop_plan(self) -> None:
        """Have the compositor draw everything from the next picture on."""
        if self._plan.layers:
            self._outdate_shown()
            self._arranged = False
        self._plan, self._layers = NOTHING, ()

    # -- time --------------------------------------------------------------------------------------

    def _tell_ready(self) -> None:
        if self._arranged:
            self._lending.sweep()
        if self._asked and not self._away:
            self._asked = False
            self._loop.soon(lambda: self.on_ready())


def _sheet(plane: Plane) -> Sheet:
    zpos = plane.properties.get("zpos")
    if zpos is None:
        heights = None
    elif zpos.immutable or len(zpos.limits) != 2:
        heights = Heights(zpos.value, zpos.value)
    else:
        heights = Heights(*zpos.limits)
    return Sheet(plane.id, plane.formats, heights)


def _likeness(layer: Layer) -> tuple[object, ...]:
    """Return what matters of a layer to planes."""
    return layer.buffer.key, layer.place, layer.opaque


def _pictures(plan: Plan, layers: Sequence[Layer]) -> list[tuple[object, ...]]:
    """Return what a plan shows, whatever else there is."""
    found: list[tuple[object, ...]] = [
        (shown._replace(layer=0), layers[shown.layer].buffer.key) for shown in plan.overlays
    ]
    if plan.direct is not None:
        found.append((layers[plan.direct].buffer.key,))
    return found
