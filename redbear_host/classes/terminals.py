"""Virtual terminals: each has its own picture and cursor for each display, and one is active.

What a terminal shows while another is active is kept, and comes when it is activated.  inputd says
which one is active, as soon as it is open here and for as long; else it is the one that was opened
last.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.classes.displaystate import Cursor, DisplayState, Shown
from redbear_host.classes.framebuffers import Framebuffer, Framebuffers
from redbear_host.classes.scanout import Scanout
from redbear_host.classes.screen import Area, DisplayAdapter
from redbear_host.errors import Refused

TERMINALS_MOST: Final = 32
VT_MOST: Final = (1 << 16) - 1


class Terminal:
    """One VT."""

    def __init__(self, number: int) -> None:
        self.number: Final = number
        self.handles = 0
        self.restored = False  # of a predecessor; who has it open may not have called since
        self.shown: Final[dict[int, Framebuffer]] = {}  # by display
        self.cursors: Final[dict[int, Cursor]] = {}  # by display
        self.files: Final[dict[int, Framebuffer]] = {}  # of v1, by display


class Terminals:
    """Those that are open, and those whose picture is on a screen still."""

    def __init__(
        self, adapter: DisplayAdapter, framebuffers: Framebuffers, state: DisplayState
    ) -> None:
        """Go on where `state` and `framebuffers` say that a predecessor has stopped."""
        self._adapter: Final = adapter
        self._framebuffers: Final = framebuffers
        self._state: Final = state
        self._open: Final[dict[int, Terminal]] = {}  # in the order of being opened
        self.scanouts: Final = [Scanout(adapter, n) for n in range(adapter.displays)]
        self._led = 0  # the VT that inputd wants to be active; 0: it has said nothing
        self._restore()

    def _restore(self) -> None:
        self.active, shown, sizes = self._state.load()
        for display, size in enumerate(sizes[: len(self.scanouts)]):
            known = {(mode.width, mode.height) for mode in self._adapter.modes(display)}
            if size in known and size != self._adapter.size(display):
                self._adapter.set_mode(display, *size)
        for framebuffer in self._framebuffers:
            terminal = self._terminal(framebuffer.vt)
            if 0 <= framebuffer.screen < len(self.scanouts):
                terminal.files[framebuffer.screen] = framebuffer
        for vt, display, number in shown:
            found = self._framebuffers.get(number)
            if found is not None and found.vt == vt and display in range(len(self.scanouts)):
                self._terminal(vt).shown[display] = found
        terminal = self._terminal(self.active) if self.active else Terminal(0)
        for display in range(len(self.scanouts)):
            cursor = self._state.load_cursor(self.active, display) if self.active else None
            if cursor is not None:
                terminal.cursors[display] = cursor
        self._show(terminal)

    def _terminal(self, number: int) -> Terminal:
        terminal = self._open.setdefault(number, Terminal(number))
        terminal.restored = True
        return terminal

    # -- being opened and closed -------------------------------------------------------------------

    def open(self, number: int, wakes: bool) -> Terminal:
        """Open VT `number`; it becomes active if inputd wants it, or if it `wakes`.

        So it does not while another is open that inputd wants.  ENFILE where there are too many.
        """
        terminal = self._open.pop(number, None)
        if terminal is None:
            if len(self._open) >= TERMINALS_MOST:
                self._sweep()
            if len(self._open) >= TERMINALS_MOST:
                raise Refused(e.ENFILE)
            terminal = Terminal(number)
        self._open[number] = terminal
        terminal.handles += 1
        was_open, terminal.restored = terminal.restored, False
        wanted = self._open.get(self._led)
        wakes = wakes and not was_open and not (wanted is not None and wanted.handles)
        if number != self.active and (wakes or number == self._led):
            self._activate(number)
        return terminal

    def close(self, terminal: Terminal) -> None:
        """Hear that a handle was closed.

        With the last one a VT's buffers go, but for what is on a screen: that stays until another
        VT is active, as a shell has nobody who would hold a picture's file open.
        """
        terminal.handles -= 1
        if terminal.handles:
            return
        for framebuffer in self._framebuffers:
            if framebuffer.vt == terminal.number and framebuffer.screen < 0:
                self.orphan(framebuffer)
        others = [one.number for one in self._open.values() if one.handles]
        if terminal.number != self.active:
            self._forget(terminal)
        elif others:
            self._activate(others[-1])

    def activate(self, number: int) -> None:
        """Show VT `number`, as inputd says, or as soon as it is opened."""
        self._led = number
        wanted = self._open.get(number)
        there = wanted is not None and (wanted.handles or wanted.restored)
        if there and number != self.active:
            self._activate(number)

    def show_now(self, number: int) -> None:
        """Show VT `number`, as a user says, until something else becomes active."""
        if number != self.active:
            self._activate(number)

    def unled(self) -> None:
        """Hear that inputd has ended: what is opened last becomes active again."""
        self._led = 0

    def _activate(self, number: int) -> None:
        before = self._open.get(self.active)
        self.active = number
        self._show(self._open.get(number) or Terminal(number))
        self.save()
        if before is not None and self._is_forgotten(before):
            self._forget(before)

    def _is_forgotten(self, terminal: Terminal) -> bool:
        return not (terminal.handles or terminal.restored or terminal.number == self.active)

    def _sweep(self) -> None:
        """Forget those of a predecessor that nobody has opened since."""
        for terminal in list(self._open.values()):
            if terminal.restored and terminal.number != self.active:
                self._forget(terminal)

    def _forget(self, terminal: Terminal) -> None:
        del self._open[terminal.number]
        terminal.shown.clear()
        for framebuffer in self._framebuffers:
            if framebuffer.vt == terminal.number:
                self._framebuffers.drop(framebuffer)

    def _show(self, terminal: Terminal) -> None:
        """Put a terminal's pictures and cursors on the screens."""
        for display, scanout in enumerate(self.scanouts):
            framebuffer = terminal.shown.get(display)
            if framebuffer is None:
                scanout.show_nothing()
            else:
                scanout.show(framebuffer)
            self._show_cursor(terminal, display, image=True)

    def save(self) -> None:
        """Write down for a successor who shows what."""
        self._state.save(
            self.active,
            (
                Shown(terminal.number, display, framebuffer.number)
                for terminal in self._open.values()
                for display, framebuffer in terminal.shown.items()
            ),
            [self._adapter.size(display) for display in range(len(self.scanouts))],
        )

    # -- pictures ----------------------------------------------------------------------------------

    def show(
        self, terminal: Terminal, display: int, framebuffer: Framebuffer, area: Area | None = None
    ) -> Scanout | None:
        """Show `framebuffer`, of which `area` has changed; None: all of it.

        Returns who can be waited for; None: it is kept until the terminal is active.
        """
        before = terminal.shown.get(display)
        if before is not framebuffer:
            terminal.shown[display] = framebuffer
            self.save()
        if terminal.number != self.active:
            scanout = None
        else:
            scanout = self.scanouts[display]
            scanout.show(framebuffer, area)
        if before is not None and before.orphan:
            self.orphan(before)
        return scanout

    def orphan(self, framebuffer: Framebuffer) -> None:
        """Drop a buffer, if need be when it is no longer shown."""
        framebuffer.orphan = True
        if not any(framebuffer in one.shown.values() for one in self._open.values()):
            self._framebuffers.drop(framebuffer)

    def make(self, terminal: Terminal, width: int, height: int, screen: int = -1) -> Framebuffer:
        """Make a buffer for a terminal; errors as `Framebuffers.make`."""
        try:
            return self._framebuffers.make(terminal.number, width, height, screen)
        except Refused as refusal:
            if refusal.errno == e.EINVAL:
                raise
            self._sweep()
            return self._framebuffers.make(terminal.number, width, height, screen)

    def file(self, terminal: Terminal, display: int) -> Framebuffer:
        """Return the buffer of a v1 file, as large as the display; ENODEV without a monitor."""
        found = terminal.files.get(display)
        size = self._adapter.size(display)
        if found is None or ((found.width, found.height) != size and all(size)):
            if not all(size):
                raise Refused(e.ENODEV)
            found = self._another(terminal, display, found, *size)
        return found

    def _another(
        self, terminal: Terminal, display: int, old: Framebuffer | None, width: int, height: int
    ) -> Framebuffer:
        """Make a file's buffer anew, with what fits of the picture it had."""
        new = self.make(terminal, width, height, display)
        terminal.files[display] = new
        if old is None:
            return new
        row = min(new.stride, old.stride)
        for y in range(min(height, old.height)):
            start, begin = y * new.stride, y * old.stride
            new.pixels[start : start + row] = old.pixels[begin : begin + row]
        if terminal.shown.get(display) is old:
            self.show(terminal, display, new)
        self.orphan(old)
        return new

    @property
    def files(self) -> list[tuple[int, int]]:
        """VT and display of each v1 file that has a picture."""
        return sorted((one.number, n) for one in self._open.values() for n in one.files)

    def on_changed(self, display: int) -> None:
        """Hear that a display has changed: its files have another size, and it may be black."""
        self.scanouts[display].on_changed()
        self.save()
        for terminal in list(self._open.values()):
            if display in terminal.files:
                with suppress(Refused):  # without room, it keeps the size it had
                    self.file(terminal, display)
        self._show_cursor(self._open.get(self.active) or Terminal(0), display, image=True)

    # -- cursors -----------------------------------------------------------------------------------

    def cursor(self, terminal: Terminal, display: int) -> Cursor:
        """Return what a terminal's cursor is like, to be changed before `changed_cursor`."""
        return terminal.cursors.setdefault(display, Cursor())

    def changed_cursor(self, terminal: Terminal, display: int, *, image: bool) -> None:
        """Show it, if the terminal is active; with another `image`, or only elsewhere."""
        if terminal.number == self.active:
            self._show_cursor(terminal, display, image)

    def _show_cursor(self, terminal: Terminal, display: int, image: bool) -> None:
        if not all(self._adapter.cursor_limits(display)):
            return
        cursor = terminal.cursors.get(display)
        self._state.save_cursor(terminal.number, display, cursor, image)
        if cursor is None or not cursor.image:
            self._adapter.move_cursor(display, 0, 0, False)
            return
        if image:
            self._adapter.set_cursor(display, cursor.image, cursor.hot_x, cursor.hot_y)
        self._adapter.move_cursor(display, cursor.x, cursor.y, cursor.visible)
