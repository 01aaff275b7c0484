"""The screen: memory with what was last shown, and which of its tiles have changed.

A set of tiles is a number: bit `band * columns + column`, bands and columns counted from the top
left.  Whoever has seen the screen up to some moment is told a tile only when its pixels are others
than at that moment: what is drawn again as it was costs nobody anything.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from typing import Final

from redbear_host.abi.display import WORD
from redbear_host.classes.screen import Area

SIDE: Final = 64  # pixels of a tile; ZRLE's as well
MOST: Final = 8192  # pixels, of width and height
PIXELS_MOST: Final = 7680 * 4320


def fits(width: int, height: int) -> bool:
    """Tell whether a screen may have that size."""
    return 0 < width <= MOST and 0 < height <= MOST and width * height <= PIXELS_MOST


class Screen:
    """`width` by `height` pixels: bytes blue, green, red, any; rows without padding."""

    def __init__(self, width: int, height: int) -> None:
        """Make it, black."""
        self._memory: mmap.mmap
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Take another size, of `fits`; it is black then."""
        self._memory = mmap.mmap(-1, width * height * WORD)
        self.width, self.height = width, height
        self.columns, self.bands = -(-width // SIDE), -(-height // SIDE)

    @property
    def all(self) -> int:
        """Every tile."""
        return (1 << self.columns * self.bands) - 1

    def clear(self) -> int:
        """Make it black; return the tiles that were not."""
        row = bytes(self.width * WORD)
        areas = [Area(0, y, self.width, 1) for y in range(self.height)]
        return self.copy(memoryview(row), 0, areas)

    def copy(self, pixels: memoryview, stride: int, areas: Sequence[Area]) -> int:
        """Copy areas of a picture to the same places; return the tiles that are others now.

        A row of the picture begins every `stride` bytes, 0 for one that is meant again and again.
        Somebody may change it meanwhile: what is compared is what was copied.
        """
        changed = 0
        for area in areas:
            first = area.y // SIDE
            for band in range(first, (area.y + area.height - 1) // SIDE + 1):
                top = max(area.y, band * SIDE)
                bottom = min(area.y + area.height, (band + 1) * SIDE)
                changed |= self._copy_band(pixels, stride, area, top, bottom)
        return changed

    def _copy_band(self, pixels: memoryview, stride: int, area: Area, top: int, bottom: int) -> int:
        """Copy rows `top` to `bottom` of an area, all of one band of tiles."""
        memory, pitch = self._memory, self.width * WORD
        to, source = top * pitch + area.x * WORD, top * stride + area.x * WORD
        size = area.width * WORD
        if size == stride == pitch:  # the whole band in one
            size *= bottom - top
            bottom = top + 1
        changed = 0
        same = self._columns(top // SIDE, area) if bottom > top else []
        for _ in range(top, bottom):
            new = bytes(pixels[source : source + size])
            if not same:
                memory[to : to + size] = new
            else:
                old = memory[to : to + size]
                if new != old:
                    memory[to : to + size] = new
                    changed, same = self._compare(old, new, pitch, changed, same)
            to += pitch
            source += stride
        return changed

    def _columns(self, band: int, area: Area) -> list[tuple[int, int, int]]:
        """Return an area's tiles in a band: each one's bit, and its bytes of the area's rows."""
        found = []
        left, right = area.x, area.x + area.width
        for column in range(left // SIDE, (right - 1) // SIDE + 1):
            begin = max(left, column * SIDE) - left
            end = min(right, (column + 1) * SIDE) - left
            bit = 1 << band * self.columns + column
            found.append((bit, begin * WORD, end * WORD))
        return found

    @staticmethod
    def _compare(
        old: bytes, new: bytes, pitch: int, changed: int, same: list[tuple[int, int, int]]
    ) -> tuple[int, list[tuple[int, int, int]]]:
        """Move tiles that differ from `same` to `changed`; rows of a whole band follow by pitch."""
        left = []
        for tile in same:
            bit, begin, end = tile
            for row in range(0, len(new), pitch):
                if new[row + begin : row + end] != old[row + begin : row + end]:
                    changed |= bit
                    break
            else:
                left.append(tile)
        return changed, left

    def read(self, area: Area) -> bytes:
        """Return an area's pixels, its rows one after the other; black where there is no screen."""
        x, y, width, height = area
        there = min(width, self.width - x) * WORD
        rows = min(height, self.height - y)
        if there <= 0 or rows <= 0:
            return bytes(width * height * WORD)
        pitch = self.width * WORD
        at = y * pitch + x * WORD
        memory = self._memory
        if there == pitch and width == self.width:
            data = memory[at : at + rows * pitch]
        else:
            gap = bytes(width * WORD - there)
            starts = range(at, at + rows * pitch, pitch)
            data = gap.join([memory[start : start + there] for start in starts]) + gap
        return data + bytes((height - rows) * width * WORD) if rows < height else data

    # -- tiles -------------------------------------------------------------------------------------

    def tiles(self, area: Area) -> int:
        """Return the tiles that an area touches; it may reach beyond the screen."""
        x, y, width, height = area
        right, bottom = min(x + width, self.width), min(y + height, self.height)
        if right <= x or bottom <= y:
            return 0
        first, last = x // SIDE, (right - 1) // SIDE
        row = (1 << last + 1) - (1 << first)
        return sum(
            row << band * self.columns for band in range(y // SIDE, (bottom - 1) // SIDE + 1)
        )

    def areas(self, tiles: int) -> Iterator[Area]:
        """Return tiles as areas: runs of neighbours, each in one band."""
        row = (1 << self.columns) - 1
        for band in range(self.bands):
            here = tiles >> band * self.columns & row
            while here:
                first = (here & -here).bit_length() - 1
                count = _ones(here >> first)
                here &= ~((1 << first + count) - (1 << first))
                x, y = first * SIDE, band * SIDE
                width = min(count * SIDE, self.width - x)
                yield Area(x, y, width, min(SIDE, self.height - y))


def _ones(number: int) -> int:
    """Return how many ones a number ends with."""
    return (~number & number + 1).bit_length() - 1
