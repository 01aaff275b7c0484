"""One virtual terminal: what is on its way to whoever has it open."""

from __future__ import annotations

import logging
from collections import deque
from struct import Struct
from typing import Final, TypeAlias

from redbear_host.abi.orbital import PRESSED, EventCode, OrbitalEvent

log = logging.getLogger(__name__)

Record: TypeAlias = tuple[int, int, int]  # code, a, b of an OrbitalEvent

RECORD: Final = Struct("<qqq")
SIZE: Final = OrbitalEvent.size
MOST: Final = 1024  # records nobody has read
_KEY, _MOUSE, _BUTTON = EventCode.KEY.value, EventCode.MOUSE.value, EventCode.BUTTON.value
_PAD_BUTTON: Final = EventCode.CONTROLLER_BUTTON.value
_ADDED: Final = (EventCode.MOUSE_RELATIVE.value, EventCode.SCROLL.value)
_CHARACTER: Final = 1 << 9  # and on: a KEY without a key, told apart by what was typed


class Consumer:
    """The records of one terminal.

    One that does not read misses motion and presses; releases of what it saw pressed always find
    room, so that no key hangs.
    """

    def __init__(self, vt: int, pid: int) -> None:
        self.vt: Final = vt
        self.pid: Final = pid
        self.stale = False  # its next read tells that another display has taken over
        self.dropped = 0
        self.held: Final[dict[int, int]] = {}  # keys it saw pressed, with their characters
        self.seen_keys = 0  # what its reader has read as pressed, a bit for each
        self.seen_buttons = 0
        self._buttons = 0
        self._pads: Final[set[int]] = set()  # id | button << 32, those it saw pressed
        self._records: Final[deque[list[int]]] = deque()

    def __len__(self) -> int:
        return len(self._records)

    def put(self, code: int, a: int, b: int) -> None:
        """Add a record, or make it part of the last one as Orbital does with its own."""
        last = self._records[-1] if self._records else None
        if code == _KEY:
            key = b & 0xFF or _CHARACTER + a
            if b & PRESSED:
                if self._is_full():
                    return
                self.held[key] = a
            elif key in self.held:
                a = self.held.pop(key) or a  # as it was when it went down
            else:
                return
        elif code == _BUTTON:
            if a == self._buttons:
                return
            self._buttons = a
            if last is not None and last[0] == code and len(self._records) >= MOST:
                last[1] = a
                return
        elif code == _PAD_BUTTON:
            if b:
                if self._is_full():
                    return
                self._pads.add(a)
            elif a in self._pads:
                self._pads.discard(a)
            else:
                return
        elif last is not None and last[0] == code == _MOUSE:
            last[1:] = a, b
            return
        elif last is not None and last[0] == code and code in _ADDED:
            last[1] += a
            last[2] += b
            return
        elif self._is_full():
            return
        self._records.append([code, a, b])

    def _is_full(self) -> bool:
        if len(self._records) < MOST:
            return False
        if not self.dropped:
            log.warning("VT %d does not read: what is typed there is lost", self.vt)
        self.dropped += 1
        return True

    def adopt(self, keys: int, buttons: int) -> None:
        """Let go of what its reader has read as pressed in a predecessor's time."""
        self.seen_keys, self.seen_buttons = keys, buttons
        self.held.update((key, 0) for key in range(_CHARACTER) if keys >> key & 1)
        self._buttons = buttons
        self.release_all()

    def release_all(self) -> None:
        """Let go of every key and button it saw pressed."""
        for key, a in list(self.held.items()):
            self.put(_KEY, a, 0 if key >= _CHARACTER else key)
        self.put(_BUTTON, 0, 0)
        for which in tuple(self._pads):
            self.put(_PAD_BUTTON, which, 0)

    def take(self, room: int) -> bytes:
        """Take as many records as have room, in bytes."""
        count = min(room // SIZE, len(self._records))
        pop = self._records.popleft
        taken = [pop() for _ in range(count)]
        for code, a, b in taken:
            if code == _KEY:
                bit = (1 << (b & 0xFF)) & ~1  # none for a character without a key
                self.seen_keys = self.seen_keys | bit if b & PRESSED else self.seen_keys & ~bit
            elif code == _BUTTON:
                self.seen_buttons = a
        return b"".join([RECORD.pack(*record) for record in taken])
