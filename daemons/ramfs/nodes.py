"""Files, directories and links: what names lead to."""

from __future__ import annotations

import time
from typing import Final

from daemons.ramfs.content import Content, Room
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, MODE_SYMLINK, Stat
from redbear_host.scheme.request import Caller

BLOCK: Final = 4096
NODE_ROOM: Final = 512  # bytes a name takes beside content, so that there cannot be endless ones


class Node:
    """What all have in common.  Times are nanoseconds since 1970; `mode` is permissions only."""

    __slots__ = ("atime", "ctime", "gid", "inode", "links", "mode", "mtime", "room", "uid", "users")

    kind = 0

    def __init__(self, inode: int, mode: int, caller: Caller, room: Room) -> None:
        room.take(NODE_ROOM)
        self.inode: Final = inode
        self.mode = mode
        self.uid = caller.uid
        self.gid = caller.gid
        self.links = 1
        self.users = 0  # open handles
        self.room: Final = room
        self.atime = self.mtime = self.ctime = time.time_ns()

    @property
    def size(self) -> int:
        """Bytes in it."""
        return 0

    def touch(self) -> None:
        """Say that the content has changed."""
        self.mtime = self.ctime = time.time_ns()

    def note_change(self) -> None:
        """Say that something other than the content has changed."""
        self.ctime = time.time_ns()

    def drop_if_unused(self) -> None:
        """Give the room back once neither a name nor a handle leads here."""
        if not self.links and not self.users:
            self.room.take(-NODE_ROOM)
            self._drop_content()

    def _drop_content(self) -> None:
        """Give back what the content takes."""

    def describe(self) -> Stat:
        """Return what fstat tells."""
        size = self.size
        return Stat(
            st_ino=self.inode,
            st_mode=self.kind | self.mode,
            st_nlink=self.links,
            st_uid=self.uid,
            st_gid=self.gid,
            st_size=size,
            st_blksize=BLOCK,
            st_blocks=-(-size // BLOCK),
            st_mtime=self.mtime // 10**9,
            st_mtime_nsec=self.mtime % 10**9,
            st_atime=self.atime // 10**9,
            st_atime_nsec=self.atime % 10**9,
            st_ctime=self.ctime // 10**9,
            st_ctime_nsec=self.ctime % 10**9,
        )


class File(Node):
    """A regular file."""

    __slots__ = ("content",)

    kind = MODE_FILE

    def __init__(self, inode: int, mode: int, caller: Caller, room: Room) -> None:
        super().__init__(inode, mode, caller, room)
        self.content: Final = Content(room)

    @property
    def size(self) -> int:
        """Bytes in it."""
        return self.content.size

    def _drop_content(self) -> None:
        self.content.close()


class Link(Node):
    """A symbolic link; its target is written once, after it was made."""

    __slots__ = ("target",)

    kind = MODE_SYMLINK

    def __init__(self, inode: int, mode: int, caller: Caller, room: Room) -> None:
        super().__init__(inode, mode, caller, room)
        self.target = b""

    @property
    def size(self) -> int:
        """Bytes in the target."""
        return len(self.target)

    def set_target(self, target: bytes) -> None:
        """Say where it leads."""
        self.room.take(len(target))
        self.target = target
        self.touch()

    def _drop_content(self) -> None:
        self.room.take(-len(self.target))


class Directory(Node):
    """A directory.  `parent` is itself for the root."""

    __slots__ = ("entries", "name", "parent")

    kind = MODE_DIR

    def __init__(self, inode: int, mode: int, caller: Caller, room: Room) -> None:
        super().__init__(inode, mode, caller, room)
        self.links = 2  # its name, and "."
        self.entries: Final[dict[str, Node]] = {}
        self.parent = self
        self.name = ""

    @property
    def size(self) -> int:
        """Bytes it is said to have: a block."""
        return BLOCK

    def is_inside(self, other: Directory) -> bool:
        """Tell whether this is `other`, or below it."""
        at = self
        while at is not other and at.parent is not at:
            at = at.parent
        return at is other
