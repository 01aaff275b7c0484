"""The scheme `file`: a directory of the host, read and written as whoever asks.

Every path is resolved by the kernel below the root (`calls.open_beneath`).  Links are not followed
here: the client's kernel, or its libredox, reads a link and asks again, with its own idea of where
an absolute path begins.
"""

from __future__ import annotations

import mmap
import os
import stat
import time
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from daemons.filed import calls
from daemons.filed.callers import Callers
from daemons.filed.facts import describe, describe_link, describe_volume, is_regular, kind
from daemons.filed.handles import Handle, Handles
from daemons.filed.names import Names, refused
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

_READ_MAX: Final = 1 << 20  # what one call of a client's kernel asks for at most
_PER_WRITE: Final = f.O_APPEND | f.O_FSYNC
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID
_SOON: Final = 2  # seconds: no request is older, as its caller sees it
_OFFSET_END: Final = 1 << 63


class FileScheme(Scheme):
    """Serves the directory behind the descriptor `root`, which stays the caller's to close.

    A read or a write at an offset may be done twice, and a path, flags and a caller say all about a
    handle, as long as nobody outside puts another file in its place meanwhile.  What may not be
    done twice (appending, making names) looks first whether a predecessor has done it: see `Names`.
    """

    name = "file"
    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(self, root: int, callers: Callers) -> None:
        self._callers: Final = callers
        self._names: Final = Names(root, callers)
        self._handles: Final = Handles()
        self._open: Final = self._handles.by_number
        self._buffer: Final = memoryview(bytearray(_READ_MAX))  # one read's, until it is answered

    def close(self) -> None:
        """Close all that clients have open."""
        for handle in self._open.values():
            if handle.fd >= 0:
                os.close(handle.fd)
        self._open.clear()

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open as Linux would for this caller; O_STAT looks at what is there, also at a link."""
        full = self._full(parent, path, request)
        try:
            handle, found = self._names.open(full, flags, request)
        except OSError as err:
            raise refused(err) from None
        number = self._handles.add(handle)
        if found is None or not is_regular(found):
            return Opened(number, POSITIONED)
        if found.st_nlink > 1 or found.st_mode & _SET_ID:
            # Linux keeps pages by name: two names would have them twice, and differently.  And who
            # may run a file as somebody else must not be written behind our back: see `write`.
            return Opened(number, POSITIONED)
        return Opened(number, POSITIONED | CACHED, handle.fd)

    def _full(self, parent: int, path: str, request: Request) -> bytes:
        above = None if parent == ROOT else self._handles[parent]
        return self._names.full(path, request.caller, above)

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened:
        """Open the same once more; as in redoxfs, nothing can be opened by name."""
        if len(name):
            raise Refused(e.EINVAL)
        one = self._handles[handle]
        if one.fd < 0:
            raise Refused(e.EBADF)
        try:
            fd = os.dup(one.fd)
        except OSError as err:
            raise refused(err) from None
        return Opened(self._handles.add(one.twin(fd)), POSITIONED)

    def unlinkat(self, parent: int, path: str, flags: int, request: Request) -> None:
        """Remove a name; AT_REMOVEDIR removes an empty directory, and only that."""
        full = self._full(parent, path, request)
        try:
            self._names.remove(full, bool(flags & f.AT_REMOVEDIR), request.caller)
        except OSError as err:
            raise refused(err) from None

    def frename(self, handle: int, path: str, request: Request) -> None:
        """Give the file another name, in place of what had it; ESTALE if it has lost its own."""
        one, new = self._handles[handle], self._full(ROOT, path, request)
        try:
            self._names.rename(one, new, request.caller)
        except OSError as err:
            raise refused(err) from None
        self._handles.moved(one.path, new)

    def flink(self, handle: int, path: str, request: Request) -> None:
        """Give the file one more name; ESTALE if it has lost the one it was opened by."""
        one, new = self._handles[handle], self._full(ROOT, path, request)
        try:
            self._names.link(one, new, request.caller)
        except OSError as err:
            raise refused(err) from None

    def fpath(self, handle: int) -> str:
        """Return `/scheme/file/…`, by the name it was opened with or renamed to."""
        path = self._handles[handle].path.decode("utf-8", "surrogateescape")
        return f"/scheme/{self.name}/{path}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List a directory."""
        try:
            with os.scandir(self._handles[handle].fd) as found:
                return [Entry(_text(one.name), kind(one), one.inode()) for one in found]
        except OSError as err:
            raise refused(err) from None

    def on_close(self, handle: int) -> None:
        """Close the descriptor."""
        fd = self._open.pop(handle).fd
        if fd >= 0:
            os.close(fd)

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes:
        """Read from the host's file; of a link, its target."""
        one = self._open.get(handle)
        if one is None:
            raise Refused(e.EBADF)
        buffer = self._buffer
        try:
            return buffer[: os.preadv(one.fd, (buffer[:size],), offset)]
        except OSError as err:
            if not one.looks or one.fd < 0:
                raise refused(err) from None
        except OverflowError:
            raise Refused(e.EINVAL) from None
        return self._names.target(one)[offset : offset + size]

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Write to the host's file; what is written to a new link is its target."""
        one = self._open.get(handle)
        if one is None:
            raise Refused(e.EBADF)
        if request.caller.uid != self._callers.uid:
            # Not for a permission: Linux clears set-user-id unless it is root who writes.
            self._callers.become(request.caller)
        try:
            if not fcntl_flags & _PER_WRITE and not one.appending.on:
                return os.pwritev(one.fd, (data,), offset)
            appends = bool(fcntl_flags & f.O_APPEND)
            if appends and request.replayed and self._appended(one, data, offset):
                return len(data)
            one.appending.turn(one.fd, appends)
            durable = os.RWF_DSYNC if fcntl_flags & f.O_FSYNC else 0
            return os.pwritev(one.fd, (data,), offset, durable)
        except OSError as err:
            if not one.looks and one.fd >= 0:
                raise refused(err) from None
        except OverflowError:
            raise Refused(e.EINVAL) from None
        try:
            self._names.make_link(one, bytes(data), request.caller)
        except OSError as err:
            raise refused(err) from None
        return len(data)

    def _appended(self, one: Handle, data: memoryview, offset: int) -> bool:
        """Tell whether a predecessor has appended this.

        The client's kernel sent the end of the file with it.  If the file still ends there it has
        not; if our bytes stand there it has; else nobody knows.
        """
        size = _found(one).st_size
        if size == offset:
            return False
        if self._names.content(one, len(data), offset) == bytes(data):
            return True
        raise Refused(e.EIO)

    def fsync(self, handle: int, request: Request) -> None:
        """Make what was written durable, as the host's file system does."""
        try:
            os.fsync(self._handles[handle].fd)
        except OSError as err:
            raise refused(err) from None

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Set the length."""
        one = self._handles[handle]
        self._callers.become(request.caller)
        if length >= _OFFSET_END:
            raise Refused(e.EFBIG)
        try:
            os.ftruncate(one.fd, length)
        except OSError as err:
            raise refused(err) from None

    def fallocate(self, handle: int, mode: int, offset: int, length: int, request: Request) -> None:
        """Allocate, zero or punch, as far as the host's file system can."""
        one = self._handles[handle]
        self._callers.become(request.caller)
        if max(offset, length) >= _OFFSET_END:
            raise Refused(e.EFBIG)
        try:
            calls.allocate(one.fd, mode, offset, length)
        except OSError as err:
            raise refused(err) from None

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe the file as it is now."""
        one = self._handles[handle]
        return describe_link() if one.fd < 0 else describe(_found(one))

    def fstatvfs(self, handle: int) -> StatVfs:
        """Describe the host's file system."""
        try:
            return describe_volume(self._handles[handle].fd)
        except OSError as err:
            raise refused(err) from None

    def fsize(self, handle: int) -> int:
        """Return the size in bytes."""
        return self.fstat(handle).st_size

    def access(self, handle: int, wanted: int, request: Request) -> None:
        """Judge by the mode alone; an ACL counts when it comes to it."""
        if not self._callers.may(_found(self._handles[handle]), wanted, request.caller):
            raise Refused(e.EACCES)

    def fchmod(self, handle: int, mode: int, request: Request) -> None:
        """Change permission bits: the owner's and root's right."""
        one = self._handles[handle]
        self._callers.become(request.caller)
        try:
            # By /proc, as Linux changes no mode by a descriptor that only looks before 6.6.
            os.chmod(f"self/fd/{one.fd}", mode & 0o7777, dir_fd=self._callers.proc)
        except OSError as err:
            raise refused(err) from None

    def fchown(self, handle: int, uid: int, gid: int, request: Request) -> None:
        """Change owner (root's right) or group (one of the owner's own)."""
        one = self._handles[handle]
        self._callers.become(request.caller)
        try:
            calls.set_owner(one.fd, uid, gid)
        except OSError as err:
            raise refused(err) from None

    def futimens(self, handle: int, times: Iterable[TimeSpec], request: Request) -> None:
        """Set the times; Linux's UTIME_NOW and UTIME_OMIT may stand in `tv_nsec`."""
        one = self._handles[handle]
        accessed, modified = ((given.tv_sec, given.tv_nsec) for given in times)
        self._callers.become(request.caller)
        try:
            try:
                calls.set_times(one.fd, accessed, modified)
            except PermissionError:
                # The time that it is now may be set by everyone who may write.  Redox has no word
                # for it, so it comes as a number.
                if any(abs(time.time() - seconds) > _SOON for seconds, _ in (accessed, modified)):
                    raise
                calls.set_times(one.fd, calls.NOW, calls.NOW)
        except OSError as err:
            raise refused(err) from None

    # -- memory ------------------------------------------------------------------------------------

    def mmap_prep(
        self, handle: int, offset: int, size: int, flags: int, request: Request
    ) -> Mapped:
        """Hand out the host's file itself, to whoever may read it, and write it if it asks to."""
        one = self._handles[handle]
        if one.looks or not is_regular(_found(one)):
            raise Refused(e.ENODEV)
        writes = flags & f.PROT_WRITE and flags & f.MAP_SHARED
        if not one.may_read or (writes and not one.may_write) or flags & f.PROT_EXEC:
            raise Refused(e.EACCES)
        if not size or offset % mmap.PAGESIZE or offset + size > _OFFSET_END:
            raise Refused(e.EINVAL)
        return Mapped(one.fd, offset)

    def munmap(self, handle: int, offset: int, size: int, flags: int) -> None:
        """Nothing to do: the pages are the host's."""


def _found(one: Handle) -> os.stat_result:
    try:
        return os.fstat(one.fd)
    except OSError as err:
        raise refused(err) from None


def _text(name: str) -> str:
    """Return a name as schemes write it, whatever encoding Python has found for this machine."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")
