"""What a display's driver implements; `redbear_host.classes.display` makes a scheme of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol


class Area(NamedTuple):
    """A rectangle of pixels: its top left one, its width and height."""

    x: int
    y: int
    width: int
    height: int


class DisplayMode(NamedTuple):
    """A size that a display can have."""

    width: int
    height: int
    refresh: int = 0  # thousandths of a hertz; 0 where that means nothing
    preferred: bool = False  # what the monitor likes best


class DisplayAdapter(Protocol):
    """One graphics card, or what stands for one: displays 0 to `displays` - 1.

    Pixels are words 0xXXRRGGBB, little endian.  Calls never block.  The class has checked what it
    passes: displays exist, areas lie in the display and in the pixels, modes are of `modes`.
    """

    on_changed: Callable[[int], object]
    """Called with a display whose `size`, `modes` or `edid` has changed; also after `set_mode`.

    This and the next are the class's to set, before the card is started.
    """

    on_ready: Callable[[int], object]
    """Called with a display that takes an `update` again after it refused one."""

    @property
    def displays(self) -> int:
        """How many displays there can be; it does not change."""
        ...

    def size(self, display: int, /) -> tuple[int, int]:
        """Width and height in pixels; 0 by 0 while nothing is connected."""
        ...

    def modes(self, display: int, /) -> Sequence[DisplayMode]:
        """Return the sizes that it can have, the preferred one first; none if nothing is there."""
        ...

    def set_mode(self, display: int, width: int, height: int, /) -> None:
        """Take another size; the screen is black until the next `update`, which may follow at once.

        `on_changed` is called when it has that size, perhaps before this returns.
        """
        ...

    def edid(self, display: int, /) -> bytes:
        """Return the monitor's description: a multiple of 128 bytes, or none."""
        ...

    def update(
        self, display: int, pixels: memoryview, stride: int, areas: Sequence[Area], /
    ) -> bool:
        """Copy `areas` of a picture to the same places of the screen; False: not now.

        `pixels` are bytes, a row every `stride` of them.  They belong to the caller again when this
        returns, and a hostile client may change them meanwhile: copy, do not interpret.  After
        False nothing was copied, and `on_ready` is called when it is worth to ask again.  Of what
        was taken, the screen shows all areas of a call together where the card can do that.
        """
        ...

    def clear(self, display: int, /) -> None:
        """Make the whole screen black."""
        ...

    # -- the cursor, which the card draws over the picture -----------------------------------------

    def cursor_limits(self, display: int, /) -> tuple[int, int]:
        """Return the largest cursor's size; 0 by 0: there is none, nobody calls the next two."""
        ...

    def set_cursor(self, display: int, image: bytes, hot_x: int, hot_y: int, /) -> None:
        """Take the cursor's picture: CURSOR_SIDE² words 0xAARRGGBB, alpha premultiplied.

        The hot spot, the pixel that points, lies in it.
        """
        ...

    def move_cursor(self, display: int, x: int, y: int, visible: bool, /) -> None:
        """Put the cursor's hot spot at a pixel, perhaps one just beside the screen, or hide it."""
        ...
