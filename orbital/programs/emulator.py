"""What a program on a terminal has drawn: pyte's screen, a history, and its faults contained."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from redbear_host.errors import ConfigError

__all__ = ["Emulator"]

_HISTORY: Final = 2000  # lines
_ESCAPE: Final = 0x1B
_SEQUENCE: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])")
_PRIVATE: Final = 5  # pyte has a DEC mode as its number, shifted so far
_APPLICATION_KEYS: Final = 1 << _PRIVATE  # DECCKM
_BRACKETED_PASTE: Final = 2004 << _PRIVATE
# What pyte 0.8.2 raises for sequences that it parses and does not expect, as vim's `CSI ? 4 m`.
_FAULTS: Final = (TypeError, NameError, LookupError, ValueError, ArithmeticError, AttributeError)


class Emulator:
    """A screen of `columns` by `rows` cells; each has pyte's `data`, `fg`, `bg`, `bold`, ….

    `answer` is given what the terminal itself says: where its cursor is, what it is.
    """

    def __init__(self, columns: int, rows: int, answer: Callable[[bytes], object]) -> None:
        try:
            import pyte
        except ImportError as error:
            raise ConfigError(
                "what programs write is read by pyte, which is not installed", "pip install pyte"
            ) from error

        history: deque[Any] = deque(maxlen=_HISTORY)

        class Screen(pyte.Screen):
            """Keeps the lines that go out at its top."""

            def index(self) -> None:
                top, bottom = self.margins or (0, self.lines - 1)
                if top == 0 and self.cursor.y == bottom:
                    history.append(self.buffer[0])
                super().index()

            def write_process_input(self, data: str) -> None:
                answer(data.encode())

        self._history: Final = history
        self._screen: Final[Any] = Screen(columns, rows)
        self._streams: Final[Any] = pyte.ByteStream
        self._stream: Any = self._streams(self._screen)
        self.back = 0  # lines of the history that are shown
        self.faults = 0  # sequences that were left out

    # -- what is seen ------------------------------------------------------------------------------

    @property
    def columns(self) -> int:
        """The width in cells."""
        return int(self._screen.columns)

    @property
    def rows(self) -> int:
        """The height in cells."""
        return int(self._screen.lines)

    @property
    def title(self) -> str:
        """What the program calls itself; empty until it does."""
        return str(self._screen.title)

    @property
    def cursor(self) -> tuple[int, int] | None:
        """Column and row of the cursor; None while it is not seen."""
        cursor = self._screen.cursor
        if cursor.hidden or cursor.y + self.back >= self.rows:
            return None
        return min(cursor.x, self.columns - 1), cursor.y + self.back

    @property
    def application_keys(self) -> bool:
        """Whether the arrows send what full-screen programs want."""
        return _APPLICATION_KEYS in self._screen.mode

    @property
    def bracketed_paste(self) -> bool:
        """Whether what is pasted is to be told from what is typed."""
        return _BRACKETED_PASTE in self._screen.mode

    def row(self, number: int) -> Sequence[Any]:
        """Return the cells of a row as it is shown."""
        at = number - self.back
        line = self._screen.buffer[at] if at >= 0 else self._history[at]
        return [line[column] for column in range(self.columns)]

    def changed(self) -> set[int]:
        """Return the rows that look different since the last call, by their places now."""
        dirty = {row + self.back for row in self._screen.dirty}
        self._screen.dirty.clear()
        return {row for row in dirty if 0 <= row < self.rows}

    # -- what happens ------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Draw what the program has written; a sequence that pyte cannot bear is left out."""
        before = len(self._history)
        at = 0
        while at < len(data):
            end = data.find(_ESCAPE, at + 1)
            piece = data[at:] if end < 0 else data[at:end]
            at += len(piece)
            if not self._fed(piece):  # what is behind the sequence is text
                sequence = _SEQUENCE.match(piece)
                self._fed(piece[sequence.end() :] if sequence else b"")
        if self.back:  # what is looked at stays where it is
            self.scroll(len(self._history) - before)

    def _fed(self, piece: bytes) -> bool:
        try:
            self._stream.feed(piece)
        except _FAULTS:
            self.faults += 1
            self._stream = self._streams(self._screen)
            return False
        return True

    def resize(self, columns: int, rows: int) -> None:
        """Take another size."""
        self._screen.resize(rows, columns)
        cursor = self._screen.cursor  # pyte leaves it where there is no cell any more
        cursor.x, cursor.y = min(cursor.x, columns), min(cursor.y, rows - 1)
        self.back = 0
        self.touch()

    def scroll(self, lines: int) -> bool:
        """Look further back, or less far; tell whether that is a change."""
        back = max(0, min(self.back + lines, len(self._history)))
        changed, self.back = back != self.back, back
        if changed:
            self.touch()
        return changed

    def touch(self) -> None:
        """Have all rows count as changed."""
        self._screen.dirty.update(range(-self.back, self.rows))
