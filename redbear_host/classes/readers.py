"""Those who read a network card's frames beside whoever has its wire: bounded, each by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from redbear_host.classes.frames import HEADER, pack_record

FRAMES_MOST: Final = 1024  # that wait for one reader
BYTES_MOST: Final = 4 << 20


class Reader:
    """A data handle: frames that came, as bytes."""

    def __init__(self, number: int) -> None:
        self.number: Final = number  # the scheme's, of its handle
        self.lost = 0
        self._queue: Final[deque[bytes]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def take(self, frames: Sequence[bytes]) -> int:
        """Keep frames for later; return how many there was no room for: the newest are lost."""
        queue = self._queue
        size = sum(map(len, frames))
        if len(queue) + len(frames) <= FRAMES_MOST and self._bytes + size <= BYTES_MOST:
            queue.extend(frames)
            self._bytes += size
            return 0
        lost = 0
        for frame in frames:
            if len(queue) < FRAMES_MOST and self._bytes + len(frame) <= BYTES_MOST:
                queue.append(frame)
                self._bytes += len(frame)
            else:
                lost += 1
        self.lost += lost
        return lost

    def first(self, most: int, room: int) -> list[bytes]:
        """Hand out the oldest frames: at most `most`, of at most `room` bytes together."""
        found: list[bytes] = []
        queue = self._queue
        while queue and len(found) < most and len(queue[0]) <= room:
            frame = queue.popleft()
            room -= len(frame)
            self._bytes -= len(frame)
            found.append(frame)
        return found

    def pop(self) -> bytes | None:
        """Hand out the oldest frame."""
        if not self._queue:
            return None
        frame = self._queue.popleft()
        self._bytes -= len(frame)
        return frame


class Monitor:
    """A monitor handle: frames both ways, as records."""

    def __init__(self, number: int) -> None:
        self.number: Final = number
        self._queue: Final[deque[bytes]] = deque()
        self._bytes = 0
        self._lost = 0

    def __len__(self) -> int:
        return len(self._queue)

    def take(self, frames: Sequence[bytes], time: int, flags: int) -> int:
        """Keep records of frames; return how many there was no room for."""
        queue = self._queue
        before = self._lost
        for frame in frames:
            size = len(frame) + HEADER.size
            if len(queue) < FRAMES_MOST and self._bytes + size <= BYTES_MOST:
                record = pack_record(time, flags, self._lost, frame)
                queue.append(record)
                self._bytes += len(record)
            else:
                self._lost += 1
        return self._lost - before

    def read(self, size: int) -> bytes | None:
        """Hand out as many whole records as `size` bytes hold; None when not even the first fits.

        Empty when there are none.
        """
        queue, found, left = self._queue, [], size
        while queue and len(queue[0]) <= left:
            record = queue.popleft()
            left -= len(record)
            found.append(record)
        self._bytes -= size - left
        return None if queue and not found else b"".join(found)
