"""libredox for asyncio: the calls of `redbear_host.client`, as coroutines.

```python
from redbear_host.client import aio

async with await aio.open("/scheme/rand") as rand:
    print(await rand.read(16))
```

Cancelling a task cancels its call.  What no scheme serves (a descriptor that a scheme handed out,
the list of schemes) is served by a thread, as asyncio does with files.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import reduce
from operator import or_
from typing import Any, Final, NamedTuple, Self, TypeVar

from redbear_host.abi import flags as f
from redbear_host.abi.cqe import NewFdFlags
from redbear_host.abi.dirent import Dirent
from redbear_host.abi.stat import Stat, StatVfs
from redbear_host.client import calls, paths
from redbear_host.client.aio_connection import AioConnection, connect
from redbear_host.client.calls import Answer, Bytes, Call
from redbear_host.client.connection import CALLS_AT, Lost
from redbear_host.client.fd import GETDENTS_ROOM, check_call
from redbear_host.client.file import SEEK_CUR, SEEK_END, SEEK_SET, File, cannot
from redbear_host.client.linuxfile import F_GETFL, F_SETFL, LinuxFile
from redbear_host.client.mapping import Mapping, check
from redbear_host.client.ring import PAYLOAD_MOST
from redbear_host.client.schemelist import SchemeList
from redbear_host.ring.layout import NO_OFFSET

T = TypeVar("T")

_POSITIONED: Final = int(NewFdFlags.POSITIONED)


class _Handle:
    """A scheme's handle with its offset and flags; `users` descriptors share it."""

    def __init__(self, connection: AioConnection, number: int, flags: int, new_flags: int) -> None:
        self.connection: Final = connection
        self.number: Final = number
        self.flags = flags
        self.positioned: Final = bool(new_flags & _POSITIONED)
        self.offset = 0 if self.positioned else NO_OFFSET
        self.users = 1


