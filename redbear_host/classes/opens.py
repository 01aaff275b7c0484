"""What a disk scheme has open."""

from __future__ import annotations

from typing import Final, NamedTuple

from redbear_host.abi import flags as f
from redbear_host.classes.readahead import RUN, Stream
from redbear_host.classes.volumes import Volume
from redbear_host.scheme.request import Later, Request
from redbear_host.scheme.scheme import Entry


class OpenDisk:
    """An open disk or partition.

    `read_end` and `write_end` bound the fast paths: the size, or -1 where the handle may not do it
    or needs more than one command for it.  `end` is where the client believes the file to end: the
    size, until it cuts the file.  `expected` is where its next read begins if it reads in order,
    `run` how many reads have done so, and `stream` what is read ahead for it.
    """

    __slots__ = (
        "durable",
        "end",
        "expected",
        "first",
        "flags",
        "io",
        "read_end",
        "readable",
        "run",
        "size",
        "stream",
        "strict",
        "volume",
        "writable",
        "write_end",
        "wrote",
    )

    def __init__(self, volume: Volume, flags: int) -> None:
        used = not flags & f.O_STAT
        self.volume: Final = volume
        self.flags: Final = flags
        self.io: Final = volume.io
        self.first: Final = volume.first
        self.size: Final = volume.size
        self.readable: Final = used and bool(flags & f.O_RDONLY)
        self.writable: Final = used and bool(flags & f.O_WRONLY)
        self.durable: Final = bool(flags & f.O_FSYNC)
        self.read_end: Final = self.size if self.readable else -1
        self.write_end = self.size if self.writable and not self.durable else -1
        self.strict = False
        self.wrote = False
        self.end = self.size
        self.expected = -1
        self.run = 0
        self.stream: Stream | None = None
        if self.writable and flags & f.O_TRUNC:
            self.cut(0)

    def cut(self, length: int) -> None:
        """Believe with the client that the file has `length` bytes.

        The disk keeps all its own; but a client that goes on behind `length` would leave a hole,
        and count on zeroes where the disk has what it had before.
        """
        self.end = length
        self.write_end = min(self.write_end, length)

    def grow(self, offset: int, size: int) -> bool:
        """Tell whether `size` bytes may be written at `offset`: False if they leave a hole."""
        if offset > self.end:
            return False
        self.end = max(self.end, offset + size)
        return True

    def read_on(self, size: int, offset: int, request: Request) -> memoryview | Later | None:
        """Serve a read from what was read ahead; None if it has to be done by itself."""
        stream = self.stream
        if not self.readable or (self.strict and (offset | size) & self.io.mask):
            return None
        size = min(size, self.size - offset)
        if size <= 0:
            return None
        start = self.first << self.io.shift
        if stream is None:
            self.expected = offset + size
            self.run += 1
            if self.run < RUN:
                return None
            stream = self.stream = self.io.ahead.stream(start + offset, start + self.size)
            if stream is None:
                return None
        found = stream.read(start + offset, size, request)
        if found is None:
            self.expected = offset + size
            if stream.hopeless:
                self.run = -stream.penalty
                self.let_go()
        return found

    def let_go(self) -> None:
        """Drop what was read ahead."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None


class Listing(NamedTuple):
    """An open directory, as it was when it was opened."""

    entries: list[Entry]
    text: bytes


class ParkedOpen(NamedTuple):
    """An open that waits until the partitions are known."""

    path: str
    flags: int
    request: Request
