"""Orbital's events and window flags (orbclient 0.4.5, src/event.rs; orbital, src/scheme.rs).

The same record goes from input drivers through `input` to whoever has the screen, and from Orbital
to the owner of a window.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from redbear_host.bits import Struct, at

POINTER_RANGE: Final = 65535  # MOUSE on its way to a display: 0 at the left and top, to this
SCALE_ONE: Final = 160  # the unit of SCALE: a factor of 1


class OrbitalEvent(Struct, size=24):
    """One event; what `a` and `b` are is said by `EventCode`."""

    code: int = at(0, "q")
    a: int = at(8, "q")
    b: int = at(16, "q")


class EventCode(IntEnum):
    """What has happened, and what the two numbers of its event are."""

    NONE = 0
    KEY = 1  # character or 0; scancode | pressed << 8
    MOUSE = 2  # x; y: of the window in pixels, from drivers 0 to POINTER_RANGE of the display
    BUTTON = 3  # left | middle << 1 | right << 2, all that are held; 0
    SCROLL = 4  # x; y, up is positive
    QUIT = 5
    FOCUS = 6  # 1 got it, 0 lost it
    MOVE = 7  # x; y
    RESIZE = 8  # width; height that the window should take
    SCREEN = 9  # width; height of the display
    CLIPBOARD = 10  # 1 copy, 2 cut, 3 paste; size
    MOUSE_RELATIVE = 11  # dx; dy
    DROP = 12  # action | size << 8; x | y << 32
    TEXT_INPUT = 13  # character
    CLIPBOARD_UPDATE = 14
    HOVER = 15  # 1 the pointer came in, 0 it left
    SCALE = 16  # factor * SCALE_ONE; SCALE_ONE
    DRAG_ENTER = 17  # as DROP, and so the next two
    DRAG_MOVE = 18
    DRAG_LEAVE = 19
    CONTROLLER_AXIS = 20  # id | axis << 32; value
    CONTROLLER_BUTTON = 21  # id | button << 32; 1 pressed, 0 released


PRESSED: Final = 1 << 8  # in `b` of KEY


class WindowFlag(IntFlag):
    """What a window is like; `LETTERS` has the letter of each in a path."""

    ASYNC = 0x001  # a read without events returns at once
    BACK = 0x002  # always behind, and never focused by a click
    FRONT = 0x004  # always in front
    RESIZABLE = 0x008  # may be resized by whoever sits at the screen
    UNCLOSABLE = 0x010  # has no button to close it
    BORDERLESS = 0x020  # has no title bar
    TRANSPARENT = 0x040  # blended with what is behind it
    MAXIMIZED = 0x080
    FULLSCREEN = 0x100
    HIDDEN = 0x200
    SCALABLE = 0x400  # draws itself at the display's scale


LETTERS: Final = {
    "a": WindowFlag.ASYNC,
    "l": WindowFlag.BORDERLESS,
    "h": WindowFlag.HIDDEN,
    "m": WindowFlag.MAXIMIZED,
    "M": WindowFlag.FULLSCREEN,
    "r": WindowFlag.RESIZABLE,
    "t": WindowFlag.TRANSPARENT,
    "u": WindowFlag.UNCLOSABLE,
    "b": WindowFlag.BACK,
    "f": WindowFlag.FRONT,
    "s": WindowFlag.SCALABLE,  # never printed by fpath
}
"""In the order in which fpath prints them."""