class Fd:
    """A descriptor; use it with `async with`, or `await close()`."""

    def __init__(self, behind: _Handle | File) -> None:
        """Own one use of what is behind it."""
        self._behind: _Handle | File | None = behind

    def _handle(self) -> _Handle:
        if not isinstance(self._behind, _Handle):
            raise cannot(errno.EBADF if self._behind is None else errno.EOPNOTSUPP)
        return self._behind

    async def _do(self, make: Callable[[int], Call[T]], local: str, *args: Any) -> T:
        """Make a call on a handle, or let a thread do method `local` of a file of Linux's."""
        behind = self._behind
        if isinstance(behind, _Handle):
            return await behind.connection.perform(make(behind.number))
        if behind is None:
            raise cannot(errno.EBADF)
        answer: T = await asyncio.to_thread(getattr(behind, local), *args)
        return answer

    def _made(self, answer: Answer, flags: int) -> Fd:
        if answer.fd >= 0:
            return Fd(LinuxFile(answer.fd))
        return Fd(_Handle(self._handle().connection, answer.handle, flags, answer.new_flags))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._behind is not None:
            await self.close()

    def __del__(self) -> None:
        """Close without waiting."""
        behind, self._behind = getattr(self, "_behind", None), None
        if isinstance(behind, _Handle):
            behind.users -= 1
            if not behind.users and not behind.connection.dead:
                behind.connection.drop(behind.number)
        elif behind is not None:
            behind.drop()

    async def close(self) -> None:
        """Close; `OSError(EBADF)` when it is closed already."""
        behind, self._behind = self._behind, None
        if behind is None:
            raise cannot(errno.EBADF)
        if not isinstance(behind, _Handle):
            behind.close()
            return
        behind.users -= 1
        if not behind.users:
            behind.connection.posts.pop(behind.number, None)
            with suppress(Lost):
                if not behind.connection.dead:
                    await behind.connection.perform(calls.close(behind.number))

    def fileno(self) -> int:
        """Return the Linux descriptor behind it; only what a scheme had from elsewhere has one."""
        if isinstance(self._behind, File):
            return self._behind.fileno()
        raise cannot(errno.EBADF)

    # -- names ------------------------------------------------------------------------------------

    async def openat(self, path: str, flags: int = f.O_RDONLY, mode: int = 0) -> Fd:
        """Open below this directory."""
        if path.startswith("/"):
            return await open(path, flags, mode)
        if isinstance(self._behind, SchemeList):
            return await open(f"{paths.CANONICAL}/{path}", flags, mode)
        handle = self._handle()
        call = calls.openat(handle.number, paths.encode(path), flags, mode)
        return self._made(await handle.connection.perform(call), flags)

    async def dup(self, name: Bytes = b"") -> Fd:
        """Open by name relative to this file; without a name, another descriptor for it."""
        if not name:
            if self._behind is None:
                raise cannot(errno.EBADF)
            self._behind.users += 1
            return Fd(self._behind)
        handle = self._handle()
        answer = await handle.connection.perform(calls.dup(handle.number, name))
        return self._made(answer, handle.flags)

    async def dup2(self, new: Fd, name: Bytes = b"") -> Fd:
        """Do as `dup`, but let `new` be the result; what it was is closed."""
        made = await self.dup(name)
        behind, made._behind = made._behind, None
        if new._behind is not None:
            await new.close()
        new._behind = behind
        return new

    async def unlinkat(self, path: str, flags: int = 0) -> None:
        """Remove a name below this directory; AT_REMOVEDIR for a directory."""
        raw = paths.encode(path)
        await self._do(lambda h: calls.unlinkat(h, raw, flags), "unlinkat", path, flags)

    async def frename(self, path: str) -> None:
        """Give the file another name in its scheme."""
        raw = self._inside(path)
        await self._do(lambda h: calls.frename(h, raw), "frename", path)

    async def flink(self, path: str) -> None:
        """Give the file one more name in its scheme."""
        raw = self._inside(path)
        await self._do(lambda h: calls.flink(h, raw), "flink", path)

    def _inside(self, path: str) -> bytes:
        place = paths.parse(path)
        if isinstance(self._behind, _Handle) and place.scheme != self._behind.connection.name:
            raise OSError(errno.EXDEV, f"not in scheme {self._behind.connection.name}", path)
        return paths.encode(place.path)

    async def fpath(self) -> str:
        """Return the canonical path."""
        return await self._do(calls.fpath, "fpath")

    async def getdents(self, opaque: int = 0, room: int = GETDENTS_ROOM) -> list[Dirent]:
        """List entries, as many as `room` bytes hold; go on with the last's `next_opaque_id`."""
        room = min(room, PAYLOAD_MOST)
        return await self._do(lambda h: calls.getdents(h, room, opaque), "getdents", room, opaque)

    # -- bytes ------------------------------------------------------------------------------------

    async def read(self, size: int) -> bytes:
        """Read at most `size` bytes; empty at the end."""
        behind, size = self._behind, min(size, PAYLOAD_MOST)
        if not isinstance(behind, _Handle):
            return await self._do(lambda h: calls.read(h, size), "read", size)
        flags = behind.flags & f.O_FCNTL_MASK
        call = calls.read(behind.number, size, behind.offset, flags)
        data = await behind.connection.perform(call)
        if behind.positioned:
            behind.offset += len(data)
        return data

    async def write(self, data: Bytes) -> int:
        """Write; return how many bytes were taken."""
        behind, data = self._behind, memoryview(data)[:PAYLOAD_MOST]
        if not isinstance(behind, _Handle):
            return await self._do(lambda h: calls.write(h, data), "write", data)
        flags = behind.flags & f.O_FCNTL_MASK
        if behind.positioned and flags & f.O_APPEND:
            behind.offset = await behind.connection.perform(calls.fsize(behind.number))
        call = calls.write(behind.number, data, behind.offset, flags)
        count = await behind.connection.perform(call)
        if behind.positioned:
            behind.offset += count
        return count

    async def lseek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move the offset; return the new one."""
        behind = self._behind
        if not isinstance(behind, _Handle):
            return await self._do(calls.fsize, "lseek", offset, whence)
        if not behind.positioned:
            raise cannot(errno.ESPIPE)
        if whence == SEEK_CUR:
            offset += behind.offset
        elif whence == SEEK_END:
            offset += await behind.connection.perform(calls.fsize(behind.number))
        elif whence != SEEK_SET:
            raise cannot(errno.EINVAL)
        if offset < 0:
            raise cannot(errno.EINVAL)
        behind.offset = offset
        return offset

    async def fsync(self) -> None:
        """Make durable what was written."""
        await self._do(calls.fsync, "fsync")

    fdatasync = fsync

    async def ftruncate(self, length: int) -> None:
        """Set the length."""
        await self._do(lambda h: calls.ftruncate(h, length), "ftruncate", length)

    # -- facts ------------------------------------------------------------------------------------

    async def fstat(self) -> Stat:
        """Describe the file."""
        return await self._do(calls.fstat, "fstat")

    async def fstatvfs(self) -> StatVfs:
        """Describe what the file lives on."""
        return await self._do(calls.fstatvfs, "fstatvfs")

    async def fchmod(self, mode: int) -> None:
        """Change permission bits."""
        await self._do(lambda h: calls.fchmod(h, mode), "fchmod", mode)

    async def fchown(self, uid: int, gid: int) -> None:
        """Change the owner; -1 leaves one as it is."""
        await self._do(lambda h: calls.fchown(h, uid, gid), "fchown", uid, gid)

    async def futimens(self, times: tuple[int, int] | None = None) -> None:
        """Set access and modification time, in nanoseconds; None is now."""
        await self._do(lambda h: calls.futimens(h, times), "futimens", times)

    async def fcntl(self, command: int, argument: int = 0) -> int:
        """F_GETFL, F_SETFL, and what a scheme knows."""
        behind = self._behind
        if not isinstance(behind, _Handle) or command not in (F_GETFL, F_SETFL):
            return await self._do(
                lambda h: calls.fcntl(h, command, argument), "fcntl", command, argument
            )
        if command == F_GETFL:
            return behind.flags
        try:
            await behind.connection.perform(calls.fcntl(behind.number, command, argument))
        except OSError as err:
            if err.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        behind.flags = behind.flags & ~f.O_FCNTL_MASK | argument & f.O_FCNTL_MASK
        return 0

    # -- calls, descriptors, memory ---------------------------------------------------------------

    async def call_rw(
        self, payload: bytearray | memoryview, flags: int = 0, metadata: Sequence[int] = ()
    ) -> int:
        """Make Redox's call: `payload` goes in and is overwritten by what comes out."""
        result, payload[:] = await self._call(payload, flags, metadata)
        return result

    call_ro = call_rw

    async def call_wo(self, payload: Bytes, flags: int = 0, metadata: Sequence[int] = ()) -> int:
        """Make Redox's call that only reads `payload`."""
        return (await self._call(payload, flags, metadata))[0]

    async def _call(self, payload: Bytes, flags: int, metadata: Sequence[int]) -> tuple[int, bytes]:
        std_fs = check_call(flags, metadata)
        handle = self._handle()
        call = calls.call(handle.number, payload, len(payload), metadata, std_fs)
        return await handle.connection.perform(call)

    async def sendfd(self, fds: Sequence[int], flags: int = 0, argument: int = 0) -> int:
        """Hand duplicates of Linux descriptors to the scheme."""
        handle = self._handle()
        call = calls.sendfd(handle.number, fds, flags, argument)
        return await handle.connection.perform(call)

    async def recvfd(
        self, count: int = 1, flags: int = 0, metadata: Sequence[int] = ()
    ) -> list[int]:
        """Ask for at most `count` Linux descriptors, which are the caller's to close."""
        handle = self._handle()
        return await handle.connection.perform(calls.recvfd(handle.number, count, flags, metadata))

    async def fmap(
        self,
        length: int,
        flags: int = f.PROT_READ | f.PROT_WRITE | f.MAP_SHARED,
        offset: int = 0,
    ) -> Mapping:
        """Map `length` bytes from `offset`; `await funmap(mapping)` ends it."""
        check(length, flags)
        handle = self._handle()
        given, at = await handle.connection.perform(
            calls.mmap_prep(handle.number, length, flags, offset)
        )
        if given < 0:
            raise OSError(errno.EPROTO, "the scheme sent nothing to map")
        mapping = Mapping(given, at, length, flags)
        call = calls.munmap(handle.number, length, 0, offset)
        mapping.tell = lambda: handle.connection.perform(call)
        return mapping


