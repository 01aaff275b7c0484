"""The keys of Orbital's KEY events (orbclient 0.4.5, src/event.rs, without its `K_`).

A key has one number, whichever prefixes a PS/2 keyboard sends for it: most have that of scan code
set 1, the keypad and what newer keyboards have are numbered apart.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Key(IntEnum):
    """Bits 0 to 7 of `b` of a KEY event, named after a keyboard of the United States."""

    ESC = 0x01
    N1 = 0x02
    N2 = 0x03
    N3 = 0x04
    N4 = 0x05
    N5 = 0x06
    N6 = 0x07
    N7 = 0x08
    N8 = 0x09
    N9 = 0x0A
    N0 = 0x0B
    MINUS = 0x0C
    EQUALS = 0x0D
    BKSP = 0x0E
    TAB = 0x0F
    Q = 0x10
    W = 0x11
    E = 0x12
    R = 0x13
    T = 0x14
    Y = 0x15
    U = 0x16
    I = 0x17  # noqa: E741 -- the key's name
    O = 0x18  # noqa: E741
    P = 0x19
    BRACE_OPEN = 0x1A
    BRACE_CLOSE = 0x1B
    ENTER = 0x1C
    CTRL = 0x1D  # left and right
    A = 0x1E
    S = 0x1F
    D = 0x20
    F = 0x21
    G = 0x22
    H = 0x23
    J = 0x24
    K = 0x25
    L = 0x26
    SEMICOLON = 0x27
    QUOTE = 0x28
    TICK = 0x29
    LEFT_SHIFT = 0x2A
    BACKSLASH = 0x2B  # on most keyboards of Europe beside Enter
    Z = 0x2C
    X = 0x2D
    C = 0x2E
    V = 0x2F
    B = 0x30
    N = 0x31
    M = 0x32
    COMMA = 0x33
    PERIOD = 0x34
    SLASH = 0x35
    RIGHT_SHIFT = 0x36
    PRTSC = 0x37
    ALT = 0x38
    SPACE = 0x39
    CAPS = 0x3A
    F1 = 0x3B
    F2 = 0x3C
    F3 = 0x3D
    F4 = 0x3E
    F5 = 0x3F
    F6 = 0x40
    F7 = 0x41
    F8 = 0x42
    F9 = 0x43
    F10 = 0x44
    NUM = 0x45
    SCROLL = 0x46
    HOME = 0x47
    UP = 0x48
    PGUP = 0x49
    LEFT = 0x4B
    RIGHT = 0x4D
    END = 0x4F
    DOWN = 0x50
    PGDN = 0x51
    INS = 0x52
    DEL = 0x53
    LESS = 0x56  # beside the left shift, where there is such a key
    F11 = 0x57
    F12 = 0x58
    LEFT_SUPER = 0x5B
    RIGHT_SUPER = 0x5C
    APP = 0x5D
    POWER = 0x5E
    SLEEP = 0x5F
    ALT_GR = 0x64
    NUM_0 = 0x70
    NUM_1 = 0x71
    NUM_2 = 0x72
    NUM_3 = 0x73
    NUM_4 = 0x74
    NUM_5 = 0x75
    NUM_6 = 0x76
    NUM_7 = 0x77
    NUM_8 = 0x78
    NUM_9 = 0x79
    NUM_PERIOD = 0x7A
    NUM_MINUS = 0x7B
    NUM_PLUS = 0x7C
    NUM_ASTERISK = 0x7D
    NUM_SLASH = 0x7E
    NUM_ENTER = 0x7F
    MEDIA_PREVIOUS = 0x90
    MEDIA_NEXT = 0x99
    MEDIA_MUTE = 0xA0
    MEDIA_PLAY_PAUSE = 0xA2
    MEDIA_STOP = 0xA4
    VOLUME_DOWN = 0xAE
    VOLUME_UP = 0xB0


FUNCTION_KEYS: Final = (*map(Key, range(Key.F1, Key.F10 + 1)), Key.F11, Key.F12)
"""F1 to F12."""
