"""The keys that Orbital itself knows, by the scancodes of KEY events.

Ref: IBM PC XT scan code set 1, in Orbital's own assignment for the grey keys and the keypad
(orbclient 0.4.5, src/event.rs).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Key(IntEnum):
    """Scancodes."""

    TAB = 0x0F
    Q = 0x10
    BRACE_OPEN = 0x1A
    BRACE_CLOSE = 0x1B
    ENTER = 0x1C
    CTRL = 0x1D
    H = 0x23
    LEFT_SHIFT = 0x2A
    BACKSLASH = 0x2B
    X = 0x2D
    C = 0x2E
    V = 0x2F
    M = 0x32
    RIGHT_SHIFT = 0x36
    ALT = 0x38
    F10 = 0x44
    UP = 0x48
    LEFT = 0x4B
    RIGHT = 0x4D
    DOWN = 0x50
    F12 = 0x58
    LEFT_SUPER = 0x5B
    RIGHT_SUPER = 0x5C
    PAD_0 = 0x70
    PAD_1 = 0x71
    PAD_2 = 0x72
    PAD_3 = 0x73
    PAD_4 = 0x74
    PAD_5 = 0x75
    PAD_6 = 0x76
    PAD_7 = 0x77
    PAD_8 = 0x78
    PAD_9 = 0x79


SUPER: Final = frozenset({Key.LEFT_SUPER, Key.RIGHT_SUPER})
SHIFT: Final = frozenset({Key.LEFT_SHIFT, Key.RIGHT_SHIFT})
ARROWS: Final = {Key.UP: (0, -1), Key.DOWN: (0, 1), Key.LEFT: (-1, 0), Key.RIGHT: (1, 0)}
PAD_ARROWS: Final = {Key.PAD_8: (0, -1), Key.PAD_2: (0, 1), Key.PAD_4: (-1, 0), Key.PAD_6: (1, 0)}
PAD_BUTTONS: Final = {Key.PAD_5: 1, Key.PAD_1: 2, Key.PAD_7: 4}  # left, middle, right
