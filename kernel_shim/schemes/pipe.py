"""The scheme `pipe`: one-way streams of bytes and descriptors between two handles.

On Redox, and at the ring door: opening "" gives the read end of a new pipe, `dup` with "write" its
write end, once.

For Linux programs a pipe has a name for as long as one of its ends is open:

```
/scheme/pipe/NAME       opened for reading: the read end      for writing: the write end
```

A name belongs to the user who opened it first, and to root.  A pipe lives once: an end that is
open, or was, cannot be had again (EBADF) until the other end is closed too and the name is free.
Whoever comes first waits for the other end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Final

from kernel_shim.schemes.handles import Handles
from kernel_shim.schemes.kernel import Kernel
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FIFO, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import Entry, Opened, Scheme

SIZE: Final = 65_536  # bytes a pipe holds (Redox's MAX_QUEUE_SIZE)
ENDS_MOST: Final = 1024  # of one user, but root: 64 MiB
FDS_MOST: Final = 253  # descriptors a pipe holds: as many as a message of Linux carries
FDS_OF_A_USER: Final = 2048  # descriptors in the pipes of one user, but root


class Pipe:
    """What is between the two ends; an end is a handle, -1 before it was opened and 0 after."""

    __slots__ = ("data", "fds", "name", "owner", "reader", "writer")

    def __init__(self, name: str, owner: int) -> None:
        self.name: Final = name
        self.owner: Final = owner  # the user who opened its first end
        self.data: Final = bytearray()
        self.fds: Final[list[int]] = []
        self.reader = -1
        self.writer = -1


class _Look:
    """A handle for looking only, or the directory."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name: Final = name