async def funmap(mapping: Mapping) -> None:
    """Unmap, and tell the scheme."""
    mapping.unmap()
    tell, mapping.tell = mapping.tell, None
    if tell is not None:
        with suppress(OSError):  # one that has died need not know, and one may not care
            await tell()


async def open(path: str, flags: int = f.O_RDONLY, mode: int = 0) -> Fd:
    """Open a path; spellings: `redbear_host.client.paths`.  `OSError(ENODEV)`: no such scheme."""
    place = paths.parse(path)
    if not place.scheme:
        if place.path:
            return await open(f"{paths.CANONICAL}/{place.path}", flags, mode)
        return Fd(SchemeList())
    call = calls.openat(0, paths.encode(place.path), flags, mode)
    for left in reversed(range(CALLS_AT)):
        connection = await connect(place.scheme)
        try:
            answer = await connection.perform(call)
        except Lost as err:
            if not (err.untaken and left):
                raise  # it may have been done: whoever asked must decide
            continue
        if answer.fd >= 0:
            return Fd(LinuxFile(answer.fd))
        return Fd(_Handle(connection, answer.handle, flags, answer.new_flags))
    raise cannot(errno.EIO)  # not reached: the last turn raises


class EventQueue:
    """Waits for events of many handles; edges, as those of `redbear_host.client.EventQueue`.

    For handles of schemes: a Linux descriptor goes to asyncio's `add_reader`.
    """

    def __init__(self) -> None:
        self._posts: Final[dict[Fd, tuple[_Handle, Callable[[int], None]]]] = {}
        self._ready: Final[dict[Fd, Event]] = {}
        self._some: Final = asyncio.Event()

    async def subscribe(self, fd: Fd, flags: int, user_data: Any = None) -> None:
        """Ask for EVENT_READ, EVENT_WRITE or both of `fd`; replaces an earlier subscription."""
        handle = fd._handle()
        if fd in self._posts:
            await self.unsubscribe(fd)

        def post(happened: int) -> None:
            before = self._ready.get(fd)
            happened |= before.flags if before else 0
            self._ready[fd] = Event(fd, happened, user_data)
            self._some.set()

        self._posts[fd] = handle, post
        posts = handle.connection.posts.setdefault(handle.number, [])
        posts.append((flags, post))
        wanted = reduce(or_, (mask for mask, _ in posts))
        ready = await handle.connection.perform(calls.fevent(handle.number, wanted))
        if ready & flags:
            post(ready & flags)

    async def unsubscribe(self, fd: Fd) -> None:
        """End a subscription; `OSError(ENOENT)` when there is none."""
        if fd not in self._posts:
            raise cannot(errno.ENOENT)
        handle, post = self._posts.pop(fd)
        self._ready.pop(fd, None)
        posts = handle.connection.posts.get(handle.number, [])
        posts[:] = [entry for entry in posts if entry[1] is not post]
        wanted = reduce(or_, (mask for mask, _ in posts), 0)
        with suppress(OSError):  # the handle may be closed already
            await handle.connection.perform(calls.fevent(handle.number, wanted))

    async def next_event(self) -> Event:
        """Wait for the next event."""
        while not self._ready:
            self._some.clear()
            await self._some.wait()
        return self._ready.pop(next(iter(self._ready)))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self.next_event()


class Event(NamedTuple):
    """Which descriptor, what is true, and what was said of it at `subscribe`."""

    fd: Fd
    flags: int
    user_data: Any
