"""Who listens to what a card records: each has a copy of everything from its first read on."""

from __future__ import annotations

from collections import deque

from redbear_host.classes.soundcard import BUFFER, FRAME, FRAMES

KEPT_MOST = 32  # sub-buffers that wait for one reader, 0.37 s


class Recorder:
    """One reader's queue."""

    def __init__(self) -> None:
        self._waiting: deque[memoryview] = deque()

    def __bool__(self) -> bool:
        """Whether there is something to read."""
        return bool(self._waiting)

    def add(self, recorded: bytes) -> int:
        """Take a sub-buffer; return how many frames are lost since nobody read in time."""
        self._waiting.append(memoryview(recorded))
        if len(self._waiting) <= KEPT_MOST:
            return 0
        lost = len(self._waiting.popleft())
        return FRAMES if lost == BUFFER else lost // FRAME

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, whole frames."""
        size -= size % FRAME
        pieces = []
        while size and self._waiting:
            first = self._waiting.popleft()
            pieces.append(first[:size])
            if len(first) > size:
                self._waiting.appendleft(first[size:])
            size -= len(pieces[-1])
        return b"".join(pieces)
