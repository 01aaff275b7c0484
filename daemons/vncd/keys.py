"""Keys: X's symbols and QEMU's scancodes become Orbital's keys and characters.

Ref: RFC 6143 §7.5.4; X Window System Protocol, appendix A (keysym encoding); the community's
description of QEMU's extended key event, whose scancodes are those of scan code set 1 with bit 7
for the prefix E0.

A character is what the viewer's own keyboard layout has made of a key, so it is handed on and no
keymap of ours is asked.  A key it is on is named as on a keyboard of the United States, for those
who look for shortcuts; 0 where there is none.
"""

from __future__ import annotations

import unicodedata
from typing import Final, NamedTuple

from redbear_host.abi.scancodes import FUNCTION_KEYS, Key

_UNICODE: Final = 0x0100_0000  # symbols from here on are characters
_UNICODE_MOST: Final = 0x10_FFFF
_EXTENDED: Final = 0x80

_KEYS: Final[dict[int, Key]] = {
    0xFF14: Key.SCROLL, 0xFF15: Key.PRTSC, 0xFF61: Key.PRTSC, 0xFF67: Key.APP,
    0xFF7F: Key.NUM, 0xFF50: Key.HOME, 0xFF51: Key.LEFT, 0xFF52: Key.UP, 0xFF53: Key.RIGHT,
    0xFF54: Key.DOWN, 0xFF55: Key.PGUP, 0xFF56: Key.PGDN, 0xFF57: Key.END, 0xFF63: Key.INS,
    0xFFFF: Key.DEL, 0xFF95: Key.HOME, 0xFF96: Key.LEFT, 0xFF97: Key.UP, 0xFF98: Key.RIGHT,
    0xFF99: Key.DOWN, 0xFF9A: Key.PGUP, 0xFF9B: Key.PGDN, 0xFF9C: Key.END, 0xFF9E: Key.INS,
    0xFF9F: Key.DEL, 0xFFE1: Key.LEFT_SHIFT, 0xFFE2: Key.RIGHT_SHIFT, 0xFFE3: Key.CTRL,
    0xFFE4: Key.CTRL, 0xFFE5: Key.CAPS, 0xFFE7: Key.LEFT_SUPER, 0xFFE8: Key.RIGHT_SUPER,
    0xFFE9: Key.ALT, 0xFFEA: Key.ALT_GR, 0xFFEB: Key.LEFT_SUPER, 0xFFEC: Key.RIGHT_SUPER,
    0xFE03: Key.ALT_GR, 0xFF7E: Key.ALT_GR, 0x1008FF11: Key.VOLUME_DOWN,
    0x1008FF12: Key.MEDIA_MUTE, 0x1008FF13: Key.VOLUME_UP, 0x1008FF14: Key.MEDIA_PLAY_PAUSE,
    0x1008FF15: Key.MEDIA_STOP, 0x1008FF16: Key.MEDIA_PREVIOUS, 0x1008FF17: Key.MEDIA_NEXT,
    0x1008FF2A: Key.POWER, 0x1008FF2F: Key.SLEEP,
    **{0xFFBE + number: key for number, key in enumerate(FUNCTION_KEYS)},
}  # fmt: skip
"""Keys without characters."""

_WITH_CHARACTER: Final[dict[int, tuple[Key, str]]] = {
    0xFF08: (Key.BKSP, "\x7f"), 0xFF09: (Key.TAB, "\t"), 0xFE20: (Key.TAB, "\t"),
    0xFF0D: (Key.ENTER, "\n"), 0xFF1B: (Key.ESC, "\x1b"), 0xFF8D: (Key.NUM_ENTER, "\n"),
    0xFF80: (Key.SPACE, " "), 0xFF89: (Key.TAB, "\t"), 0xFFAA: (Key.NUM_ASTERISK, "*"),
    0xFFAB: (Key.NUM_PLUS, "+"), 0xFFAC: (Key.NUM_PERIOD, ","), 0xFFAD: (Key.NUM_MINUS, "-"),
    0xFFAE: (Key.NUM_PERIOD, "."), 0xFFAF: (Key.NUM_SLASH, "/"), 0xFFBD: (Key.EQUALS, "="),
    0x000A: (Key.ENTER, "\n"), 0x000D: (Key.ENTER, "\n"), 0x0008: (Key.BKSP, "\x7f"),
    0x0009: (Key.TAB, "\t"), 0x001B: (Key.ESC, "\x1b"),
    **{0xFFB0 + digit: (Key(Key.NUM_0 + digit), str(digit)) for digit in range(10)},
}  # fmt: skip

