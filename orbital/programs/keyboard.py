"""What keys are to a program on a terminal: xterm's sequences."""

from __future__ import annotations

from typing import Final

from orbital.orbclient import Key
from redbear_host.abi.scancodes import Key as Scan

__all__ = ["Keyboard"]

_SHIFTS: Final = (Scan.LEFT_SHIFT, Scan.RIGHT_SHIFT)
_ENTERS: Final = (Scan.ENTER, Scan.NUM_ENTER)
_PLAIN: Final[dict[int, bytes]] = {
    Scan.ESC: b"\x1b", Scan.BKSP: b"\x7f", Scan.TAB: b"\t", **dict.fromkeys(_ENTERS, b"\r"),
}  # fmt: skip
_HOME_AND_ARROWS: Final = (Scan.UP, Scan.DOWN, Scan.RIGHT, Scan.LEFT, Scan.HOME, Scan.END)
_F1_TO_F4: Final = (Scan.F1, Scan.F2, Scan.F3, Scan.F4)
_EDITING: Final = (Scan.INS, Scan.DEL, Scan.PGUP, Scan.PGDN)
_F5_TO_F12: Final = (
    *(Scan.F5, Scan.F6, Scan.F7, Scan.F8, Scan.F9, Scan.F10), Scan.F11, Scan.F12,
)  # fmt: skip
_LETTERED: Final[dict[int, str]] = dict(
    zip((*_HOME_AND_ARROWS, *_F1_TO_F4), "ABCDHFPQRS", strict=True)
)
_NUMBERED: Final[dict[int, int]] = dict(
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
        if code in (Scan.CTRL, Scan.ALT, *_SHIFTS):
            (self._held.add if key.pressed else self._held.discard)(code)
            return b""
        if not key.pressed:
            return b""
        control, alt = Scan.CTRL in self._held, Scan.ALT in self._held
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
            if code == Scan.TAB and shift:
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
