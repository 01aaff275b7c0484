"""The kept lines: a ring of records in a file that is mapped, so that they outlive the daemon.

The file has a page of header, then the ring.  A record's *place* counts bytes since the log began
and never wraps; where it stands is its place modulo the size of the ring.

```
0     magic, size of the ring
8     start: place of the oldest record that is kept
16    end: place after the newest
4096  records: length of the whole, length of the name, the name, the line (without a newline)
```

What is overwritten is given up before, what is written is announced after: a death at any moment
leaves whole records between start and end.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple, Self

from redbear_host.errors import TransportError

RECENT: Final = 1000  # lines a new follower is shown first, as on Redox
LINE_MOST: Final = 8192  # bytes; a longer line is cut into lines of this length
NAME_MOST: Final = 255  # bytes

_HEADER: Final = 4096
_MAGIC: Final = 0x31474F4C  # "LOG1"
_RECORD: Final = Struct("=HH")
_FACTS: Final = Struct("=II")
_START, _END = 1, 2  # 64-bit words of the header


class Line(NamedTuple):
    """One record: who wrote, what, and the place of the next."""

    name: bytes
    text: bytes
    next: int

    @property
    def shown(self) -> bytes:
        """The line as it is read: Redox's `NAME: text`."""
        return b"%b: %b\n" % (self.name, self.text) if self.name else self.text + b"\n"


class Store:
    """Lines, in the file `fd`, which has room for `keep` bytes of them; `close` it."""

    def __init__(self, fd: int, keep: int) -> None:
        self._size: Final = keep
        os.ftruncate(fd, _HEADER + keep)
        self._map: Final = mmap.mmap(fd, _HEADER + keep)
        self._header: Final = memoryview(self._map)[:_HEADER].cast("Q")
        self._ring: Final = memoryview(self._map)[_HEADER:]
        if _FACTS.unpack_from(self._map) != (_MAGIC, keep):
            self._header[_START] = self._header[_END] = 0
            _FACTS.pack_into(self._map, 0, _MAGIC, keep)
        self.recent: Final[deque[int]] = deque(maxlen=RECENT)  # places of the newest records
        self.names: Final[dict[bytes, None]] = {}  # who wrote, in the order they came
        self._look_through()

    @classmethod
    def open(cls, path: Path, keep: int) -> Self:
        """Open what a predecessor kept at `path`, or begin."""
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as err:
            raise TransportError(f"{path} cannot be opened: {err.strerror}") from err
        try:
            return cls(fd, keep)
        finally:
            os.close(fd)

    @property
    def start(self) -> int:
        """Place of the oldest record."""
        return self._header[_START]

    @property
    def end(self) -> int:
        """Place after the newest record."""
        return self._header[_END]

    def append(self, name: bytes, text: bytes) -> None:
        """Keep one line, and drop as many of the oldest as that takes."""
        length = _RECORD.size + len(name) + len(text)
        start, end = self.start, self.end
        while end + length - start > self._size:
            if self.recent and self.recent[0] == start:
                self.recent.popleft()
            start += self._lengths(start)[0]
        self._header[_START] = start
        self._put(end, _RECORD.pack(length, len(name)) + name + text)
        self._header[_END] = end + length
        self._note(name, end)

    def line(self, place: int) -> Line:
        """Return the record at `place`, which lies between start and end."""
        length, named = self._lengths(place)
        body = self._get(place + _RECORD.size, length - _RECORD.size)
        return Line(body[:named], body[named:], place + length)

    def close(self) -> None:
        """Unmap the file, which stays for a successor."""
        self._header.release()
        self._ring.release()
        self._map.close()

    def _look_through(self) -> None:
        """Note what a predecessor kept; what is not a chain of records is forgotten."""
        place, end = self.start, self.end
        if not 0 <= end - place <= self._size:
            place = self._header[_START] = end
        while place < end:
            length, named = self._lengths(place)
            if length < _RECORD.size + named or length > end - place:
                self._header[_START] = end
                self.recent.clear()
                return
            self._note(self.line(place).name, place)
            place += length

    def _note(self, name: bytes, place: int) -> None:
        self.recent.append(place)
        if name and name not in self.names:
            if len(self.names) >= RECENT:
                del self.names[next(iter(self.names))]
            self.names[name] = None

    def _lengths(self, place: int) -> tuple[int, int]:
        length, named = _RECORD.unpack(self._get(place, _RECORD.size))
        return length, named

    def _get(self, place: int, size: int) -> bytes:
        at = place % self._size
        first = bytes(self._ring[at : at + size])
        return first if len(first) == size else first + bytes(self._ring[: size - len(first)])

    def _put(self, place: int, data: bytes) -> None:
        at = place % self._size
        room = self._size - at
        self._ring[at : at + len(data)] = data[:room]
        if len(data) > room:
            self._ring[: len(data) - room] = data[room:]
