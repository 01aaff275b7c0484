"""`Fd`, a descriptor of libredox, and the same calls as functions.

```python
from redbear_host import client

with client.open("/scheme/rand") as rand:
    print(client.read(rand, 16), rand.read(16))
```

The functions take an `Fd` or a number (`Fd.into_raw`), as Redox's take; numbers never collide with
the program's own descriptors.  Errors are `OSError` with Linux's errno.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Concatenate, Final, ParamSpec, Self, TypeAlias, TypeVar

from redbear_host.abi import flags as f
from redbear_host.abi.call import MAX_METADATA, CallFlags
from redbear_host.abi.dirent import Dirent
from redbear_host.abi.stat import Stat, StatVfs
from redbear_host.client import paths
from redbear_host.client.calls import Bytes
from redbear_host.client.file import SEEK_SET, File, cannot
from redbear_host.client.ringfile import open_place
from redbear_host.client.schemelist import SchemeList

P = ParamSpec("P")
T = TypeVar("T")

GETDENTS_ROOM: Final = 16384  # bytes
F_DUPFD: Final = 0
F_GETFD: Final = 1
F_SETFD: Final = 2


class Fd:
    """A descriptor: closed at the end of a `with`, by `close`, or when it is dropped."""

    __slots__ = ("__weakref__", "_file")

    def __init__(self, file: File) -> None:
        """Own one use of `file`."""
        self._file: File | None = file

    @property
    def file(self) -> File:
        """The open file description; `OSError(EBADF)` once closed."""
        if self._file is None:
            raise cannot(errno.EBADF)
        return self._file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self.close()

    def __del__(self) -> None:
        """Close without waiting."""
        file = getattr(self, "_file", None)
        if file is not None:
            self._file = None
            file.drop()

    def close(self) -> None:
        """Close; `OSError(EBADF)` when it is closed already."""
        file = self.file
        self._file = None
        file.close()

    def into_raw(self) -> int:
        """Give this descriptor up for a number, which lives until `close(number)`.

        A Linux descriptor is reserved for it, which can do nothing but keep the number taken.
        """
        file = self.file
        number = os.open("/", os.O_PATH | os.O_CLOEXEC)
        self._file = None
        _numbers[number] = Fd(file)
        return number

    def fileno(self) -> int:
        """Return the Linux descriptor behind it; only what a scheme had from elsewhere has one."""
        return self.file.fileno()

    # -- names ------------------------------------------------------------------------------------

    def openat(self, path: str, flags: int = f.O_RDONLY, mode: int = 0) -> Fd:
        """Open below this directory."""
        if path.startswith("/"):
            return open(path, flags, mode)
        file = self.file
        if isinstance(file, SchemeList):
            return open(f"{paths.CANONICAL}/{path}", flags, mode)
        return Fd(file.openat(path, flags, mode))

    def dup(self, name: Bytes = b"") -> Fd:
        """Open by name relative to this file; without a name, another descriptor for it."""
        return Fd(self.file.dup(name))

    def dup2(self, new: Fd, name: Bytes = b"") -> Fd:
        """Do as `dup`, but let `new` be the result; what it was is closed."""
        file = self.file.dup(name)
        old, new._file = new._file, file
        if old is not None:
            old.close()
        return new

    def unlinkat(self, path: str, flags: int = 0) -> None:
        """Remove a name below this directory; AT_REMOVEDIR for a directory."""
        self.file.unlinkat(path, flags)

    def frename(self, path: str) -> None:
        """Give the file another name in its scheme."""
        self.file.frename(path)

    def flink(self, path: str) -> None:
        """Give the file one more name in its scheme."""
        self.file.flink(path)

    def fpath(self) -> str:
        """Return the canonical path."""
        return self.file.fpath()

    def getdents(self, opaque: int = 0, room: int = GETDENTS_ROOM) -> list[Dirent]:
        """List entries, as many as `room` bytes hold; go on with the last's `next_opaque_id`."""
        return self.file.getdents(room, opaque)

    # -- bytes ------------------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; empty at the end."""
        return self.file.read(size)

    def write(self, data: Bytes) -> int:
        """Write; return how many bytes were taken."""
        return self.file.write(data)

    def lseek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move the offset; return the new one."""
        return self.file.lseek(offset, whence)

    def fsync(self) -> None:
        """Make durable what was written."""
        self.file.fsync()

    fdatasync = fsync

    def ftruncate(self, length: int) -> None:
        """Set the length."""
        self.file.ftruncate(length)

    # -- facts ------------------------------------------------------------------------------------

    def fstat(self) -> Stat:
        """Describe the file."""
        return self.file.fstat()

    def fstatvfs(self) -> StatVfs:
        """Describe what the file lives on."""
        return self.file.fstatvfs()

    def fchmod(self, mode: int) -> None:
        """Change permission bits."""
        self.file.fchmod(mode)

    def fchown(self, uid: int, gid: int) -> None:
        """Change the owner; -1 leaves one as it is."""
        self.file.fchown(uid, gid)

    def futimens(self, times: tuple[int, int] | None = None) -> None:
        """Set access and modification time, in nanoseconds; None is now."""
        self.file.futimens(times)

    def fcntl(self, command: int, argument: int = 0) -> int:
        """F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_DUPFD (a number), and what a scheme knows."""
        if command == F_DUPFD:
            return self.dup().into_raw()
        if command in (F_GETFD, F_SETFD):
            return f.O_CLOEXEC if command == F_GETFD else 0  # none of ours outlives an exec
        return self.file.fcntl(command, argument)

    # -- calls and descriptors --------------------------------------------------------------------

    def call_ro(
        self, payload: bytearray | memoryview, flags: int = 0, metadata: Sequence[int] = ()
    ) -> int:
        """Redox's call that fills `payload`."""
        return self.call_rw(payload, flags, metadata)

    def call_wo(self, payload: Bytes, flags: int = 0, metadata: Sequence[int] = ()) -> int:
        """Redox's call that only reads `payload`."""
        return self._call(payload, flags, metadata)[0]

    def call_rw(
        self, payload: bytearray | memoryview, flags: int = 0, metadata: Sequence[int] = ()
    ) -> int:
        """Redox's call: `payload` goes in and is overwritten by what comes out."""
        result, payload[:] = self._call(payload, flags, metadata)
        return result

    def _call(self, payload: Bytes, flags: int, metadata: Sequence[int]) -> tuple[int, bytes]:
        std_fs = check_call(flags, metadata)
        return self.file.call(payload, len(payload), metadata, std_fs)

    def sendfd(self, fds: Sequence[int], flags: int = 0, argument: int = 0) -> int:
        """Hand duplicates of Linux descriptors to the scheme."""
        return self.file.sendfd(fds, flags, argument)

    def recvfd(self, count: int = 1, flags: int = 0, metadata: Sequence[int] = ()) -> list[int]:
        """Ask for at most `count` Linux descriptors, which are the caller's to close."""
        return self.file.recvfd(count, flags, metadata)


