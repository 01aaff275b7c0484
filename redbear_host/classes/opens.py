"""What a disk scheme has open."""

from __future__ import annotations

from typing import Final, NamedTuple

from redbear_host.abi import flags as f
from redbear_host.classes.volumes import Volume
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import Entry


class OpenDisk:
    """An open disk or partition.

    `read_end` and `write_end` bound the fast paths: the size, or -1 where the handle may not do it
    or needs more than one command for it.  `end` is where the client believes the file to end: the
    size, until it cuts the file.
    """

    __slots__ = (
        "durable",
        "end",
        "first",
        "flags",
        "io",
        "read_end",
        "readable",
        "size",
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


class Listing(NamedTuple):
    """An open directory, as it was when it was opened."""

    entries: list[Entry]
    text: bytes


class ParkedOpen(NamedTuple):
    """An open that waits until the partitions are known."""

    path: str
    flags: int
    request: Request
