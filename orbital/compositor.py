"""Bringing outputs up to date: what is damaged is painted, once, and only where it shows.

A frame is made in two walks over the windows.  The first goes from the front to the back and takes
from what is still to be painted whatever an opaque window hides; the second paints what was found
from the back to the front.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Final

from orbital.canvas import Canvases
from orbital.keys import Keys
from orbital.layers import Layers
from orbital.overlay import Overlay, Overlays
from orbital.painter import Painter
from orbital.pixels import Image, Job, Plan, premultiplied
from orbital.pointer import Pointer
from orbital.rect import Rect
from orbital.region import Box, disjoint, edges, inside, split, within, without
from orbital.scene import Shown, shown
from orbital.screen import Screen
from orbital.theme import Theme
from orbital.window import Window
from orbital.windows import Windows

__all__ = ["Compositor"]

_PIECES: Final = 48
"""Rectangles that are left to paint, above which hiding more of them is not worth the walk: what is
behind may be painted in vain then, never wrongly."""
_LOOKED_FOR: Final = 32  # windows drawn in, above which nobody looks what hides each of them
_PLANS: Final = 32  # that are kept
_OUTLINE: Final = 0xFFFF00FF  # of what was painted, with Super+F10


class Compositor:
    """Paints windows, their decorations, and what is above them."""

    def __init__(
        self,
        windows: Windows,
        pointer: Pointer,
        keys: Keys,
        theme: Theme,
        now: Callable[[], float] | None,
    ) -> None:
        self._windows: Final = windows
        self._pointer: Final = pointer
        self._keys: Final = keys
        self._now: Final = now
        self._painter: Final = Painter(theme)
        self._overlays: Final = Overlays(windows, pointer, keys, self._painter)
        self._layers: Final = Layers()
        self._canvases: Final = Canvases()
        self._plans: Final[dict[Hashable, Plan]] = {}  # of the version that follows
        self._version = 0
        self._background: Final = premultiplied(theme.background_color) | 0xFF000000

    def forget(self, screen: Screen) -> None:
        """Hear that an output went, or has another size."""
        self._canvases.forget(screen)
        self._plans.clear()
        self._overlays.forget(screen)

    def draw(self, damaged: Collection[Window]) -> None:
        """Bring all screens up to date that can take a picture; `damaged` have been drawn in."""
        self._spread(damaged)
        for screen in self._windows.layout:
            overlays = self._overlays.refresh(screen)
            if screen.damage:
                self._frame(screen, overlays)

    def picture(self, screen: Screen, *, cursor: bool) -> tuple[int, int, bytearray]:
        """Return what a screen shows, with everything that planes show."""
        width, height = screen.size
        memory = bytearray(width * height * 4)
        if width and height:
            canvas = Image(width, height, memory, alpha=False)
            overlays = self._overlays.all(screen, cursor=cursor)
            self._plan(screen, canvas, [screen.whole], overlays, frozenset()).run()
            canvas.close()
        return width, height, memory

    def bar(self, screen: Screen, window: Window) -> Image:
        """Return the title bar of a window that has one, as a screen shows it."""
        item = shown(screen, window)
        _, _, width, height = item.bar
        focused = window is self._windows.focused
        return self._painter.bar(window.title, item.buttons, width, height, screen.scale, focused)

    def _spread(self, damaged: Collection[Window]) -> None:
        """Damage screens where windows were drawn in, and nothing opaque hides it."""
        layout, showing = self._windows.layout, self._windows.stack.showing
        if len(damaged) > _LOOKED_FOR:
            showing = []
        for window in damaged:
            rects, window.damage = window.damage, []
            if not window.showing:
                continue
            for screen in layout:
                item = shown(screen, window)
                whole = screen.whole & item.body
                parts = [item.damaged(rect, window) & whole for rect in rects]
                parts = [part for part in parts if part]
                for other in showing:
                    if other is window or not parts or len(parts) > _PIECES:
                        break
                    if other.opaque:
                        parts = without(parts, shown(screen, other).body)
                for part in parts:
                    screen.damage.add(part)

    # -- one frame ---------------------------------------------------------------------------------

    def _frame(self, screen: Screen, overlays: tuple[Overlay, ...]) -> None:
        output = screen.output
        planed = self._layers.assign(screen, self._windows, overlays)
        frame = output.begin()
        if frame is None:
            return  # `on_ready` brings us back
        canvas = self._canvases.of(screen, frame)
        if canvas is None:
            return  # it is of another size already, and `on_changed` on its way
        started = self._now() if self._now is not None else 0.0
        if screen.outlined:
            for rect in screen.outlined:
                screen.damage.add(rect)
            screen.outlined = []
        damage = screen.damage.take(screen.whole)
        todo = damage
        if frame.stale:
            todo = disjoint([*damage, *within(frame.stale, screen.whole)])
        self._planned(screen, canvas, todo, overlays, planed).run()
        if self._keys.outlines:
            self._outline(screen, canvas, damage)
        output.present(damage)
        if self._now is not None and self._keys.costs:
            self._overlays.cost(self._now() - started)

    def _plan(
        self,
        screen: Screen,
        canvas: Image,
        todo: list[Rect],
        overlays: tuple[Overlay, ...],
        planed: frozenset[Window],
    ) -> Plan:
        """Return how to paint what is to be seen in `todo`, disjoint rectangles of the screen."""
        boxes = [edges(rect) for rect in todo]
        jobs: list[Job] = []
        for overlay in overlays:
            parts = inside(boxes, edges(overlay.place))
            if parts:
                jobs.append((overlay.image, True, overlay.place.x, overlay.place.y, parts))
        boxes = self._windows_of(screen, boxes, planed, jobs)
        return canvas.plan(boxes, self._background, jobs)

    def _planned(
        self,
        screen: Screen,
        canvas: Image,
        todo: list[Rect],
        overlays: tuple[Overlay, ...],
        planed: frozenset[Window],
    ) -> Plan:
        """Return the same, the last time's if it was the same: a clip that plays, a terminal."""
        if self._version != self._windows.version or len(self._plans) > _PLANS:
            self._plans.clear()
            self._version = self._windows.version
        key = (canvas, *todo, overlays, planed)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._plan(screen, canvas, todo, overlays, planed)
        return plan

    def _windows_of(
        self, screen: Screen, todo: list[Box], planed: frozenset[Window], jobs: list[Job]
    ) -> list[Box]:
        """Add to `jobs` what windows show of `todo`, front to back; return where none hides all."""
        if not todo:
            return todo
        left, top = min(box[0] for box in todo), min(box[1] for box in todo)
        right, bottom = max(box[2] for box in todo), max(box[3] for box in todo)
        for window in self._windows.stack.showing:
            item: Shown = window.items.get(screen) or shown(screen, window)
            frame = item.frame_box
            if frame[0] >= right or frame[1] >= bottom or frame[2] <= left or frame[3] <= top:
                continue
            if item.bar:
                parts = inside(todo, item.bar_box)
                if parts:
                    jobs.append((self.bar(screen, window), True, frame[0], frame[1], parts))
            body = item.body_box
            if not item.opaque:
                parts = inside(todo, body)
                if parts and window not in planed:
                    jobs.append((item.image, True, body[0], body[1], parts))
                continue
            parts, rest = split(todo, body)
            if parts:
                if window not in planed:
                    jobs.append((item.image, False, body[0], body[1], parts))
                if len(rest) <= _PIECES or len(rest) <= len(todo) or window in planed:
                    todo = rest
                    if not todo:
                        break
        return todo

    def _outline(self, screen: Screen, canvas: Image, rects: Iterable[Rect]) -> None:
        """Draw around what was painted; the next frame takes it away again."""
        for rect in rects:
            x, y, width, height = rect
            for side in (
                Rect(x, y, width, 1),
                Rect(x, rect.bottom - 1, width, 1),
                Rect(x, y, 1, height),
                Rect(rect.right - 1, y, 1, height),
            ):
                canvas.fill(side, _OUTLINE)
                screen.outlined.append(side)
