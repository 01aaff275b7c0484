"""The pointer: which window hears of it, and what it does to windows itself."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from orbital.frame import BAR, BORDER, Part, part_at
from orbital.rect import Rect
from orbital.window import Window
from orbital.windows import Windows
from redbear_host.abi.orbital import EventCode

__all__ = ["LEFT", "Pointer", "Shape"]

LEFT: Final = 1  # of the buttons
_LEAST: Final = 32  # points; a window is not made smaller by its borders


class Shape(IntEnum):
    """What the cursor looks like."""

    HIDDEN = 0
    ARROW = 1
    LEFT_SIDE = 2
    RIGHT_SIDE = 3
    BOTTOM_SIDE = 4
    BOTTOM_LEFT = 5
    BOTTOM_RIGHT = 6


class Edges(NamedTuple):
    """Which edges of a window follow the pointer: -1 left or top, 1 right or bottom, 0 neither."""

    across: int
    down: int


_EDGES: Final = {
    Part.LEFT: Edges(-1, 0),
    Part.RIGHT: Edges(1, 0),
    Part.BOTTOM: Edges(0, 1),
    Part.BOTTOM_LEFT: Edges(-1, 1),
    Part.BOTTOM_RIGHT: Edges(1, 1),
}
_SHAPES: Final = {
    Edges(-1, 0): Shape.LEFT_SIDE,
    Edges(1, 0): Shape.RIGHT_SIDE,
    Edges(0, 1): Shape.BOTTOM_SIDE,
    Edges(0, -1): Shape.BOTTOM_SIDE,
    Edges(-1, 1): Shape.BOTTOM_LEFT,
    Edges(1, 1): Shape.BOTTOM_RIGHT,
}
_BY_LETTER: Final = {"L": Edges(-1, 0), "R": Edges(1, 0), "T": Edges(0, -1), "B": Edges(0, 1)}


class _Drag(NamedTuple):
    """What goes on while buttons are held, unless a window has it: moving, or sizing by edges."""

    window: Window | None  # None: nobody hears of anything until all buttons are released
    edges: Edges | None
    x: int  # the pointer's, when it began
    y: int
    place: Rect  # the window's, when it began


class Pointer:
    """Where the pointer is, in points of the plane, and who has it.

    While a button that was pressed in a window is held, all goes to that window (an implicit grab);
    a press in a decoration, or beside all windows, is heard of by nobody until its release.
    """

    def __init__(self, windows: Windows) -> None:
        self.x = 0
        self.y = 0
        self.shape = Shape.ARROW
        self.buttons = 0  # that are held, as in BUTTON
        self.carrying = (
            False  # Super is held: the left button moves windows, wherever it is pressed
        )
        self._windows: Final = windows
        self._held: Window | None = None
        self._drag: _Drag | None = None
        self._hovered: Window | None = None
        self._last: tuple[int, int] | None = None  # of an absolute device

    # -- from devices ------------------------------------------------------------------------------

    def move_to(self, x: int, y: int) -> None:
        """Hear of an absolute device, which is at a point of the plane now."""
        last, self._last = self._last, (x, y)
        taker = self._relative()
        if taker is None:
            self._move(x, y)
        elif last is not None and last != (x, y):
            taker.post(EventCode.MOUSE_RELATIVE, x - last[0], y - last[1])

    def move_by(self, dx: int, dy: int) -> None:
        """Hear of a movement, in points."""
        taker = self._relative()
        if taker is None:
            self._move(self.x + dx, self.y + dy)
        else:
            taker.post(EventCode.MOUSE_RELATIVE, dx, dy)

    def press(self, buttons: int) -> None:
        """Hear which buttons are held now."""
        pressed, self.buttons = buttons & ~self.buttons, buttons
        if self._drag is not None:
            if not buttons:
                self._end_drag()
            return
        if self._held is None and pressed:
            self._begin(pressed)
        elif self._held is not None:
            self._tell(self._held, EventCode.BUTTON, buttons, 0)
        if not buttons:
            self._held = None
            self.look()

    def scroll(self, x: int, y: int) -> None:
        """Hear of a wheel: the window under the pointer does, or who has grabbed it."""
        window = self._held or self._grabber() or self._under()
        if window is not None and self._drag is None:
            self._tell(window, EventCode.SCROLL, x, y)

    # -- from the desktop --------------------------------------------------------------------------

    def look(self) -> None:
        """See what is under the pointer after windows have changed, without a movement."""
        self._hover()

    def forget(self, window: Window) -> None:
        """Hear that a window is gone."""
        if self._held is window or (self._drag is not None and self._drag.window is window):
            self._held = None
            self._swallow()
        if self._hovered is window:
            self._hovered = None

    def drag(self, window: Window, how: str) -> None:
        """Move or resize a window that draws its own decorations, until the buttons are released.

        `how` is what the command `D` names: nothing or `M` to move, `L`, `R`, `T`, `B` for an edge;
        `ValueError` for anything else.  Nothing happens unless a button is held in the window.
        """
        if how not in ("", "M") and how not in _BY_LETTER:
            raise ValueError(f"there is no edge {how!r}")
        if self._held is window:
            window.post(EventCode.BUTTON, 0, 0)  # it does not hear of the release
            self._held = None
            self._begin_drag(window, _BY_LETTER.get(how))

    def release(self) -> None:
        """Hear that no device is read any more: no button is held, as far as anybody knows."""
        if self.buttons:
            self.press(0)
        self._last = None

    # -- who has it --------------------------------------------------------------------------------

    def _relative(self) -> Window | None:
        window = self._windows.focused
        return window if window is not None and window.relative and self._drag is None else None

    def _grabber(self) -> Window | None:
        window = self._windows.focused
        return window if window is not None and (window.grabs or window.relative) else None

    def _find(self) -> tuple[Window, Part] | None:
        x, y = self.x, self.y
        for window in self._windows.stack.showing:
            left, top, width, height = window.place
            # Most of ten thousand windows are elsewhere, which is told in a fifth of the time.
            if (
                -BORDER <= x - left < width + BORDER
                and -BAR <= y - top < height + BORDER
                and (part := part_at(window, x, y)) is not None
            ):
                return window, part
        return None

    def _under(self) -> Window | None:
        found = self._find()
        return found[0] if found is not None and found[1] == Part.BODY else None

    def _tell(self, window: Window, code: EventCode, a: int, b: int) -> None:
        if window.showing:
            window.post(code, a, b)

    # -- moving ------------------------------------------------------------------------------------

    def _move(self, x: int, y: int) -> None:
        grabber = self._grabber() if self._drag is None else None
        if grabber is not None and grabber.place:
            place = grabber.place
            x = max(place.x, min(x, place.right - 1))
            y = max(place.y, min(y, place.bottom - 1))
        x, y = self._windows.layout.nearest(x, y)
        if (x, y) == (self.x, self.y):
            return
        self.x, self.y = x, y
        self._windows.cursor_moved()
        if self._drag is not None:
            self._pull(self._drag)
            return
        under = self._hover()
        window = self._held or grabber or under
        if window is not None:
            self._tell(window, EventCode.MOUSE, x - window.place.x, y - window.place.y)

    def _hover(self) -> Window | None:
        """Tell windows that the pointer came or left; return whose picture it is over."""
        if self._held is not None or self._drag is not None:
            return None
        found = self._find()
        grabber = self._grabber()
        window = found[0] if found is not None and found[1] == Part.BODY else None
        if grabber is not None:
            window = grabber
        if window is not self._hovered:
            before, self._hovered = self._hovered, window
            if before is not None and not before.closed:
                before.post(EventCode.HOVER, 0, 0)
            if window is not None:
                window.post(EventCode.HOVER, 1, 0)
        if window is not None:
            hidden = window.relative or not window.cursor_shown
            self._show(Shape.HIDDEN if hidden else Shape.ARROW)
        else:
            edges = _EDGES.get(found[1]) if found is not None else None
            self._show(Shape.ARROW if edges is None else _SHAPES[edges])
        return window

    def _show(self, shape: Shape) -> None:
        if shape != self.shape:
            self.shape = shape
            self._windows.cursor_moved()

    # -- pressing ----------------------------------------------------------------------------------

    def _begin(self, pressed: int) -> None:
        windows = self._windows
        grabber = self._grabber()
        if grabber is not None and not self.carrying:
            self._held = grabber
            grabber.worked_in = True
            self._tell(grabber, EventCode.BUTTON, self.buttons, 0)
            return
        found = self._find()
        if found is None:
            self._swallow()
            return
        window, part = found
        windows.focus(window)
        if self.carrying and pressed & LEFT and not window.behind:
            self._begin_drag(window, None)
        elif part == Part.BODY:
            self._held = window
            window.worked_in = True
            self._hovered_by(window)
            window.post(EventCode.BUTTON, self.buttons, 0)
        elif not pressed & LEFT:
            self._swallow()
        elif part == Part.TITLE:
            self._begin_drag(window, None)
        elif part in _EDGES:
            self._begin_drag(window, _EDGES[part])
        else:
            self._swallow()
            if part == Part.CLOSE:
                window.post(EventCode.QUIT)
            elif part == Part.MAXIMISE:
                windows.toggle_maximised(window)
            else:
                windows.minimise(window)

    def _hovered_by(self, window: Window) -> None:
        """Let a window hear that the pointer is over it before it hears of a button."""
        if self._hovered is not window:
            before, self._hovered = self._hovered, window
            if before is not None and not before.closed:
                before.post(EventCode.HOVER, 0, 0)
            window.post(EventCode.HOVER, 1, 0)

    def _swallow(self) -> None:
        if self.buttons:
            self._drag = _Drag(None, None, self.x, self.y, Rect(0, 0, 0, 0))

    # -- dragging ----------------------------------------------------------------------------------

    def _begin_drag(self, window: Window, edges: Edges | None) -> None:
        self._drag = _Drag(window, edges, self.x, self.y, window.place)
        if edges is not None:
            window.resizing = True
            window.held_right = window.place.right if edges.across < 0 else None
            window.held_bottom = window.place.bottom if edges.down < 0 else None
            self._show(_SHAPES[edges])

    def _pull(self, drag: _Drag) -> None:
        window = drag.window
        if window is None:
            return
        dx, dy, place = self.x - drag.x, self.y - drag.y, drag.place
        if drag.edges is None:
            self._windows.float(window)
            self._windows.put(window, place.x + dx, place.y + dy)
            return
        across, down = drag.edges
        self._windows.ask_size(
            window,
            max(place.width + dx * across, min(_LEAST, place.width)),
            max(place.height + dy * down, min(_LEAST, place.height)),
        )

    def _end_drag(self) -> None:
        drag, self._drag = self._drag, None
        if drag is not None and drag.window is not None:
            drag.window.resizing = False
        self.look()
