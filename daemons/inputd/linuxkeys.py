"""Linux's key codes as keys of Orbital.

Most of Linux's codes below 89 are numbers of scan code set 1, and so are Orbital's; the keypad and
what newer keyboards have are numbered in three ways.

Ref: linux/input-event-codes.h; orbclient 0.4.5, src/event.rs.
"""

from __future__ import annotations

from typing import Final

from redbear_host.abi.scancodes import Key

_SAME_LAST: Final = 70  # KEY_SCROLLLOCK: up to here all but one are alike
_ASTERISK: Final = 55

KEYS: Final[dict[int, int]] = {
    **{code: code for code in range(1, _SAME_LAST + 1) if code != _ASTERISK},
    86: Key.LESS, 87: Key.F11, 88: Key.F12,
    _ASTERISK: Key.NUM_ASTERISK, 98: Key.NUM_SLASH, 74: Key.NUM_MINUS, 78: Key.NUM_PLUS,
    96: Key.NUM_ENTER, 83: Key.NUM_PERIOD,
    71: Key.NUM_7, 72: Key.NUM_8, 73: Key.NUM_9,
    75: Key.NUM_4, 76: Key.NUM_5, 77: Key.NUM_6,
    79: Key.NUM_1, 80: Key.NUM_2, 81: Key.NUM_3, 82: Key.NUM_0,
    102: Key.HOME, 103: Key.UP, 104: Key.PGUP, 105: Key.LEFT, 106: Key.RIGHT,
    107: Key.END, 108: Key.DOWN, 109: Key.PGDN, 110: Key.INS, 111: Key.DEL,
    97: Key.CTRL, 100: Key.ALT_GR, 99: Key.PRTSC,
    125: Key.LEFT_SUPER, 126: Key.RIGHT_SUPER, 127: Key.APP, 116: Key.POWER, 142: Key.SLEEP,
    113: Key.MEDIA_MUTE, 114: Key.VOLUME_DOWN, 115: Key.VOLUME_UP,
    164: Key.MEDIA_PLAY_PAUSE, 166: Key.MEDIA_STOP,
    163: Key.MEDIA_NEXT, 165: Key.MEDIA_PREVIOUS,
}  # fmt: skip
"""KEY_… codes; those that are missing have no key of Orbital's."""
