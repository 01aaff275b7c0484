"""A keyboard's bytes as KEY events: scan code sets 1 and 2."""

from __future__ import annotations

from typing import Final, TypeAlias

from daemons.ps2d import regs
from redbear_host.abi.orbital import PRESSED, EventCode

Record: TypeAlias = tuple[int, int, int]  # code, a, b of an OrbitalEvent

_PAUSE_CODES: Final = 2


class Keys:
    """Decodes one keyboard's bytes; set 2 is translated as a controller would."""

    def __init__(self, scan_set: int) -> None:
        self._translates: Final = scan_set == 2
        self._held: Final[set[tuple[bool, int]]] = set()  # extended, code of set 1
        self._extended = False
        self._released = False
        self._skip = 0  # codes of Pause

    @property
    def is_plugged_in(self) -> int:
        """The byte that says a keyboard was plugged in; 0 while it may be the left shift's end."""
        return 0 if (False, 0x2A) in self._held else regs.SELF_TEST_PASSED

    def take(self, byte: int) -> list[Record]:
        """Take a byte; return what it ends: nothing, a KEY, or the end of all."""
        if byte in regs.OVERRUN:
            return self.release_all()
        if byte == regs.EXTENDED:
            self._extended = True
            return []
        if byte == regs.PAUSE:
            self._skip = _PAUSE_CODES
            return []
        if self._translates:
            if byte == regs.SET_2_RELEASED:
                self._released = True
                return []
            if byte >= len(regs.TRANSLATION):
                return []
            byte = regs.TRANSLATION[byte]
        else:
            self._released = bool(byte & regs.SET_1_RELEASED)
            byte &= ~regs.SET_1_RELEASED
        pressed, extended = not self._released, self._extended
        self._released = self._extended = False
        if self._skip:
            self._skip -= 1
            return []
        return self._key(extended, byte, pressed)

    def _key(self, extended: bool, code: int, pressed: bool) -> list[Record]:
        table = regs.SET_1_EXTENDED if extended else regs.SET_1
        key = table.get(code)
        if key is None:
            return []
        which = extended, code
        if pressed:
            self._held.add(which)
        elif which in self._held:
            self._held.discard(which)
            if any(_key_of(other) == key for other in self._held):
                return []  # two keys that are one of Orbital's
        else:
            return []
        return [(EventCode.KEY, 0, key | PRESSED * pressed)]

    def release_all(self) -> list[Record]:
        """Let go of what is held."""
        keys = {_key_of(which) for which in self._held}
        self._held.clear()
        self._extended = self._released = False
        self._skip = 0
        return [(EventCode.KEY, 0, key) for key in sorted(keys)]


def _key_of(which: tuple[bool, int]) -> int:
    extended, code = which
    return (regs.SET_1_EXTENDED if extended else regs.SET_1)[code]
