"""The files of a `network.*`, and what is kept of each open one."""

from __future__ import annotations

from enum import Enum
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, MODE_FILE, Stat
from redbear_host.classes.joined import Joined
from redbear_host.classes.readers import Monitor, Reader
from redbear_host.errors import Refused

MAC: Final = 6  # bytes
_BLOCK: Final = 4096


class Kind(Enum):
    """What a name stands for; the value is its inode."""

    FOLDER = 1
    DATA = 2
    MAC = 3
    LINK = 4
    STATS = 5
    JOINS = 6
    MONITOR = 7


NAMES: Final = {
    "data": Kind.DATA,
    "mac": Kind.MAC,
    "link": Kind.LINK,
    "stats": Kind.STATS,
    "joins": Kind.JOINS,
    "monitor": Kind.MONITOR,
}
_MODES: Final = {
    Kind.FOLDER: MODE_DIR | 0o700,
    Kind.DATA: MODE_CHR | 0o600,
    Kind.MAC: MODE_FILE | 0o600,
    Kind.LINK: MODE_FILE | 0o400,
    Kind.STATS: MODE_FILE | 0o400,
    Kind.JOINS: MODE_FILE | 0o400,
    Kind.MONITOR: MODE_CHR | 0o400,
}
STREAMS: Final = (Kind.DATA, Kind.MONITOR)
WRITABLE: Final = (Kind.DATA, Kind.MAC)


class OpenFile:
    """One handle."""

    __slots__ = ("joined", "kind", "monitor", "path", "reader", "reads", "seen", "text", "writes")

    def __init__(self, kind: Kind, path: str, flags: int) -> None:
        looks = bool(flags & f.O_STAT)
        self.kind: Final = kind
        self.path: Final = path
        self.reads: Final = not looks and bool(flags & f.O_RDONLY)
        self.writes: Final = not looks and bool(flags & f.O_WRONLY)
        self.reader: Reader | None = None
        self.monitor: Monitor | None = None
        self.joined: Joined | None = None
        self.text = b""  # what is being read, as it was at offset 0
        self.seen = -1  # which state of the link that was


FOLDER: Final = OpenFile(Kind.FOLDER, "", f.O_STAT)


def kind_of(path: str, flags: int) -> Kind:
    """Say what a path stands for; `Refused` if it is nothing."""
    if not path:
        return Kind.FOLDER if flags & (f.O_DIRECTORY | f.O_STAT) else Kind.DATA
    kind = NAMES.get(path)
    if kind is None:
        raise Refused(e.ENOENT if flags & f.O_STAT else e.EINVAL)
    if flags & f.O_DIRECTORY:
        raise Refused(e.ENOTDIR)
    return kind


def describe(kind: Kind) -> Stat:
    """Return what fstat says."""
    return Stat(
        st_ino=kind.value,
        st_mode=_MODES[kind],
        st_nlink=2 if kind is Kind.FOLDER else 1,
        st_size=MAC if kind is Kind.MAC else 0,
        st_blksize=_BLOCK,
    )
