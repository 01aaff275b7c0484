"""A scheme's handle, with what Redox's kernel keeps beside it: offset and flags."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from redbear_host.abi import flags as f
from redbear_host.abi.cqe import NewFdFlags
from redbear_host.abi.dirent import Dirent
from redbear_host.abi.stat import Stat, StatVfs
from redbear_host.client import calls, paths
from redbear_host.client.calls import Answer, Bytes
from redbear_host.client.connection import CALLS_AT, Connection, Lost, connect
from redbear_host.client.file import SEEK_CUR, SEEK_END, SEEK_SET, File, cannot
from redbear_host.client.linuxfile import F_GETFL, F_SETFL, LinuxFile
from redbear_host.client.ring import PAYLOAD_MOST
from redbear_host.ring.layout import NO_OFFSET

_POSITIONED: Final = int(NewFdFlags.POSITIONED)
ROOT: Final = 0


class RingFile(File):
    """One handle of one connection."""

    def __init__(self, connection: Connection, handle: int, flags: int, new_flags: int) -> None:
        self.connection: Final = connection
        self.handle: Final = handle
        self.flags = flags
        self.positioned: Final = bool(new_flags & _POSITIONED)
        self.offset = 0 if self.positioned else NO_OFFSET
        self._perform: Final = connection.perform

    def _made(self, answer: Answer, flags: int) -> File:
        if answer.fd >= 0:
            return LinuxFile(answer.fd)
        return RingFile(self.connection, answer.handle, flags, answer.new_flags)

    def end(self) -> None:
        """Close and hear of it; a daemon that has died has closed it already."""
        if self.handle == ROOT:
            return
        self.connection.forget_events(self.handle)
        with suppress(Lost):
            if not self.connection.dead:
                self._perform(calls.close(self.handle))

    def abandon(self) -> None:
        """Close without waiting."""
        if self.handle != ROOT and not self.connection.dead:
            self.connection.forget_events(self.handle)
            self.connection.drop(self.handle)

    def openat(self, path: str, flags: int, mode: int) -> File:
        """Open below this directory; an absolute path starts where such paths start."""
        raw = paths.encode(path)
        return self._made(self._perform(calls.openat(self.handle, raw, flags, mode)), flags)

    def dup(self, name: Bytes) -> File:
        """Open by name; the scheme hears only of a name that is not empty."""
        if not name:
            return super().dup(name)
        return self._made(self._perform(calls.dup(self.handle, name)), self.flags)

    def read(self, size: int) -> bytes:
        """Read; of a large `size` as much as one call carries."""
        if size > PAYLOAD_MOST:
            size = PAYLOAD_MOST
        call = calls.read(self.handle, size, self.offset, self.flags & f.O_FCNTL_MASK)
        data = self._perform(call)
        if self.positioned:
            self.offset += len(data)
        return data

    def write(self, data: Bytes) -> int:
        """Write; of long `data` as much as one call carries."""
        if len(data) > PAYLOAD_MOST:
            data = memoryview(data)[:PAYLOAD_MOST]
        flags = self.flags & f.O_FCNTL_MASK
        if self.positioned and flags & f.O_APPEND:
            self.offset = self._perform(calls.fsize(self.handle))
        count = self._perform(calls.write(self.handle, data, self.offset, flags))
        if self.positioned:
            self.offset += count
        return count

    def lseek(self, offset: int, whence: int) -> int:
        """Move the offset, which is kept here; a stream has none."""
        if not self.positioned:
            raise cannot(errno.ESPIPE)
        if whence == SEEK_CUR:
            offset += self.offset
        elif whence == SEEK_END:
            offset += self._perform(calls.fsize(self.handle))
        elif whence != SEEK_SET:
            raise cannot(errno.EINVAL)
        if offset < 0:
            raise cannot(errno.EINVAL)
        self.offset = offset
        return offset

    def fchmod(self, mode: int) -> None:
        """Change permission bits."""
        self._perform(calls.fchmod(self.handle, mode))

    def fchown(self, uid: int, gid: int) -> None:
        """Change the owner."""
        self._perform(calls.fchown(self.handle, uid, gid))

    def getdents(self, room: int, opaque: int) -> list[Dirent]:
        """List entries."""
        return self._perform(calls.getdents(self.handle, min(room, PAYLOAD_MOST), opaque))

    def fstat(self) -> Stat:
        """Describe the file."""
        return self._perform(calls.fstat(self.handle))

    def fstatvfs(self) -> StatVfs:
        """Describe what it lives on."""
        return self._perform(calls.fstatvfs(self.handle))

    def fsync(self) -> None:
        """Make durable."""
        self._perform(calls.fsync(self.handle))

    def ftruncate(self, length: int) -> None:
        """Set the length."""
        self._perform(calls.ftruncate(self.handle, length))

    def futimens(self, times: tuple[int, int] | None) -> None:
        """Set times, in nanoseconds."""
        self._perform(calls.futimens(self.handle, times))

    def fpath(self) -> str:
        """Return the canonical path."""
        return self._perform(calls.fpath(self.handle))

    def fcntl(self, command: int, argument: int) -> int:
        """Ask the scheme first, then keep the flags here, as Redox's kernel does."""
        if command == F_GETFL:
            return self.flags
        if command not in (F_SETFL,):
            return self._perform(calls.fcntl(self.handle, command, argument))
        try:
            self._perform(calls.fcntl(self.handle, command, argument))
        except OSError as err:
            if err.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        self.flags = self.flags & ~f.O_FCNTL_MASK | argument & f.O_FCNTL_MASK
        return 0

    def unlinkat(self, path: str, flags: int) -> None:
        """Remove a name below this directory."""
        self._perform(calls.unlinkat(self.handle, paths.encode(path), flags))

    def frename(self, path: str) -> None:
        """Give another name in the same scheme: EXDEV for one elsewhere."""
        self._perform(calls.frename(self.handle, self._inside(path)))

    def flink(self, path: str) -> None:
        """Give one more name in the same scheme: EXDEV for one elsewhere."""
        self._perform(calls.flink(self.handle, self._inside(path)))

    def _inside(self, path: str) -> bytes:
        place = paths.parse(path)
        if place.scheme != self.connection.name:
            raise OSError(errno.EXDEV, f"not in scheme {self.connection.name}", path)
        return paths.encode(place.path)

    def call(
        self, payload: Bytes, room: int, metadata: Sequence[int], std_fs: bool
    ) -> tuple[int, bytes]:
        """Make Redox's call; the payload as it is afterwards comes back."""
        return self._perform(calls.call(self.handle, payload, room, metadata, std_fs))

    def sendfd(self, fds: Sequence[int], flags: int, argument: int) -> int:
        """Hand duplicates of Linux descriptors to the scheme."""
        return self._perform(calls.sendfd(self.handle, fds, flags, argument))

    def recvfd(self, count: int, flags: int, metadata: Sequence[int]) -> list[int]:
        """Ask for Linux descriptors, which are the caller's to close."""
        return self._perform(calls.recvfd(self.handle, count, flags, metadata))

    def mmap_prep(self, length: int, flags: int, offset: int) -> tuple[int, int]:
        """Ask for a descriptor to map, and the offset in it."""
        return self._perform(calls.mmap_prep(self.handle, length, flags, offset))

    def munmap(self, length: int, flags: int, offset: int) -> None:
        """Tell the scheme; one that has died need not know, and one may not care."""
        with suppress(OSError):
            self._perform(calls.munmap(self.handle, length, flags, offset))


def open_place(scheme: str, path: str, flags: int, mode: int) -> File:
    """Open a path of a scheme, on a connection of this process."""
    raw = paths.encode(path)
    for left in reversed(range(CALLS_AT)):
        connection = connect(scheme)
        root = RingFile(connection, ROOT, flags, 0)
        try:
            return root._made(connection.perform(calls.openat(ROOT, raw, flags, mode)), flags)
        except Lost as err:
            if not (err.untaken and left):
                raise  # it may have been done: whoever asked must decide
    raise cannot(errno.EIO)  # not reached: the last turn raises