_DEAD: Final[dict[int, str]] = {
    0xFE50: "\u0300", 0xFE51: "\u0301", 0xFE52: "\u0302", 0xFE53: "\u0303", 0xFE54: "\u0304",
    0xFE55: "\u0306", 0xFE56: "\u0307", 0xFE57: "\u0308", 0xFE58: "\u030a", 0xFE59: "\u030b",
    0xFE5A: "\u030c", 0xFE5B: "\u0327", 0xFE5C: "\u0328",
}  # fmt: skip
"""Accents that join the next character: grave, acute, circumflex, tilde, macron, breve, …"""

_ROWS: Final = (
    (Key.N1, "1234567890-=", "!@#$%^&*()_+"),
    (Key.Q, "qwertyuiop[]", "QWERTYUIOP{}"),
    (Key.A, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (Key.BACKSLASH, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (Key.SPACE, " ", " "),
)
_ON_KEYBOARD: Final = {
    character: Key(first + place)
    for first, *rows in _ROWS
    for row in rows
    for place, character in enumerate(row)
}

_SET_1: Final[dict[int, Key]] = {
    0x37: Key.NUM_ASTERISK, 0x47: Key.NUM_7, 0x48: Key.NUM_8, 0x49: Key.NUM_9,
    0x4A: Key.NUM_MINUS, 0x4B: Key.NUM_4, 0x4C: Key.NUM_5, 0x4D: Key.NUM_6, 0x4E: Key.NUM_PLUS,
    0x4F: Key.NUM_1, 0x50: Key.NUM_2, 0x51: Key.NUM_3, 0x52: Key.NUM_0, 0x53: Key.NUM_PERIOD,
}  # fmt: skip
_PREFIXED: Final[dict[int, Key]] = {
    0x1C: Key.NUM_ENTER, 0x1D: Key.CTRL, 0x35: Key.NUM_SLASH, 0x37: Key.PRTSC, 0x38: Key.ALT_GR,
    0x10: Key.MEDIA_PREVIOUS, 0x19: Key.MEDIA_NEXT, 0x20: Key.MEDIA_MUTE,
    0x22: Key.MEDIA_PLAY_PAUSE, 0x24: Key.MEDIA_STOP, 0x2E: Key.VOLUME_DOWN, 0x30: Key.VOLUME_UP,
    **{
        int(key): key
        for key in (
            Key.HOME, Key.UP, Key.PGUP, Key.LEFT, Key.RIGHT, Key.END, Key.DOWN, Key.PGDN, Key.INS,
            Key.DEL, Key.LEFT_SUPER, Key.RIGHT_SUPER, Key.APP, Key.POWER, Key.SLEEP,
        )
    },
}  # fmt: skip
_PLAIN_MOST: Final = 0x58  # F12, the last of set 1 without prefix


class Stroke(NamedTuple):
    """A key, 0 if it is on no keyboard of the United States, and its character or 0."""

    key: int
    character: int


class Keys:
    """One viewer's keyboard, which may be in the middle of an accented character."""

    def __init__(self) -> None:
        self._accent = ""

    def strokes(self, symbol: int, scancode: int, pressed: bool) -> list[Stroke]:
        """Return what a key of the viewer's is; none for what nobody here knows."""
        if symbol in _KEYS:
            return [Stroke(_KEYS[symbol], 0)]
        if symbol in _DEAD:
            if pressed:
                self._accent = _DEAD[symbol]
            return []
        key, character = _WITH_CHARACTER.get(symbol, (0, ""))
        if not key:
            character = _character(symbol)
            key = _ON_KEYBOARD.get(character, 0)
        if scancode:
            key = _of_scancode(scancode) or key
        if not pressed:
            return [Stroke(key, ord(character))] if character else _one(key)
        if not character:
            return _one(key)
        return [Stroke(key, ord(one)) for one in self._accented(character)]

    def _accented(self, character: str) -> str:
        """Return a character with the accent typed before it, or behind that what is no such."""
        accent, self._accent = self._accent, ""
        if not accent:
            return character
        if character == " ":
            return unicodedata.normalize("NFKC", f" {accent}").strip() or accent
        joined = unicodedata.normalize("NFC", character + accent)
        return joined if len(joined) == 1 else character


def _one(key: int) -> list[Stroke]:
    return [Stroke(key, 0)] if key else []


def _character(symbol: int) -> str:
    """Return the character of a symbol: Latin-1, Unicode, and the euro, which is older."""
    if 0x20 <= symbol <= 0x7E or 0xA0 <= symbol <= 0xFF or symbol == 0x20AC:
        return chr(symbol)
    code = symbol - _UNICODE
    if 0xA0 <= code <= _UNICODE_MOST and not 0xD800 <= code <= 0xDFFF:
        return chr(code)
    return chr(code) if 0x20 <= code <= 0x7E else ""


def _of_scancode(scancode: int) -> int:
    if scancode & _EXTENDED:
        return _PREFIXED.get(scancode & 0x7F, 0)
    return _SET_1.get(scancode, scancode if scancode <= _PLAIN_MOST else 0)
