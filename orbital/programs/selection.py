"""What is selected with the pointer on a grid of letters."""

from __future__ import annotations

from typing import Final

from orbital.programs.emulator import Emulator

__all__ = ["Selection"]

_Cell = tuple[int, int]  # column, row


class Selection:
    """From one cell to another, in reading order, both included."""

    def __init__(self) -> None:
        self._at: _Cell = (0, 0)
        self._from: _Cell | None = None
        self._to: _Cell | None = None
        self._held = False
        self._empty: Final = ((1, 0), (0, 0))

    def press(self, held: bool) -> bool:
        """Hear of the left button; tell whether what is selected has changed."""
        changed = False
        if held and not self._held:
            changed = self.clear()
            self._from = self._at
        self._held = held
        return changed

    def to(self, column: int, row: int) -> bool:
        """Hear where the pointer is; tell whether what is selected has changed."""
        self._at = column, row
        if not self._held or self._to == self._at or (self._to is None and self._at == self._from):
            return False
        self._to = self._at
        return True

    def clear(self) -> bool:
        """Select nothing; tell whether that is a change."""
        changed = self._to is not None
        self._from = self._to = None
        return changed

    def _ends(self) -> tuple[_Cell, _Cell]:
        if self._from is None or self._to is None:
            return (1, 0), (0, 0)  # nothing is between these
        first, last = sorted((self._from, self._to), key=lambda cell: (cell[1], cell[0]))
        return first, last

    def holds(self, column: int, row: int) -> bool:
        """Tell whether a cell is selected."""
        if self._to is None:
            return False
        first, last = self._ends()
        return (first[1], first[0]) <= (row, column) <= (last[1], last[0])

    def text(self, screen: Emulator) -> str:
        """Return the letters, a line for each row, without what is blank at the ends of rows."""
        if self._to is None:
            return ""
        (first_column, first), (last_column, last) = self._ends()
        lines = []
        for row in range(first, last + 1):
            left = first_column if row == first else 0
            right = last_column + 1 if row == last else screen.columns
            lines.append("".join(cell.data for cell in screen.row(row)[left:right]).rstrip())
        return "\n".join(lines)
