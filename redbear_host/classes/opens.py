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
    or needs more than one command for it.
    """

    __slots__ = (
        "durable",
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
        self.write_end: Final = self.size if self.writable and not self.durable else -1
        self.strict = False
        self.wrote = False


class Listing(NamedTuple):
    """An open directory, as it was when it was opened."""

    entries: list[Entry]
    text: bytes


class ParkedOpen(NamedTuple):
    """An open that waits until the partitions are known."""

    path: str
    flags: int
    request: Request
