"""What viewers type and point at, as Orbital's events, until inputd takes it.

It may be busy, or just being started again: what it has not taken yet is kept, and of movements
behind each other only the last.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final, Protocol

from redbear_host.abi.orbital import POINTER_RANGE, PRESSED, EventCode

_EVENT: Final = struct.Struct("<qqq")  # OrbitalEvent: code, a, b
_MOST: Final = 4096  # events that wait; then all are lost but releases
_AT_ONCE: Final = 256  # events of one write


class Taker(Protocol):
    """What takes records: `daemons.vncd.inputlink`."""

    @property
    def is_expected(self) -> bool:
        """Whether it is worth to keep what cannot be written yet."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether `write` may be called."""
        ...

    def write(self, data: bytes, /) -> None:
        """Take records of 24 bytes."""
        ...


class Producer:
    """Events in the order in which they came."""

    def __init__(self, taker: Taker) -> None:
        self.lost = 0
        self._taker: Final = taker
        self._waiting: Final[deque[tuple[int, int, int]]] = deque()
        self._down: Final[set[int]] = set()  # keys, or characters below 0, whose presses were said
        self._buttons = 0  # as was said last

    def key(self, key: int, character: int, pressed: bool) -> None:
        """Say that a key was pressed, or let go."""
        which = key or -character
        lets_go = not pressed and which in self._down
        if self._put(EventCode.KEY, character, key | (PRESSED if pressed else 0), lets_go):
            (self._down.add if pressed else self._down.discard)(which)

    def pointer(self, x: int, y: int, width: int, height: int) -> None:
        """Say at which pixel of a screen of that size the pointer is."""
        if self._waiting and self._waiting[-1][0] == EventCode.MOUSE:
            self._waiting.pop()
        self._put(EventCode.MOUSE, _part(x, width), _part(y, height))

    def buttons(self, held: int) -> None:
        """Say which buttons are held: left | middle << 1 | right << 2."""
        if self._is_full:
            held &= self._buttons
        if self._put(EventCode.BUTTON, held, 0, lets_go=held != self._buttons):
            self._buttons = held

    def scroll(self, x: int, y: int) -> None:
        """Say that a wheel was turned; up is positive."""
        self._put(EventCode.SCROLL, x, y)

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= _MOST

    def _put(self, code: int, a: int, b: int, lets_go: bool = False) -> bool:
        if not self._taker.is_expected or (self._is_full and not lets_go):
            self.lost += 1
            return False
        self._waiting.append((code, a, b))
        return True

    def flush(self) -> None:
        """Hand over what waits, as far as it is taken."""
        waiting = self._waiting
        if waiting and not self._taker.is_expected:
            waiting.clear()  # nobody is to be surprised by it later
            self._down.clear()
            self._buttons = 0
        while waiting and self._taker.has_room:
            count = min(len(waiting), _AT_ONCE)
            self._taker.write(b"".join([_EVENT.pack(*waiting.popleft()) for _ in range(count)]))


def _part(place: int, size: int) -> int:
    """Return a pixel's middle, as a part of POINTER_RANGE + 1 that finds the pixel again."""
    return (2 * min(place, size - 1) + 1) * (POINTER_RANGE + 1) // (2 * size)
