"""The scheme `shm`: memory by name, which is read, written, or mapped by several at once.

A segment stays until it is unlinked and its last handle is closed.  Its memory is a memfd: who maps
it gets that, so whoever may open a segment at all may change it; its owner and mode say who may,
and a class needs both read and write there.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat, StatVfs
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller, Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Entry, Mapped, Opened, Scheme

NAME_MOST: Final = 255  # bytes
_PAGE: Final = mmap.PAGESIZE
_MODE: Final = 0o600  # for who gives none
_SHIFT: Final = 16  # O_RDONLY is 1 << 16, O_WRONLY 2 << 16, O_RDWR both
_READS, _WRITES = 1, 2
_KEEP: Final = 0xFFFF_FFFF


class Segment:
    """One piece of memory; `size` is in bytes, what is mapped is whole pages."""

    def __init__(self, name: str, number: int, owner: Caller, mode: int) -> None:
        self.name: Final = name
        self.number: Final = number
        self.uid, self.gid, self.mode = owner.uid, owner.gid, mode
        self.handles = 0
        self.linked = True
        self.mapped = False
        try:
            self.fd: Final = os.memfd_create("shm", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError:
            raise Refused(e.ENFILE) from None

    @property
    def size(self) -> int:
        """Bytes, as far as someone has written or truncated."""
        return os.fstat(self.fd).st_size

    def admits(self, caller: Caller) -> bool:
        """Tell whether `caller` may open it."""
        if caller.uid == 0:
            return True
        shift = 6 if caller.uid == self.uid else 3 if caller.gid == self.gid else 0
        return self.mode >> shift & 6 == 6


class _Handle:
    __slots__ = ("access", "append", "segment")

    def __init__(self, segment: Segment | None, flags: int) -> None:
        self.segment: Final = segment  # None for the directory
        self.access: Final = 0 if flags & f.O_STAT else (flags & f.O_ACCMODE) >> _SHIFT
        self.append: Final = bool(flags & f.O_APPEND)


class ShmScheme(Scheme):
    """At most `segments` segments, of at most `most` bytes together."""

    name = "shm"

    def __init__(self, most: int, segments: int) -> None:
        self._most: Final = most
        self._segments: Final = segments
        self._names: Final[dict[str, Segment]] = {}
        self._all: Final[set[Segment]] = set()
        self._handles: Final[dict[int, _Handle]] = {}
        self._next = ROOT + 1
        self._made = 1

    def close(self) -> None:
        """Let go of all memory."""
        for segment in self._all:
            os.close(segment.fd)
        self._all.clear()

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a segment, or make one; or the directory."""
        path = path.strip("/")
        if parent != ROOT and self._handle(parent).segment is not None:
            raise Refused(e.ENOTDIR)
        if not path:
            if flags & f.O_WRONLY:
                raise Refused(e.EISDIR)
            return self._open(None, flags)
        if "/" in path or "\0" in path:
            raise Refused(e.ENOENT)
        if len(path.encode("utf-8", "surrogateescape")) > NAME_MOST:
            raise Refused(e.ENAMETOOLONG)
        segment = self._names.get(path)
        if segment is None:
            if not flags & f.O_CREAT:
                raise Refused(e.ENOENT)
            if len(self._all) >= self._segments:
                raise Refused(e.ENFILE)
            self._made += 1
            mode = flags & 0o777 or _MODE
            segment = self._names[path] = Segment(path, self._made, request.caller, mode)
            self._all.add(segment)
            return self._open(segment, flags)
        if flags & f.O_CREAT and flags & f.O_EXCL:
            raise Refused(e.EEXIST)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if not flags & f.O_STAT:
            if not segment.admits(request.caller):
                raise Refused(e.EACCES)
            if flags & f.O_TRUNC and flags & f.O_WRONLY:
                self._resize(segment, 0)
        return self._open(segment, flags)

    def _open(self, segment: Segment | None, flags: int) -> Opened:
        number, self._next = self._next, self._next + 1
        self._handles[number] = _Handle(segment, flags)
        if segment is not None:
            segment.handles += 1
        return Opened(number, POSITIONED)

    def unlinkat(self, parent: int, path: str, flags: int, request: Request) -> None:
        """Take a segment's name away; its memory goes with the last handle."""
        if flags & f.AT_REMOVEDIR:
            raise Refused(e.ENOTDIR)
        segment = self._names.get(path.strip("/"))
        if segment is None:
            raise Refused(e.ENOENT)
        if request.caller.uid not in (0, segment.uid):
            raise Refused(e.EACCES)
        del self._names[segment.name]
        segment.linked = False
        self._drop(segment)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/shm/NAME`."""
        segment = self._handle(handle).segment
        return f"/scheme/{self.name}" + (f"/{segment.name}" if segment else "")

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the segments."""
        if self._handle(handle).segment is not None:
            raise Refused(e.ENOTDIR)
        return [Entry(s.name, f.DT_REG, s.number) for _, s in sorted(self._names.items())]

    def on_close(self, handle: int) -> None:
        """Forget the handle, and a segment that was unlinked with its last one."""
        segment = self._handles.pop(handle).segment
        if segment is not None:
            segment.handles -= 1
            self._drop(segment)

    def _drop(self, segment: Segment) -> None:
        if not segment.linked and not segment.handles:
            self._all.discard(segment)
            os.close(segment.fd)

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Read at an offset; empty at the end."""
        segment = self._segment(handle, _READS)
        left = segment.size - offset
        return os.pread(segment.fd, min(size, left), offset) if left > 0 else b""

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Write at an offset; the segment grows as far as it must."""
        segment = self._segment(handle, _WRITES)
        if self._handles[handle].append or fcntl_flags & f.O_APPEND:
            offset = segment.size
        if offset + len(data) > segment.size:
            self._resize(segment, offset + len(data))
        return os.pwrite(segment.fd, data, offset)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Set the length; EBUSY for less once it was mapped, as its users would die of it."""
        self._resize(self._segment(handle, _WRITES), length)

    def _resize(self, segment: Segment, size: int) -> None:
        others = sum(other.size for other in self._all if other is not segment)
        if size + others > self._most:
            raise Refused(e.ENOSPC)
        try:
            os.ftruncate(segment.fd, size)
        except PermissionError:
            raise Refused(e.EBUSY) from None
        except OSError:
            raise Refused(e.ENOSPC) from None

    def fsize(self, handle: int) -> int:
        """Return the length in bytes."""
        return self.fstat(handle).st_size

    # -- memory ------------------------------------------------------------------------------------

    def mmap_prep(
        self, handle: int, offset: int, size: int, flags: int, request: Request
    ) -> Mapped:
        """Hand out the memory; ERANGE behind its last page."""
        segment = self._segment(handle, 0)
        if not size or offset % _PAGE:
            raise Refused(e.EINVAL)
        if offset + size > -(-segment.size // _PAGE) * _PAGE:
            raise Refused(e.ERANGE)
        if not segment.mapped:
            segment.mapped = True
            # Nobody, also not a client with its duplicate, pulls mapped memory from under another.
            fcntl.fcntl(segment.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return Mapped(segment.fd, offset)

    def munmap(self, handle: int, offset: int, size: int, flags: int) -> None:
        """Do nothing: the client's mapping is its own."""

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a segment or the directory."""
        segment = self._handle(handle).segment
        if segment is None:
            return Stat(st_ino=1, st_mode=MODE_DIR | 0o777, st_nlink=2, st_blksize=_PAGE)
        size = segment.size
        return Stat(
            st_ino=segment.number,
            st_mode=MODE_FILE | segment.mode,
            st_nlink=int(segment.linked),
            st_uid=segment.uid,
            st_gid=segment.gid,
            st_size=size,
            st_blksize=_PAGE,
            st_blocks=-(-size // _PAGE),
        )

    def fstatvfs(self, handle: int) -> StatVfs:
        """Describe how much memory is left."""
        free = max(0, self._most - sum(segment.size for segment in self._all)) // _PAGE
        blocks = self._most // _PAGE
        return StatVfs(f_bsize=_PAGE, f_blocks=blocks, f_bfree=free, f_bavail=free)

    def fchmod(self, handle: int, mode: int, request: Request) -> None:
        """Change who may open it; the owner and root may."""
        self._owned(handle, request).mode = mode & 0o777

    def fchown(self, handle: int, uid: int, gid: int, request: Request) -> None:
        """Give it away; root may."""
        segment = self._owned(handle, request)
        if request.caller.uid != 0:
            raise Refused(e.EPERM)
        segment.uid = segment.uid if uid == _KEEP else uid
        segment.gid = segment.gid if gid == _KEEP else gid

    def fevent(self, handle: int, mask: int) -> int:
        """Be ready for everything: memory never waits."""
        return mask

    def _owned(self, handle: int, request: Request) -> Segment:
        segment = self._handle(handle).segment
        if segment is None or request.caller.uid not in (0, segment.uid):
            raise Refused(e.EPERM)
        return segment

    def _segment(self, handle: int, access: int) -> Segment:
        found = self._handle(handle)
        if found.segment is None:
            raise Refused(e.EISDIR)
        if not found.access or found.access & access != access:
            raise Refused(e.EBADF)
        return found.segment

    def _handle(self, handle: int) -> _Handle:
        if handle == ROOT:
            return _Handle(None, f.O_STAT)
        try:
            return self._handles[handle]
        except KeyError:
            raise Refused(e.EBADF) from None
