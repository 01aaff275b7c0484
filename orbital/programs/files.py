"""`orbital-view FILE`: a file as text, or as bytes where it is none, in a window."""

from __future__ import annotations

import argparse
import mmap
import os
from pathlib import Path
from typing import Final, Protocol

from orbital.orbclient import Event, Key, Rect, Resize, Scroll, Window, WindowFlag
from orbital.programs.letters import Letters
from orbital.programs.paint import BACK, TEXT
from orbital.programs.program import Program, started
from redbear_host.abi.scancodes import Key as Scan
from redbear_host.errors import ConfigError

_LOOKED_AT: Final = 65536  # bytes, to tell text from other things
_TEXT_MOST: Final = 16 << 20  # bytes; larger files are shown as bytes, of which only some are read
_LINE_MOST: Final = 1000  # characters
_A_ROW: Final = 16  # bytes
_STEPS: Final[dict[int, int]] = {Scan.UP: -1, Scan.DOWN: 1}
_PAGES: Final[dict[int, int]] = {Scan.PGUP: -1, Scan.PGDN: 1}
_NOTCH: Final = 3  # lines that the wheel goes


class Pages(Protocol):
    """Something of `count` lines."""

    count: int

    def line(self, number: int) -> str:
        """Return a line, counted from 0."""
        ...


class Text:
    """A text's lines."""

    def __init__(self, text: str) -> None:
        self._lines: Final = text.expandtabs(8).split("\n")
        self.count = len(self._lines)

    def line(self, number: int) -> str:
        """Return the beginning of a line."""
        return self._lines[number][:_LINE_MOST].rstrip("\r")


class Octets:
    """The bytes of a file, 16 a line: where they are, what they are, and as letters."""

    def __init__(self, data: mmap.mmap | bytes) -> None:
        self._data: Final = data
        self.count = -(-len(data) // _A_ROW)

    def line(self, number: int) -> str:
        """Return a line as `hexdump -C` has it."""
        row = self._data[number * _A_ROW : (number + 1) * _A_ROW]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        return f"{number * _A_ROW:08x}  {row[:8].hex(' '):23}  {row[8:].hex(' '):23}  |{shown}|"


def read(path: Path) -> Pages:
    """Return what is in a file; `ConfigError` says why it cannot be shown."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(_LOOKED_AT)
            if b"\0" not in head and size <= _TEXT_MOST:
                try:
                    return Text((head + file.read(_TEXT_MOST - len(head))).decode())
                except UnicodeDecodeError:
                    pass
            if size:
                return Octets(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
            return Octets(head)  # a file that says it is empty, as those of /proc
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


class Viewer(Program):
    """A window onto some of its lines."""

    def __init__(self, window: Window, pages: Pages, letters: Letters) -> None:
        super().__init__(window)
        self._pages: Final = pages
        self._letters: Final = letters
        self._top = 0

    @property
    def _rows(self) -> int:
        rows: int = self.window.height // self._letters.height
        return max(1, rows)

    def on_event(self, event: Event) -> None:
        """Go through the file."""
        match event:
            case Key(_, code, True):
                if code == Scan.ESC:
                    self.ended = True
                elif code in _STEPS:
                    self._go(self._top + _STEPS[code])
                elif code in _PAGES:
                    self._go(self._top + _PAGES[code] * max(1, self._rows - 1))
                elif code in (Scan.HOME, Scan.END):
                    self._go(0 if code == Scan.HOME else self._pages.count)
            case Scroll(_, y):
                self._go(self._top - _NOTCH * y)
            case Resize():
                super().on_event(event)
                self._go(self._top)
            case _:
                super().on_event(event)

    def _go(self, top: int) -> None:
        top = max(0, min(top, self._pages.count - self._rows))
        if top != self._top:
            self._top = top
            self.stale = True

    def draw(self) -> list[Rect]:
        """Draw the lines that can be seen."""
        picture, letters = self.window.picture, self._letters
        whole = Rect(0, 0, picture.width, picture.height)
        picture.fill(whole, BACK)
        last = min(self._top + self._rows + 1, self._pages.count)
        for row, number in enumerate(range(self._top, last)):
            for column, letter in enumerate(self._pages.line(number)):
                left = column * letters.width
                if left >= picture.width:
                    break
                mask = letters.mask(letter)
                if mask is not None:
                    place = Rect(left, row * letters.height, mask.width, letters.height)
                    picture.write(mask, 0, 0, place & whole, TEXT)
        return []


def run() -> None:
    """Read the arguments and show the file."""
    parser = argparse.ArgumentParser(description="show a file in a window of Orbital")
    parser.add_argument("file", type=Path, help="text in UTF-8, or anything, as bytes")
    path: Path = parser.parse_args().file
    pages = read(path)
    letters = Letters(14)
    size = 82 * letters.width, 30 * letters.height
    with Window(*size, path.name, flags=WindowFlag.RESIZABLE) as window:
        Viewer(window, pages, letters).run()


def main() -> int:
    """Run; return the exit status."""
    return started(run)
