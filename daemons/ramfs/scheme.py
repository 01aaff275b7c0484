"""The scheme `ramfs`: `daemons.ramfs.tree` with handles, as Redox's calls."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final

from daemons.ramfs.handles import Handle
from daemons.ramfs.nodes import BLOCK, Directory, File, Link, Node
from daemons.ramfs.permissions import (
    EXECUTE,
    READ,
    WRITE,
    check,
    check_owner,
    mode_by,
    without_set_id,
)
from daemons.ramfs.tree import Place, Tree
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import Stat, StatVfs, TimeSpec
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import (
    CACHED,
    POSITIONED,
    ROOT,
    Bytes,
    Entry,
    Mapped,
    Opened,
    Scheme,
)

_MODE: Final = 0o7777
_KEEP: Final = 0xFFFF_FFFF
_TARGET_MAX: Final = 4095
_SOON_NS: Final = 2 * 10**9  # a time that near is "now"
_END_MOST: Final = (1 << 63) - 1  # the last offset Linux knows
_KINDS: Final[dict[type[Node], int]] = {File: f.DT_REG, Directory: f.DT_DIR, Link: f.DT_LNK}

# Linux's fallocate modes (linux/falloc.h)
_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
_ZERO_RANGE: Final = 16


class RamScheme(Scheme):
    """A tree of at most `size` bytes.

    Neither `replays` nor `reopens`: what a daemon held died with it.  `proc` is a descriptor of
    /proc, by which a memfd is opened again for those who may only read.
    """

    name = "ramfs"

    def __init__(self, size: int, proc: int) -> None:
        self._tree: Final = Tree(size)
        self._proc: Final = proc
        self._handles: Final[dict[int, Handle]] = {}
        self._next = ROOT + 1

    def _handle(self, number: int) -> Handle:
        handle = self._handles.get(number)
        if handle is None:
            raise Refused(e.EBADF)
        return handle

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open what is there, or make it with O_CREAT."""
        caller = request.caller
        itself = f.O_SYMLINK | f.O_NOFOLLOW
        exclusive = flags & f.O_CREAT and flags & (f.O_EXCL | f.O_SYMLINK)
        follow = not flags & itself and not exclusive
        place = self._find(parent, path, follow, request)
        may_read, may_write = bool(flags & f.O_RDONLY), bool(flags & f.O_WRONLY)
        looks = bool(flags & f.O_STAT)
        if place.node is None and flags & f.O_CREAT and not looks:
            kind: type[Node] = File
            if flags & (f.O_DIRECTORY | f.O_SYMLINK):
                kind = Directory if flags & f.O_DIRECTORY else Link
            node = self._tree.make(place, kind, flags & _MODE, caller)
        else:
            node = place.found
            if exclusive and not looks:
                raise Refused(e.EEXIST)
            self._check_kind(node, flags)
            if not looks:
                check(node, may_read * READ | may_write * WRITE, caller)
                if flags & f.O_TRUNC and may_write and isinstance(node, File):
                    node.content.resize(0)
                    node.touch()
        handle = Handle(node, place.parent, place.name, may_read, may_write, looks)
        return self._opened(handle)

    def _opened(self, handle: Handle) -> Opened:
        number, self._next = self._next, self._next + 1
        self._handles[number] = handle
        handle.node.users += 1
        # Linux keeps pages by name.  A file with two names would have them twice, and differently.
        cached = CACHED if isinstance(handle.node, File) and handle.node.links == 1 else 0
        return Opened(number, POSITIONED | cached)

    @staticmethod
    def _check_kind(node: Node, flags: int) -> None:
        if flags & f.O_DIRECTORY and not isinstance(node, Directory):
            raise Refused(e.ENOTDIR)
        if flags & f.O_STAT:
            return
        if isinstance(node, Directory) and flags & (f.O_WRONLY | f.O_TRUNC | f.O_CREAT):
            raise Refused(e.EISDIR)
        if isinstance(node, Link) and not flags & f.O_SYMLINK:
            raise Refused(e.ELOOP)

    def _find(self, parent: int, path: str, follow: bool, request: Request) -> Place:
        start: Node = self._tree.root if parent == ROOT else self._handle(parent).node
        if not isinstance(start, Directory):
            raise Refused(e.ENOTDIR)
        return self._tree.find(start, path, follow, request.caller)

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened:
        """Open the same once more; nothing can be opened by name."""
        if len(name):
            raise Refused(e.EINVAL)
        one = self._handle(handle)
        return self._opened(
            Handle(one.node, one.parent, one.name, one.may_read, one.may_write, one.looks)
        )

    def unlinkat(self, parent: int, path: str, flags: int, request: Request) -> None:
        """Remove a name."""
        place = self._find(parent, path, False, request)
        self._tree.remove(place, bool(flags & f.AT_REMOVEDIR), request.caller)

    def frename(self, handle: int, path: str, request: Request) -> None:
        """Give what is open another name, in place of what has it."""
        one = self._handle(handle)
        if one.parent.entries.get(one.name) is not one.node:
            raise Refused(e.ENOENT)  # it has lost the name it was opened by
        new = self._find(ROOT, path, False, request)
        self._tree.rename(Place(one.parent, one.name, one.node), new, request.caller)
        if one.node is not new.node:
            for other in self._handles.values():
                if (other.node, other.parent, other.name) == (one.node, one.parent, one.name):
                    other.parent, other.name = new.parent, new.name

    def flink(self, handle: int, path: str, request: Request) -> None:
        """Give what is open one more name."""
        place = self._find(ROOT, path, False, request)
        self._tree.link(self._handle(handle).node, place, request.caller)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/ramfs/…`, by the name it was opened with or renamed to."""
        one = self._handle(handle)
        return f"/scheme/{self.name}/{self._tree.path_of(one.parent, one.name)}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List a directory."""
        one = self._handle(handle)
        if not isinstance(one.node, Directory):
            raise Refused(e.ENOTDIR)
        if one.looks:
            raise Refused(e.EBADF)
        entries = one.node.entries.items()
        return [Entry(name, _KINDS[type(node)], node.inode) for name, node in entries]

    def on_close(self, handle: int) -> None:
        """Forget the handle, and what nothing leads to any more."""
        node = self._handles.pop(handle).node
        node.users -= 1
        node.drop_if_unused()

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Read a file, or where a link leads."""
        one = self._handles.get(handle)
        if one is None or one.looks or not one.may_read:
            raise Refused(e.EBADF)
        node = one.node
        if isinstance(node, File):
            node.atime = time.time_ns()
            return node.content.read(offset, size)
        if isinstance(node, Link):
            return node.target[offset : offset + size]
        raise Refused(e.EISDIR)

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Write a file, as far as there is room; or, once, where a link leads."""
        one = self._handles.get(handle)
        if one is None or one.looks or not one.may_write:
            raise Refused(e.EBADF)
        node = one.node
        if isinstance(node, Link):
            return self._write_link(node, data)
        if not isinstance(node, File):
            raise Refused(e.EISDIR)
        content, room = node.content, self._tree.room
        if fcntl_flags & f.O_APPEND:
            offset = content.size
        count = len(data)
        if offset + count > _END_MOST:
            raise Refused(e.EFBIG)
        lacking = offset + count - content.size - (room.size - room.used)
        if count and lacking > 0:
            count -= lacking
            if count <= 0:
                raise Refused(e.ENOSPC)
        if count:
            content.write(offset, data[:count])
            node.touch()
            if request.caller.uid:
                node.mode = without_set_id(node.mode)
        return count

    @staticmethod
    def _write_link(node: Link, data: memoryview) -> int:
        if node.target:
            raise Refused(e.EINVAL)  # it leads somewhere already
        if len(data) > _TARGET_MAX:
            raise Refused(e.ENAMETOOLONG)
        node.set_target(bytes(data))
        return len(data)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Cut a file, or grow it by zeros."""
        node = self._writable(handle)
        if length > _END_MOST:
            raise Refused(e.EFBIG)
        node.content.resize(length)
        node.touch()

    def fallocate(self, handle: int, mode: int, offset: int, length: int, request: Request) -> None:
        """Make room for a range, or zero it; a hole takes the room that content does."""
        node = self._writable(handle)
        if mode & ~(_KEEP_SIZE | _PUNCH_HOLE | _ZERO_RANGE):
            raise Refused(e.EOPNOTSUPP)
        if offset + length > _END_MOST:
            raise Refused(e.EFBIG)
        if mode & (_PUNCH_HOLE | _ZERO_RANGE):
            node.content.clear(offset, length)
        if not mode & _KEEP_SIZE and offset + length > node.size:
            node.content.resize(offset + length)
        node.touch()

    def _writable(self, handle: int) -> File:
        one = self._handle(handle)
        if isinstance(one.node, Directory):
            raise Refused(e.EISDIR)
        if not isinstance(one.node, File):
            raise Refused(e.EINVAL)
        if one.looks or not one.may_write:
            raise Refused(e.EBADF)
        return one.node

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe what is open."""
        return self._handle(handle).node.describe()

    def fstatvfs(self, handle: int) -> StatVfs:
        """Say how much room there is."""
        self._handle(handle)
        room = self._tree.room
        free = (room.size - room.used) // BLOCK
        return StatVfs(f_bsize=BLOCK, f_blocks=room.size // BLOCK, f_bfree=free, f_bavail=free)

    def fsize(self, handle: int) -> int:
        """Return the size in bytes."""
        return self._handle(handle).node.size

    def access(self, handle: int, wanted: int, request: Request) -> None:
        """Check permissions; root may all but execute what nobody may."""
        node, caller = self._handle(handle).node, request.caller
        check(node, wanted, caller)
        if wanted & EXECUTE and isinstance(node, File) and not node.mode & 0o111:
            raise Refused(e.EACCES)

    def fchmod(self, handle: int, mode: int, request: Request) -> None:
        """Change the permissions: for the owner."""
        node = self._handle(handle).node
        check_owner(node, request.caller)
        node.mode = mode_by(node, mode & _MODE, request.caller)
        node.note_change()

    def fchown(self, handle: int, uid: int, gid: int, request: Request) -> None:
        """Change the owner: for root; an owner may give a file to its own group."""
        node, caller = self._handle(handle).node, request.caller
        if caller.uid:
            check_owner(node, caller)
            if uid not in (_KEEP, node.uid) or gid not in (_KEEP, node.gid, caller.gid):
                raise Refused(e.EPERM)
            if isinstance(node, File):
                node.mode = without_set_id(node.mode)
        node.uid = node.uid if uid == _KEEP else uid
        node.gid = node.gid if gid == _KEEP else gid
        node.note_change()

    def futimens(self, handle: int, times: Iterable[TimeSpec], request: Request) -> None:
        """Set access and modification time: for the owner; for who may write, to what it is now.

        Redox has no word for "now", so it comes as a number.
        """
        node, caller = self._handle(handle).node, request.caller
        atime, mtime = (given.tv_sec * 10**9 + given.tv_nsec for given in times)
        if caller.uid not in (0, node.uid):
            now = time.time_ns()
            if max(abs(now - atime), abs(now - mtime)) > _SOON_NS:
                raise Refused(e.EPERM)
            check(node, WRITE, caller)
            atime = mtime = now
        node.atime, node.mtime = atime, mtime
        node.note_change()

    def fcntl(self, handle: int, command: int, argument: int, request: Request) -> int:
        """Accept: the flags come with each read and write."""
        self._handle(handle)
        return 0

    def fevent(self, handle: int, mask: int) -> int:
        """Say that files never block."""
        self._handle(handle)
        return mask & (f.EVENT_READ | f.EVENT_WRITE)

    # -- memory ------------------------------------------------------------------------------------

    def mmap_prep(
        self, handle: int, offset: int, size: int, flags: int, request: Request
    ) -> Mapped:
        """Share a file's bytes; who may only read it gets a descriptor that only reads."""
        one = self._handle(handle)
        if not isinstance(one.node, File):
            raise Refused(e.ENODEV)
        if one.looks or not one.may_read:
            raise Refused(e.EACCES)
        if flags & f.PROT_WRITE and flags & f.MAP_SHARED and not one.may_write:
            raise Refused(e.EACCES)
        if offset % BLOCK:
            raise Refused(e.EINVAL)
        try:
            if one.may_write:
                return Mapped(one.node.content.memfd(), offset)
            return Mapped(one.node.content.read_only_fd(self._proc), offset)
        except OSError as err:
            raise Refused(e.ENOMEM, f"mapping: {err}") from err
