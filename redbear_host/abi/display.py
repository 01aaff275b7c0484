"""The calls of a scheme `display.NAME` on `v2/VT` (driver-graphics, late 2025), and ours besides.

A call's first metadata word is the verb, its payload the record named here, filled in by the driver
where it answers.  A frame buffer is `width * height` words 0xAARRGGBB, little endian, rows one
after the other without padding; it is mapped from the handle at the offset that `MapOffset` gives.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from redbear_host.bits import Struct, at

WORD: Final = 4  # bytes of a pixel
CURSOR_SIDE: Final = 64  # pixels: the image of a hardware cursor is as wide and high
MODES_MOST: Final = 64  # of one display


class Verb(IntEnum):
    """The first word of a call's metadata."""

    DISPLAY_COUNT = 1
    DISPLAY_SIZE = 2
    CREATE_DUMB_FRAMEBUFFER = 3
    DUMB_FRAMEBUFFER_MAP_OFFSET = 4
    DESTROY_DUMB_FRAMEBUFFER = 5
    UPDATE_PLANE = 6
    # From here on ours; Redox's drivers answer EINVAL.
    CURSOR_LIMITS = 0x100  # CursorLimits: what there is instead of a software cursor
    CURSOR_IMAGE = 0x101  # CursorImage, and behind it CURSOR_SIDE² words, alpha premultiplied
    CURSOR_MOVE = 0x102  # CursorMove
    MODES = 0x103  # DisplayId in, Mode records out: the call returns their bytes
    SET_MODE = 0x104  # DisplaySize: a mode of MODES; frame buffers made before it stay valid memory
    EDID = 0x105  # DisplayId in, the monitor's description out: 0 or a multiple of 128 bytes


class DisplayCount(Struct, size=8):
    """How many displays the card has; they are numbered from 0."""

    count: int = at(0, "Q")


class DisplayId(Struct, size=8):
    """Which display is meant."""

    display: int = at(0, "Q")


class DisplaySize(Struct, size=16):
    """The size of a display in pixels; 0 by 0 while nothing is connected."""

    display: int = at(0, "Q")
    width: int = at(8, "I")
    height: int = at(12, "I")


class CreateFramebuffer(Struct, size=16):
    """Make a frame buffer; its number comes back."""

    width: int = at(0, "I")
    height: int = at(4, "I")
    framebuffer: int = at(8, "Q")


class MapOffset(Struct, size=16):
    """Where to map a frame buffer from."""

    framebuffer: int = at(0, "Q")
    offset: int = at(8, "Q")


class DestroyFramebuffer(Struct, size=8):
    """Forget a frame buffer; what a client has mapped stays his."""

    framebuffer: int = at(0, "Q")


class UpdatePlane(Struct, size=32):
    """Show a frame buffer, of which this rectangle has changed; answered when it was taken over.

    The client may draw into the buffer again once the call has returned.
    """

    display: int = at(0, "Q")
    framebuffer: int = at(8, "Q")
    x: int = at(16, "I")
    y: int = at(20, "I")
    width: int = at(24, "I")
    height: int = at(28, "I")


class CursorLimits(Struct, size=16):
    """The largest cursor of a display; 0 by 0 where it has none."""

    display: int = at(0, "Q")
    width: int = at(8, "I")
    height: int = at(12, "I")


class CursorImage(Struct, size=16):
    """The cursor's image follows; the hot spot is the pixel that points.  `display` may be none."""

    display: int = at(0, "Q")
    hot_x: int = at(8, "I")
    hot_y: int = at(12, "I")


class CursorMove(Struct, size=24):
    """The pixel of the display that the hot spot is at; `visible` 0 hides the cursor."""

    display: int = at(0, "Q")
    x: int = at(8, "i")
    y: int = at(12, "i")
    visible: int = at(16, "Q")


class Mode(Struct, size=16):
    """One size the display can have."""

    width: int = at(0, "I")
    height: int = at(4, "I")
    refresh: int = at(8, "I")  # thousandths of a hertz; 0 where that means nothing
    preferred: int = at(12, "I")  # 1: what the monitor likes best