def check_call(flags: int, metadata: Sequence[int]) -> bool:
    """Return whether a call is one of the file calls; `OSError(EINVAL)` if it cannot be made."""
    if len(metadata) > MAX_METADATA or flags & CallFlags.FD:
        raise OSError(errno.EINVAL, "3 metadata words at most; sendfd and recvfd for descriptors")
    return bool(flags & CallFlags.STD_FS)


AnyFd: TypeAlias = Fd | int
_numbers: Final[dict[int, Fd]] = {}


def fd_of(fd: AnyFd) -> Fd:
    """Return the descriptor behind a number; `OSError(EBADF)` for one that is not ours."""
    if isinstance(fd, Fd):
        return fd
    try:
        return _numbers[fd]
    except KeyError:
        raise cannot(errno.EBADF) from None


def open(path: str, flags: int = f.O_RDONLY, mode: int = 0) -> Fd:
    """Open a path; spellings: `redbear_host.client.paths`.  `OSError(ENODEV)`: no such scheme."""
    place = paths.parse(path)
    if place.scheme:
        return Fd(open_place(place.scheme, place.path, flags, mode))
    if place.path:
        return open(f"{paths.CANONICAL}/{place.path}", flags, mode)
    return Fd(SchemeList())


def close(fd: AnyFd) -> None:
    """Close."""
    if isinstance(fd, Fd):
        fd.close()
        return
    owned = fd_of(fd)
    del _numbers[fd]
    os.close(fd)
    owned.close()


def dup2(old: AnyFd, new: AnyFd, name: Bytes = b"") -> Fd:
    """Let `new` be a duplicate of `old`."""
    return fd_of(old).dup2(fd_of(new), name)


def _by_number(method: Callable[Concatenate[Fd, P], T]) -> Callable[Concatenate[AnyFd, P], T]:
    def function(fd: AnyFd, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return method(fd_of(fd), *args, **kwargs)

    function.__name__ = function.__qualname__ = method.__name__
    function.__doc__ = method.__doc__
    return function


openat = _by_number(Fd.openat)
dup = _by_number(Fd.dup)
unlinkat = _by_number(Fd.unlinkat)
frename = _by_number(Fd.frename)
flink = _by_number(Fd.flink)
fpath = _by_number(Fd.fpath)
getdents = _by_number(Fd.getdents)
read = _by_number(Fd.read)
write = _by_number(Fd.write)
lseek = _by_number(Fd.lseek)
fsync = _by_number(Fd.fsync)
fdatasync = _by_number(Fd.fdatasync)
ftruncate = _by_number(Fd.ftruncate)
fstat = _by_number(Fd.fstat)
fstatvfs = _by_number(Fd.fstatvfs)
fchmod = _by_number(Fd.fchmod)
fchown = _by_number(Fd.fchown)
futimens = _by_number(Fd.futimens)
fcntl = _by_number(Fd.fcntl)
call_ro = _by_number(Fd.call_ro)
call_wo = _by_number(Fd.call_wo)
call_rw = _by_number(Fd.call_rw)
sendfd = _by_number(Fd.sendfd)
recvfd = _by_number(Fd.recvfd)
