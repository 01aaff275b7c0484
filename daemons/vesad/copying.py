"""Pixels on their way into a card's memory, and what a buffer of it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from redbear_host.classes.screen import Area
from redbear_host.hw.ports import Memory

PIECES_MOST: Final = 16  # more than these are forgotten: then the buffer lacks everything


class Pieces:
    """Areas in which a buffer is not what was drawn last."""

    __slots__ = ("_areas", "all_of_it")

    def __init__(self) -> None:
        self._areas: list[Area] = []
        self.all_of_it = False  # it is not known what the buffer holds

    def add(self, areas: Sequence[Area]) -> None:
        """Note what was drawn elsewhere."""
        self._areas = self.with_all(areas)
        if len(self._areas) > PIECES_MOST:
            self.all_of_it = True

    def with_all(self, areas: Sequence[Area]) -> list[Area]:
        """Return these areas, and those noted that do not lie in one of them."""
        return [
            *areas,
            *(one for one in self._areas if not any(_in(one, other) for other in areas)),
        ]

    def clear(self) -> None:
        """Forget: the buffer has it all."""
        self._areas = []
        self.all_of_it = False


def _in(inner: Area, outer: Area) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and outer.x + outer.width >= inner.x + inner.width
        and outer.y + outer.height >= inner.y + inner.height
    )


def copy(
    memory: Memory,
    base: int,
    pitch: int,
    pixels: memoryview,
    stride: int,
    areas: Sequence[Area],
) -> None:
    """Copy areas of a picture to the same places of a buffer `base` bytes in, of `pitch` a row.

    Rows as long as both pictures' go in one piece.
    """
    write = memory.write
    for x, y, width, height in areas:
        size = width * 4
        source, target = y * stride + x * 4, base + y * pitch + x * 4
        if size == stride == pitch:
            write(target, pixels[source : source + size * height])
            continue
        for _ in range(height):
            write(target, pixels[source : source + size])
            source += stride
            target += pitch
