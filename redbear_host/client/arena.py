"""Who has which bytes of a connection's arena: pages, first fit, freed neighbours grow together."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

PAGE: Final = 4096


class Arena:
    """Hands out whole pages between two offsets."""

    def __init__(self, start: int, end: int) -> None:
        self.size: Final = end - start
        self._free: Final[list[tuple[int, int]]] = [(start, end)]  # (from, to), in order, apart

    def take(self, size: int) -> int:
        """Return the offset of at least `size` bytes, or -1 when there is no such room."""
        size += -size % PAGE
        for place, (start, end) in enumerate(self._free):
            if end - start >= size:
                if end - start == size:
                    del self._free[place]
                else:
                    self._free[place] = (start + size, end)
                return start
        return -1

    def give(self, start: int, size: int) -> None:
        """Take back what `take` gave for `size`."""
        end = start + size + -size % PAGE
        place = bisect_left(self._free, (start, end))
        if place < len(self._free) and self._free[place][0] == end:
            end = self._free.pop(place)[1]
        if place and self._free[place - 1][1] == start:
            start = self._free.pop(place - 1)[0]
            place -= 1
        self._free.insert(place, (start, end))