class PipeScheme(Scheme):
    """See the module."""

    name = "pipe"

    def __init__(self) -> None:
        self._handles: Final[Handles[Pipe | _Look]] = Handles(ENDS_MOST)
        self._named: Final[dict[str, Pipe]] = {}
        self._fds: Final[Counter[int]] = Counter()  # in pipes, by owner

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open an end of a named pipe, the read end of one without a name, or the directory."""
        name = path.strip("/")
        above = self._handles[parent] if parent else None
        if isinstance(above, Pipe):
            return self._second_end(above, name.encode("utf-8", "surrogateescape"), request)
        if "/" in name:
            raise Refused(e.ENOENT)
        access = flags & f.O_ACCMODE
        if flags & f.O_STAT or (not name and flags & f.O_DIRECTORY):
            return Opened(self._handles.add(_Look(name), request.caller))
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if access == f.O_RDWR and name:
            raise Refused(e.EINVAL, "a pipe has two ends, and each is opened by itself")
        uid = request.caller.uid
        pipe = self._named.get(name) or Pipe(name, uid)
        if uid not in (0, pipe.owner):
            raise Refused(e.EACCES, "the pipe is another user's")
        opened = self._end(pipe, access == f.O_WRONLY and bool(name), request)
        if name:
            self._named[name] = pipe
        return opened

    def dup(self, handle: int, name: bytes | bytearray | memoryview, request: Request) -> Opened:
        """Open the write end of the pipe whose read end is `handle`."""
        above = self._handles[handle]
        if not isinstance(above, Pipe):
            raise Refused(e.EBADF)
        return self._second_end(above, bytes(name), request)

    def _second_end(self, pipe: Pipe, name: bytes, request: Request) -> Opened:
        if name != b"write":
            raise Refused(e.EINVAL)
        return self._end(pipe, True, request)

    def _end(self, pipe: Pipe, write: bool, request: Request) -> Opened:
        if (pipe.writer if write else pipe.reader) != -1:
            raise Refused(e.EBADF, "that end of the pipe was opened before")
        handle = self._handles.add(pipe, request.caller)
        if write:
            pipe.writer = handle
        else:
            pipe.reader = handle
        return Opened(handle)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/pipe/NAME`."""
        return f"/scheme/{self.name}/{self._handles[handle].name}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the pipes that have a name."""
        opened = self._handles[handle]
        if isinstance(opened, Pipe) or opened.name:
            raise Refused(e.ENOTDIR)
        return [Entry(name, f.DT_REG) for name in sorted(self._named)]

    def on_close(self, handle: int) -> None:
        """Close an end; the other one hears of it."""
        pipe = self._handles.remove(handle)
        if not isinstance(pipe, Pipe):
            return
        if pipe.writer == handle:
            pipe.writer = 0
            self._tell(pipe.reader, f.EVENT_READ)
        else:
            pipe.reader = 0
            pipe.data.clear()
            self._tell(pipe.writer, f.EVENT_WRITE)
        if pipe.reader < 1 and pipe.writer < 1:
            self._named.pop(pipe.name, None)
        if pipe.reader == 0 or (pipe.reader < 1 and pipe.writer < 1):
            self._count(pipe, -len(pipe.fds))
            for fd in pipe.fds:
                os.close(fd)
            pipe.fds.clear()

    def _tell(self, handle: int, flags: int) -> None:
        if handle > 0:
            self.post_fevent(handle, flags)

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Take what is there, at most `size` bytes; empty once the writer has gone."""
        pipe = self._pipe(handle)
        if pipe.reader != handle:
            raise Refused(e.EBADF)
        if not pipe.data:
            if pipe.writer == 0 or not size:
                return b""
            raise Refused(e.EWOULDBLOCK)
        taken = bytes(memoryview(pipe.data)[:size])
        del pipe.data[:size]
        self._tell(pipe.writer, f.EVENT_WRITE)
        return taken

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Take as much as there is room for; EPIPE once the reader has gone."""
        pipe = self._pipe(handle)
        if pipe.writer != handle:
            raise Refused(e.EBADF)
        if pipe.reader == 0:
            raise Refused(e.EPIPE)
        room = SIZE - len(pipe.data)
        if not room and data:
            raise Refused(e.EWOULDBLOCK)
        pipe.data.extend(data[:room])
        self._tell(pipe.reader, f.EVENT_READ)
        return min(len(data), room)

    def _pipe(self, handle: int) -> Pipe:
        pipe = self._handles[handle]
        if not isinstance(pipe, Pipe):
            raise Refused(e.EBADF if pipe.name else e.EISDIR)
        return pipe

    # -- descriptors -------------------------------------------------------------------------------

    def on_sendfd(
        self, handle: int, fds: Sequence[int], flags: int, argument: int, request: Request
    ) -> int:
        """Put descriptors into the pipe beside its bytes; all or none."""
        pipe = self._pipe(handle)
        if pipe.writer != handle:
            raise Refused(e.EBADF)
        if pipe.reader == 0:
            raise Refused(e.EPIPE)
        if len(pipe.fds) + len(fds) > FDS_MOST:
            raise Refused(e.EWOULDBLOCK if pipe.fds else e.EINVAL)
        if pipe.owner and self._fds[pipe.owner] + len(fds) > FDS_OF_A_USER:
            raise Refused(e.ENFILE)
        self._count(pipe, len(fds))
        pipe.fds.extend(fds)
        self._tell(pipe.reader, f.EVENT_READ)
        return len(fds)

    def on_recvfd(
        self, handle: int, count: int, flags: int, metadata: Sequence[int], request: Request
    ) -> Sequence[int]:
        """Take at most `count` descriptors out; none once the writer has gone."""
        pipe = self._pipe(handle)
        if pipe.reader != handle:
            raise Refused(e.EBADF)
        if not pipe.fds and pipe.writer != 0:
            raise Refused(e.EWOULDBLOCK)
        taken = pipe.fds[:count]
        self._count(pipe, -len(taken))
        del pipe.fds[:count]
        self._tell(pipe.writer, f.EVENT_WRITE)
        return taken

    def _count(self, pipe: Pipe, more: int) -> None:
        self._fds[pipe.owner] += more
        if not self._fds[pipe.owner]:
            del self._fds[pipe.owner]

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a pipe or the directory."""
        opened = self._handles[handle]
        if isinstance(opened, _Look) and not opened.name:
            return Stat(st_mode=MODE_DIR | 0o777, st_nlink=2, st_blksize=4096)
        return Stat(st_mode=MODE_FIFO | 0o666, st_nlink=1, st_blksize=4096)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Do nothing: `… > /scheme/pipe/NAME` asks for it."""
        self._handles[handle]

    def fevent(self, handle: int, mask: int) -> int:
        """Say whether the reader has bytes or their end, the writer room or nobody to write to."""
        pipe = self._handles[handle]
        if not isinstance(pipe, Pipe):
            return mask
        if pipe.reader == handle:
            ready = bool(pipe.data or pipe.fds or pipe.writer == 0)
            return mask & f.EVENT_READ if ready else 0
        ready = len(pipe.data) < SIZE or pipe.reader == 0
        return mask & f.EVENT_WRITE if ready else 0


def build(kernel: Kernel) -> PipeScheme:
    """Make the scheme."""
    return PipeScheme()
