"""What keys are to a program on a terminal: xterm's sequences."""

from __future__ import annotations

from typing import Final

from orbital.orbclient import Key

__all__ = ["Keyboard"]

_CTRL: Final = 0x1D
_ALT: Final = 0x38
_SHIFTS: Final = (0x2A, 0x36)
_PLAIN: Final = {0x01: b"\x1b", 0x0E: b"\x7f", 0x0F: b"\t", 0x1C: b"\r", 0x7F: b"\r"}
_HOME_AND_ARROWS: Final = (0x48, 0x50, 0x4D, 0x4B, 0x47, 0x4F)  # up, down, right, left, home, end
_F1_TO_F4: Final = (0x3B, 0x3C, 0x3D, 0x3E)
_EDITING: Final = (0x52, 0x53, 0x49, 0x51)  # insert, delete, page up, page down
_F5_TO_F12: Final = (0x3F, 0x40, 0x41, 0x42, 0x43, 0x44, 0x57, 0x58)
_LETTERED: Final = dict(zip((*_HOME_AND_ARROWS, *_F1_TO_F4), "ABCDHFPQRS", strict=True))
_NUMBERED: Final = dict(
    zip((*_EDITING, *_F5_TO_F12), (2, 3, 5, 6, 15, 17, 18, 19, 20, 21, 23, 24), strict=True)
)


class Keyboard:
    """Which modifiers are held, and what a key is with them."""

    def __init__(self) -> None:
        self._held: Final[set[int]] = set()

    def release(self) -> None:
        """Forget what is held: the keyboard went to another window."""
        self._held.clear()

    def bytes_of(self, key: Key, application: bool) -> bytes:
        """Return what a key sends; nothing for modifiers, releases, and what comes as TextInput.

        `application` is how full-screen programs want their arrows (DECCKM).
        """
        code = key.scancode
        if code in (_CTRL, _ALT, *_SHIFTS):
            (self._held.add if key.pressed else self._held.discard)(code)
            return b""
        if not key.pressed:
            return b""
        control, alt = _CTRL in self._held, _ALT in self._held
        shift = not self._held.isdisjoint(_SHIFTS)
        modifier = 1 + shift + 2 * alt + 4 * control
        if code in _LETTERED:
            letter = _LETTERED[code].encode()
            if modifier > 1:
                return b"\x1b[1;%d%b" % (modifier, letter)
            return (b"\x1bO" if application or code in _F1_TO_F4 else b"\x1b[") + letter
        if code in _NUMBERED:
            more = b";%d" % modifier if modifier > 1 else b""
            return b"\x1b[%d%b~" % (_NUMBERED[code], more)
        if code in _PLAIN:
            if code == 0x0F and shift:
                return b"\x1b[Z"
            return b"\x1b" * alt + _PLAIN[code]
        if not (control or alt) or not key.character:
            return b""
        sent = _controlled(key.character) if control else key.character.encode()
        return b"\x1b" * alt + sent if sent else b""


def _controlled(character: str) -> bytes:
    """Return what Ctrl makes of a character; nothing for those that it makes nothing of."""
    if character == " ":
        return b"\0"
    if character == "?":
        return b"\x7f"
    upper = ord(character.upper()[0])
    return bytes([upper & 0x1F]) if 0x40 <= upper < 0x60 else b""
