"""The pictures that are built in: cursors and buttons, drawn at any scale from their outlines."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from orbital.pixels import Mask
from orbital.pointer import Shape
from redbear_host.abi.orbital import SCALE_ONE

Outline = Sequence[tuple[float, float]]
"""A polygon, in points; what is inside an odd number of its edges is filled."""

_ROWS: Final = 5  # lines at which a row of pixels is looked at


class Drawing(NamedTuple):
    """An outline and the point of it that points."""

    outline: Outline
    hot: tuple[float, float]


_ARROW: Final = Drawing(
    ((1, 1), (1, 16), (4.6, 12.6), (7, 18.4), (9.6, 17.3), (7.2, 11.7), (12, 11.7)), (1, 1)
)
_ACROSS: Final[Outline] = (
    (1, 6),
    (6, 1),
    (6, 4.6),
    (14, 4.6),
    (14, 1),
    (19, 6),
    (14, 11),
    (14, 7.4),
    (6, 7.4),
    (6, 11),
)


def _turned(outline: Outline, degrees: float) -> Drawing:
    """Return an outline turned around its middle, and moved into view again."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned = [(x * cos - y * sin, x * sin + y * cos) for x, y in outline]
    left, top = min(x for x, _ in turned) - 1, min(y for _, y in turned) - 1
    moved = tuple((round(x - left, 3), round(y - top, 3)) for x, y in turned)
    return Drawing(moved, (max(x for x, _ in moved) / 2 + 0.5, max(y for _, y in moved) / 2 + 0.5))


CURSORS: Final = {
    Shape.ARROW: _ARROW,
    Shape.LEFT_SIDE: _turned(_ACROSS, 0),
    Shape.RIGHT_SIDE: _turned(_ACROSS, 0),
    Shape.BOTTOM_SIDE: _turned(_ACROSS, 90),
    Shape.BOTTOM_LEFT: _turned(_ACROSS, 135),
    Shape.BOTTOM_RIGHT: _turned(_ACROSS, 45),
}
"""White with a black rim of one point, for which the outlines leave room."""

CLOSE: Final[Outline] = (
    (4, 5.2),
    (5.2, 4),
    (9, 7.8),
    (12.8, 4),
    (14, 5.2),
    (10.2, 9),
    (14, 12.8),
    (12.8, 14),
    (9, 10.2),
    (5.2, 14),
    (4, 12.8),
    (7.8, 9),
)
MAXIMISE: Final[Outline] = (
    # Around the outside, then around the inside: a frame.
    *((4, 4), (14, 4), (14, 14), (4, 14), (4, 4)),
    *((5.5, 6), (5.5, 12.5), (12.5, 12.5), (12.5, 6), (5.5, 6), (4, 4)),
)
MINIMISE: Final[Outline] = ((4, 12.5), (14, 12.5), (14, 14), (4, 14))
BUTTON: Final = 18  # points that the picture of a button is wide and high


def coverage(
    outline: Outline, width: int, height: int, scale: int, dx: float = 0, dy: float = 0
) -> bytearray:
    """Return how much of each pixel is inside an outline, 0 to 255, in rows of `width` bytes.

    `dx`, `dy`: pixels by which it is moved.
    """
    factor = scale / SCALE_ONE
    corners = [(x * factor + dx, y * factor + dy) for x, y in outline]
    edges = [
        (a, b) if a[1] < b[1] else (b, a)
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True)
        if a[1] != b[1]
    ]
    found = bytearray(width * height)
    for row in range(height):
        sums = [0.0] * (width + 1)
        for part in range(_ROWS):
            y = row + (part + 0.5) / _ROWS
            crossings = sorted(
                left + (y - top) * (right - left) / (bottom - top)
                for (left, top), (right, bottom) in edges
                if top <= y < bottom
            )
            for start, end in zip(crossings[::2], crossings[1::2], strict=True):
                _add(sums, max(start, 0.0), min(end, float(width)))
        for column in range(width):
            found[row * width + column] = min(255, round(sums[column] * 255 / _ROWS))
    return found


def _add(sums: list[float], start: float, end: float) -> None:
    """Add to each pixel of a row how much of it is between two places."""
    column = int(start)
    while start < end:
        stop = min(end, column + 1.0)
        sums[column] += stop - start
        start, column = stop, column + 1


@functools.lru_cache(maxsize=32)
def button(outline: Outline, scale: int) -> Mask:
    """Return the picture of a button."""
    side = -(-BUTTON * scale // SCALE_ONE)
    stride = (side + 3) & ~3
    return Mask(side, side, coverage(outline, stride, side, scale), stride)


def cursor(shape: Shape, scale: int) -> tuple[bytearray, int, int, int, int]:
    """Return the picture of a cursor: its pixels, width, height, and its hot spot's pixel."""
    drawing = CURSORS[shape]
    factor = scale / SCALE_ONE
    width = math.ceil((max(x for x, _ in drawing.outline) + 1) * factor)
    height = math.ceil((max(y for _, y in drawing.outline) + 1) * factor)
    white = coverage(drawing.outline, width, height, scale)
    rim = white
    for step in range(8):
        angle = step * math.pi / 4
        moved = coverage(
            drawing.outline,
            width,
            height,
            scale,
            factor * math.cos(angle),
            factor * math.sin(angle),
        )
        rim = bytearray(map(max, rim, moved))
    pixels = bytearray(width * height * 4)
    for index, (light, alpha) in enumerate(zip(white, rim, strict=True)):
        pixels[index * 4 : index * 4 + 4] = bytes((light, light, light, alpha))
    return pixels, width, height, int(drawing.hot[0] * factor), int(drawing.hot[1] * factor)
