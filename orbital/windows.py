"""The windows of a desktop: their places, order, focus and flags, and who is told what of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from orbital import placing
from orbital.frame import frame_of
from orbital.layout import in_units
from orbital.paintwork import Paintwork
from orbital.pixels import MAX_SIDE, Image
from orbital.rect import Rect
from orbital.scene import points
from orbital.screen import Screen
from orbital.stack import level
from orbital.window import MAX_TITLE, Lent, Window, in_reach, nothing
from redbear_host.abi.orbital import SCALE_ONE, EventCode, WindowFlag

F = WindowFlag
_TILED: Final = F.MAXIMIZED | F.FULLSCREEN


class Windows(Paintwork):
    """All windows, and the screens they are on.

    Numbers come from clients: whatever they are, a call changes the window within bounds or raises
    `ValueError` and changes nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.focused: Window | None = None
        self.on_list: Callable[[], object] = nothing
        """Called when `list` would say something else."""
        self.on_closed: Callable[[Window], object] = nothing
        self.lending: Final[set[Window]] = set()  # those whose pixels an output lent
        self._next = 1
        self._seen = 0  # counts changes of focus
        self._recent: Final[dict[Window, None]] = {}  # who had it, the last at the end

    # -- opening and closing -----------------------------------------------------------------------

    def fit(self, flags: WindowFlag, width: int, height: int) -> tuple[int, int]:
        """Return the size, in pixels, that a new window gets: RESIZABLE ones fit on the screen.

        `ValueError` for a size that no window can have.
        """
        if not (0 <= width <= MAX_SIDE and 0 <= height <= MAX_SIDE):
            raise ValueError(f"a window of {width} by {height} pixels")
        screen = self._here()
        if flags & F.RESIZABLE and screen is not None:
            area = placing.work_area(screen.place)
            scale = screen.scale if flags & F.SCALABLE else SCALE_ONE
            width = min(width, in_units(area.width, scale))
            height = min(height, in_units(area.height, scale))
        return width, height

    def open(
        self,
        flags: WindowFlag,
        x: int,
        y: int,
        width: int,
        height: int,
        title: str,
        pixels: Any,
        stride: int = 0,
        lent: Lent | None = None,
    ) -> Window:
        """Open a window; x and y below zero: where there is room.

        `width` and `height` are what `fit` returned.  `pixels` is writable memory of at least
        `stride` (0: four times `width`) times `height` bytes, held until `resize` or `close`;
        `ValueError` if it is shorter.  A window that is not behind takes the focus.
        """
        window = Window(self._next, flags & ~_TILED, title[:MAX_TITLE])
        screen = self._here()
        if screen is not None:
            window.told_screen, window.told_scale = screen.place[2:], screen.scale
            if flags & F.SCALABLE:
                window.scale, window.told_screen = screen.scale, screen.size
        window.draw_with(width, height, pixels, stride, lent)
        self._next += 1
        size = points(width, window.scale), points(height, window.scale)
        if x < 0 and y < 0 and screen is not None:
            others = self.stack.level(level(window))
            x, y = placing.automatic(screen.place, size, window.decorated, others)
        window.place = Rect(in_reach(x), in_reach(y), *size)
        self._note_lent(window)
        self.stack.add(window)
        self._touch(window)
        if flags & F.SCALABLE:
            window.post(EventCode.SCALE, window.scale, SCALE_ONE)
        if len(self.layout) > 1:
            self._tell_screen(window)
        self.focus(window)
        if flags & _TILED:
            self.set_flags(window, flags & _TILED, True)
        self.on_list()
        return window

    def close(self, window: Window) -> None:
        """Take a window away and let its memory go; the focus goes to who had it before."""
        if window.closed:
            return
        self._touch(window)
        window.closed = True
        self.stack.remove(window)
        self._damaged.pop(window, None)
        self._recent.pop(window, None)
        self.lending.discard(window)
        window.let_go()
        self.on_closed(window)
        if self.focused is window:
            self.focused = None
            self._focus_next()
        self.on_list()

    def _note_lent(self, window: Window) -> None:
        if window.lent is not None:
            self.lending.add(window)
        else:
            self.lending.discard(window)

    # -- what owners change ------------------------------------------------------------------------

    def resize(
        self,
        window: Window,
        width: int,
        height: int,
        pixels: Any,
        stride: int = 0,
        lent: Lent | None = None,
    ) -> None:
        """Give a window other memory and size; what both sizes hold is copied into it.

        Of a window with more pixels than all screens together, only as many, the upper rows: who
        asks for sizes in turn would else have the time of all others.

        The old memory is let go before this returns.  `ValueError`, and nothing changed, if
        `pixels` is too short.
        """
        if width and height:
            new = Image(width, height, pixels, stride, alpha=not window.opaque)
            if window.image is not None:
                across, down = min(width, window.width), min(height, window.height)
                down = min(down, self.layout.pixels // across)
                if down:
                    new.copy(window.image, 0, 0, Rect(0, 0, across, down))
            new.close()
        self._touch(window)
        window.draw_with(width, height, pixels, stride, lent)
        self._note_lent(window)
        if window.flags & F.SCALABLE and window.told_scale:
            window.scale = window.told_scale
        x, y = window.place[:2]
        size = points(width, window.scale), points(height, window.scale)
        if window.resizing or (width, height) == window.told_size:
            x = x if window.held_right is None else window.held_right - size[0]
            y = y if window.held_bottom is None else window.held_bottom - size[1]
        if not window.resizing:
            window.held_right = window.held_bottom = None
        self.stack.changed()
        self._put(window, Rect(x, y, *size), tell=True)

    def move(self, window: Window, x: int | None, y: int | None) -> None:
        """Put a window somewhere, in points, as its owner wants; None: as it was."""
        place = window.place
        x, y = place.x if x is None else in_reach(x), place.y if y is None else in_reach(y)
        self._put(window, Rect(x, y, place.width, place.height), tell=False)

    def set_title(self, window: Window, title: str) -> None:
        """Take another title, of which `MAX_TITLE` characters are kept."""
        title = title[:MAX_TITLE]
        if title != window.title:
            window.title = title
            self._touch_bar(window)
            self.on_list()

    def set_flags(self, window: Window, flags: WindowFlag, on: bool) -> None:
        """Set or clear flags, as command `F` does; maximising and full screen move the window."""
        before = window.flags
        after = before | flags if on else before & ~flags
        if after == before:
            return
        self._touch(window)
        was_behind, window.flags = window.behind, after
        changed = before ^ after
        if changed & (F.BACK | F.FRONT):
            self.stack.raise_(window)
        if changed & F.TRANSPARENT and window.image is not None:
            window.image.set_alpha(not window.opaque)
        self._forget_items(window)
        self.stack.changed()
        if changed & _TILED:
            self._settle(window)
        self._touch(window)
        if changed & F.HIDDEN or window.behind != was_behind:
            self._refocus(window)
        if changed & F.SCALABLE:
            self._tell_screen(window)
        self.on_list()

    # -- focus -------------------------------------------------------------------------------------

    def focus(self, window: Window | None) -> None:
        """Let a window have the keys, and put it in front of its level."""
        before = self.focused
        if window is not None:
            if not self._may_focus(window):
                return
            if self.stack.level(level(window))[0] is not window:
                self.stack.raise_(window)
                self._touch(window)
            self._seen += 1
            window.seen = self._seen
            self._recent.pop(window, None)
            self._recent[window] = None
        if window is before:
            return
        self.focused = window
        for touched in (before, window):
            if touched is not None:
                self._touch_bar(touched)
        if before is not None and not before.closed:
            before.post(EventCode.FOCUS, 0)
        if window is not None:
            window.worked_in = False
            window.post(EventCode.FOCUS, 1)
        self.on_list()

    def minimise(self, window: Window, on: bool = True) -> None:
        """Put a window away, or back where it was and in front."""
        if window.minimised == on:
            return
        if on:
            self._touch(window)
        window.minimised = on
        self.stack.changed()
        self._touch(window)
        self._refocus(window)
        self.on_list()

    def list(self) -> Sequence[Window]:
        """Return all windows, hidden and minimised ones too, frontmost first."""
        return list(self.stack)

    def _may_focus(self, window: Window) -> bool:
        return window.showing and not window.behind and not window.closed

    def _refocus(self, window: Window) -> None:
        """See to the focus after a window came into sight or went out of it."""
        if self._may_focus(window):
            self.focus(window)
        elif self.focused is window:
            self._focus_next()

    def _focus_next(self) -> None:
        """Give the focus to whoever had it last of those that may have it."""
        before = (window for window in reversed(self._recent) if self._may_focus(window))
        others = (window for window in self.stack if self._may_focus(window))
        self.focus(next(before, None) or next(others, None))

    # -- places ------------------------------------------------------------------------------------

    def put(self, window: Window, x: int, y: int) -> None:
        """Move a window on behalf of whoever sits at the screen; its owner is told."""
        x, y = in_reach(x), in_reach(y)
        if window.place[:2] != (x, y):
            self._put(window, Rect(x, y, *window.place[2:]), tell=True)

    def ask_size(self, window: Window, width: int, height: int) -> None:
        """Ask a window's owner for another size, in points; it may answer by `resize`."""
        scale = window.told_scale if window.flags & F.SCALABLE and window.told_scale else SCALE_ONE
        width, height = (
            max(1, min(in_units(length, scale), MAX_SIDE)) for length in (width, height)
        )
        if (width, height) != window.told_size or (width, height) != (window.width, window.height):
            window.told_size = width, height
            window.post(EventCode.RESIZE, width, height)

    def toggle_maximised(self, window: Window) -> None:
        """Maximise a RESIZABLE window, or put it back."""
        if window.flags & F.RESIZABLE:
            self.set_flags(window, F.MAXIMIZED, not window.flags & F.MAXIMIZED)

    def toggle_full_screen(self, window: Window) -> None:
        """Let a RESIZABLE window have the whole screen, or put it back."""
        if window.flags & F.RESIZABLE:
            self.set_flags(window, F.FULLSCREEN, not window.flags & F.FULLSCREEN)

    def tile(self, window: Window, across: int, down: int) -> None:
        """Let a RESIZABLE window have the half of the screen to which a direction points."""
        screen = self.layout.mostly(window.place)
        if screen is None or not window.flags & F.RESIZABLE or window.flags & F.FULLSCREEN:
            return
        floating = window.floating or window.place
        self.set_flags(window, F.MAXIMIZED, False)
        window.floating = floating
        self._fill(window, placing.half(screen.place, window, across, down))

    def float(self, window: Window) -> None:
        """Hear that a window was taken from where it was tiled: it stays where it is put."""
        if window.flags & _TILED:
            window.floating = None
            self.set_flags(window, _TILED, False)
        window.floating = None

    def _settle(self, window: Window) -> None:
        """Put a window where its flags say: all over the screen, above the task bar, or back."""
        screen = self.layout.mostly(window.place)
        if window.flags & _TILED and screen is not None:
            if window.floating is None:
                window.floating = window.place
            full = window.flags & F.FULLSCREEN
            self._fill(window, screen.place if full else placing.maximised(screen.place, window))
        elif window.floating is not None:
            place, window.floating = window.floating, None
            self._fill(window, place)

    def _fill(self, window: Window, place: Rect) -> None:
        self.put(window, place.x, place.y)
        if place[2:] != window.place[2:]:
            self.ask_size(window, place.width, place.height)

    def _put(self, window: Window, place: Rect, tell: bool) -> None:
        self._touch(window)
        moved = place[:2] != window.place[:2]
        window.place = place
        self._forget_items(window)
        self._touch(window)
        if moved and tell:
            window.post(EventCode.MOVE, place.x, place.y)
        if len(self.layout) > 1:
            self._tell_screen(window)

    # -- screens -----------------------------------------------------------------------------------

    def _here(self) -> Screen | None:
        """Return the screen on which new windows open."""
        return next(iter(self.layout), None)

    def screens_changed(self) -> None:
        """Hear that screens came, went, or have another size: windows follow them."""
        self.version += 1
        for window in self.stack:
            self._forget_items(window)
            screen = self.layout.mostly(window.place)
            if screen is None:
                continue
            if window.flags & _TILED:
                self._settle(window)
            elif not any(frame_of(window) & other.place for other in self.layout):
                self.put(window, *placing.in_view(window.place, screen.place))
            self._tell_screen(window)
        self.repaint()

    def _tell_screen(self, window: Window) -> None:
        """Tell a window of the size and scale of its screen, if it was told otherwise."""
        screen = self.layout.mostly(window.place)
        if screen is None:
            return
        scalable = window.flags & F.SCALABLE
        if scalable and window.told_scale != screen.scale:
            window.told_scale = screen.scale
            window.post(EventCode.SCALE, screen.scale, SCALE_ONE)
            if window.scale != screen.scale:
                self.ask_size(window, window.place.width, window.place.height)
        size = screen.size if scalable else screen.place[2:]
        if window.told_screen != size:
            window.told_screen = size
            window.post(EventCode.SCREEN, *size)
