"""`orbterm [-- CMD …]`: a terminal of the scheme `pty` in a window."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final

from orbital.orbclient import (
    Button,
    Clipboard,
    Event,
    Focus,
    Key,
    Mouse,
    Rect,
    Resize,
    Scroll,
    TextInput,
    Window,
    WindowFlag,
)
from orbital.programs.colours import colour
from orbital.programs.keyboard import Keyboard
from orbital.programs.letters import Letters
from orbital.programs.program import Program, started
from orbital.programs.selection import Selection
from orbital.programs.terminal import Terminal

_PASTE: Final = 3
_BOTH: Final = (1, 2)  # copy and cut are the same here
_SHELL: Final = "/bin/sh"
_NOTCH: Final = 3  # lines that the wheel goes


class OrbTerm(Program):
    """The window: cells of letters, redrawn by rows."""

    def __init__(self, window: Window, terminal: Terminal, letters: Letters) -> None:
        super().__init__(window)
        self._terminal: Final = terminal
        self._letters: Final = letters
        self._keyboard: Final = Keyboard()
        self._selection: Final = Selection()
        self._focused = False
        self._cursor: tuple[int, int] | None = None  # where it was drawn: column, row
        self._title = window.title
        self.watch(terminal.fd, self._read)
        self.every(0.25, self._look_after)

    # -- the program -------------------------------------------------------------------------------

    def _read(self) -> None:
        if not self._terminal.read():
            self.ended = True
        self.stale = True

    def _look_after(self) -> None:
        """Type on what the program had no room for."""
        self._terminal.flush()

    # -- the window --------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Type, paste, scroll, select."""
        terminal = self._terminal
        match event:
            case Key():
                self._type(self._keyboard.bytes_of(event, terminal.screen.application_keys))
            case TextInput(character) if character.isprintable():  # Enter and its like came as keys
                self._type(character.encode())
            case Focus(focused):
                self._focused = focused
                self._keyboard.release()
                self.stale = True
            case Clipboard(kind, _) if kind == _PASTE:
                self._paste()
            case Clipboard(kind, _) if kind in _BOTH and (text := self._selected()):
                self.window.clipboard = text.encode()
            case Scroll(_, y):
                self.stale |= terminal.screen.scroll(_NOTCH * y)
            case Mouse(x, y):
                if self._selection.to(*self._cell(x, y)):
                    self._draw_all()
            case Button(left, _, _):
                if self._selection.press(left):
                    self._draw_all()
            case Resize():
                super().on_event(event)
                self._fit()
            case _:
                super().on_event(event)

    def _type(self, data: bytes) -> None:
        if not data:
            return
        self._terminal.screen.scroll(-self._terminal.screen.back)  # to where is typed
        if self._selection.clear():
            self._draw_all()
        self._terminal.type(data)

    def _paste(self) -> None:
        try:
            text = self.window.clipboard
        except OSError:  # it is not ours to see
            return
        if self._terminal.screen.bracketed_paste:
            text = b"\x1b[200~" + text.replace(b"\x1b", b"") + b"\x1b[201~"
        self._type(text.replace(b"\n", b"\r"))

    def _selected(self) -> str:
        return self._selection.text(self._terminal.screen)

    def _cell(self, x: int, y: int) -> tuple[int, int]:
        screen, letters = self._terminal.screen, self._letters
        column, row = x // letters.width, y // letters.height
        return min(max(column, 0), screen.columns - 1), min(max(row, 0), screen.rows - 1)

    def _fit(self) -> None:
        """Give the terminal as many cells as fit."""
        columns = max(1, self.window.width // self._letters.width)
        rows = max(1, self.window.height // self._letters.height)
        screen = self._terminal.screen
        if (columns, rows) != (screen.columns, screen.rows):
            self._terminal.resize(columns, rows)
        self._draw_all()

    def _draw_all(self) -> None:
        self._terminal.screen.touch()
        self.stale = True

    # -- drawing -----------------------------------------------------------------------------------

    def draw(self) -> list[Rect]:
        """Draw the rows that have changed, and the cursor's, old and new."""
        screen = self._terminal.screen
        if screen.title and screen.title != self._title:
            self._title = self.window.title = screen.title[:200]
        cursor = screen.cursor
        rows = screen.changed() | {place[1] for place in (self._cursor, cursor) if place}
        self._cursor = cursor
        return [self._draw_row(row) for row in sorted(rows) if row < screen.rows]

    def _draw_row(self, row: int) -> Rect:
        screen, letters, picture = self._terminal.screen, self._letters, self.window.picture
        height = letters.height
        cells = screen.row(row)
        looks = [
            self._look(cell, (column, row), (column, row) == self._cursor)
            for column, cell in enumerate(cells)
        ]
        at = 0
        while at < len(looks):  # one fill for all cells of a colour
            end = at + 1
            while end < len(looks) and looks[end][1] == looks[at][1]:
                end += 1
            place = Rect(at * letters.width, row * height, (end - at) * letters.width, height)
            picture.fill(place, looks[at][1])
            at = end
        for column, (cell, (front, _)) in enumerate(zip(cells, looks, strict=True)):
            mask = letters.mask(cell.data, cell.bold)
            left = column * letters.width
            if mask is not None:
                whole = Rect(left, row * height, mask.width, height)
                picture.write(mask, 0, 0, whole & Rect(0, 0, *self.window.place[2:]), front)
            if cell.underscore:
                picture.fill(Rect(left, (row + 1) * height - 1, letters.width, 1), front)
        return Rect(0, row * height, len(cells) * letters.width, height)

    def _look(self, cell: Any, at: tuple[int, int], cursor: bool) -> tuple[int, int]:
        """Return the colours of a cell: the letter's, and what is behind it."""
        front, back = colour(cell.fg, True), colour(cell.bg, False)
        turned = cell.reverse != self._selection.holds(*at)
        if cursor:
            turned = not turned if self._focused else turned
            if not self._focused:
                back = 0xFF555555
        return (back, front) if turned else (front, back)


def run() -> None:
    """Read the arguments and open the terminal."""
    parser = argparse.ArgumentParser(description="a terminal in a window of Orbital")
    parser.add_argument("--size", default="80x24", metavar="COLUMNSxROWS", help="(%(default)s)")
    parser.add_argument("--font-size", type=int, default=14, metavar="PIXELS", help="(%(default)s)")
    parser.add_argument("command", nargs="*", metavar="-- CMD …", help="what to run ($SHELL)")
    args = parser.parse_args()
    columns, x, rows = args.size.partition("x")
    if not (x and columns.isdecimal() and rows.isdecimal() and 0 < int(columns) * int(rows) < 1e5):
        parser.error(f"--size {args.size} is no size; write for example 80x24")
    if not 6 <= args.font_size <= 100:
        parser.error("--font-size is from 6 to 100")
    command = args.command or [os.environ.get("SHELL") or _SHELL]
    letters = Letters(args.font_size)
    scheme = Path(os.environ.get("REDBEAR_SCHEME", "/scheme")) / "pty"
    size = int(columns) * letters.width, int(rows) * letters.height
    terminal = Terminal(scheme, command, int(columns), int(rows))
    try:
        with Window(*size, command[0], flags=WindowFlag.RESIZABLE) as window:
            OrbTerm(window, terminal, letters).run()
    finally:
        status = terminal.close()
    if status:
        sys.exit(status)


def main() -> int:
    """Run; return the exit status."""
    return started(run)
