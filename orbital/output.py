"""What the compositor draws on: one interface for KMS, display schemes and screens in memory.

    frame = output.begin()
    if frame is not None:                 # else: not now, on_ready says when
        … draw damage and frame.stale …
        output.present(damage)

All calls are made on the event loop's thread and none waits for a screen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from orbital.rect import Rect


class Frame(NamedTuple):
    """Memory for the next picture of an output, the compositor's until `present`."""

    pixels: memoryview  # bytes, writable: words 0xXXRRGGBB, little endian
    stride: int  # bytes of a row
    stale: Sequence[Rect]  # where it is not as the picture shown last: to be drawn with the damage


class Buffer(NamedTuple):
    """Memory for a window, which one output can show without a copy."""

    fd: int  # what its owner maps, from offset 0; the output's own
    pixels: memoryview  # the same memory, for compositing when it cannot be shown directly
    stride: int  # bytes of a row
    width: int  # pixels
    height: int
    key: int  # what the output knows it by


class Layer(NamedTuple):
    """A window's picture that a plane may show instead of the compositor."""

    buffer: Buffer
    place: Rect  # on the output; as large as the buffer
    opaque: bool  # no pixel of it lets through what is behind it


class Output(Protocol):
    """One screen: a connector with a monitor, a display of a card, memory."""

    on_ready: Callable[[], object]
    """Called when `begin` returns a frame again after it returned none."""

    on_changed: Callable[[], object]
    """Called when `size` has changed; 0 by 0 when the screen has gone."""

    @property
    def name(self) -> str:
        """What a configuration and its user call it, as `card0-Virtual-1`; unique."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    @property
    def cursor_limits(self) -> tuple[int, int]:
        """The largest picture its cursor plane takes; 0 by 0: the compositor draws the cursor."""
        ...

    def modes(self) -> Sequence[tuple[int, int]]:
        """Return the sizes that it can have, the preferred one first."""
        ...

    def set_mode(self, width: int, height: int) -> None:
        """Take another size of `modes`; `on_changed` tells when it has. `ValueError` if not one."""
        ...

    def begin(self) -> Frame | None:
        """Return memory for a picture; None while the last one is on its way, or nobody sees it.

        Asking again before `present` returns the same frame.
        """
        ...

    def present(self, damage: Sequence[Rect]) -> None:
        """Show the frame; outside `damage` it is what was shown before."""
        ...

    def set_cursor(self, picture: memoryview | None, width: int, height: int) -> None:
        """Take the cursor's picture: words 0xAARRGGBB, alpha premultiplied, within the limits."""
        ...

    def move_cursor(self, x: int, y: int) -> None:
        """Put the top left pixel of the cursor's picture at a pixel of the screen, or beside it."""
        ...

    def lend(self, width: int, height: int) -> Buffer | None:
        """Return memory that a plane could show, zeroed; None where there is no such thing."""
        ...

    def take_back(self, buffer: Buffer) -> None:
        """Forget what was lent, once nobody draws in it any more."""
        ...

    def assign(self, layers: Sequence[Layer]) -> frozenset[int]:
        """Return which of `layers`, topmost first, planes will show with the next `present`.

        The compositor leaves those out of the frame; an output without planes returns none.
        """
        ...

    def close(self) -> None:
        """Give the screen back as it was found."""
        ...
