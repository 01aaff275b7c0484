"""A scheme for tests of the ring door: a little of everything, and it counts what it is told."""

from __future__ import annotations

import os

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_FILE, Stat, StatVfs
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import POSITIONED, Entry, Foreign, Mapped, Opened, Scheme


class Toy(Scheme):
    """Files by name: `file` has bytes, `queue` is a stream, `later` answers when told to, `dir` has
    entries, `foreign` is a pipe of Linux's, `fds` keeps descriptors, `map` can be mapped, `again`
    says EAGAIN, `bug` has one.
    """

    name = "toy"

    def __init__(self) -> None:
        self.open: dict[int, str] = {}
        self.next = 1
        self.data = bytearray(b"what is in the file")
        self.queue: list[bytes] = []
        self.kept: list = []
        self.fds: list[int] = []
        self.log: list[tuple] = []
        self.entries = [Entry(f"entry{number}", f.DT_REG, number) for number in range(10)]
        self.memory = os.memfd_create("toy")
        os.ftruncate(self.memory, 8192)
        self.callers: list = []

    def shut(self) -> None:
        os.close(self.memory)
        for fd in self.fds:
            os.close(fd)

    def _new(self, name: str, flags: int = 0) -> Opened:
        number = self.next
        self.next += 1
        self.open[number] = name
        return Opened(number, flags)

    def openat(self, parent, path, flags, fcntl_flags, request):
        self.log.append(("openat", parent, path, flags, fcntl_flags))
        self.callers.append(request.caller)
        if path == "foreign":
            reader, writer = os.pipe()
            os.write(writer, b"through a pipe")
            os.close(writer)
            return Foreign(reader)
        if path == "late":
            self.kept.append(request)
            return LATER
        if path.rpartition("/")[2] not in (
            *("", "file", "queue", "later", "dir", "fds", "map", "again", "bug", "intr", "now"),
        ):
            raise Refused(e.ENOENT)
        return self._new(path, POSITIONED if path == "file" else 0)

    def dup(self, handle, name, request):
        below = bytes(name[:8]).decode(errors="replace")
        return self._new(f"{self.open[handle][:8]}+{below}")

    def on_close(self, handle):
        self.log.append(("on_close", handle))
        del self.open[handle]

    def unlinkat(self, parent, path, flags, request):
        self.log.append(("unlinkat", parent, path, flags))

    def frename(self, handle, path, request):
        self.log.append(("frename", self.open[handle], path))

    def flink(self, handle, path, request):
        self.log.append(("flink", self.open[handle], path))

    def fpath(self, handle):
        return f"/scheme/toy/{self.open[handle]}"

    def getdents(self, handle, request):
        if self.open[handle] != "dir":
            raise Refused(e.ENOTDIR)
        return self.entries

    def read(self, handle, size, offset, fcntl_flags, request):
        kind = self.open[handle]
        if kind == "file":
            return self.data[offset : offset + size]
        if kind == "queue":
            if not self.queue:
                raise Refused(e.EWOULDBLOCK)
            return self.queue.pop(0)[:size]
        if kind == "later":
            self.kept.append(request)
            request.on_cancel = lambda r: self.log.append(("cancel", self.kept.index(r)))
            return LATER
        if kind == "now":
            request.answer(b"answered already")
            return LATER
        if kind == "again":
            raise Refused(e.EAGAIN)
        if kind == "intr":
            raise Refused(e.EINTR)
        if kind == "bug":
            raise ZeroDivisionError("a bug")
        raise Refused(e.EBADF)

    def write(self, handle, data, offset, fcntl_flags, request):
        kind = self.open[handle]
        if kind == "file":
            self.data[offset : offset + len(data)] = data
            return len(data)
        if kind == "queue":
            self.queue.append(bytes(data))
            for number, name in self.open.items():
                if name == "queue":
                    self.post_fevent(number, f.EVENT_READ)
            return len(data)
        if kind == "later":
            self.kept.append((request, data))
            return LATER
        raise Refused(e.EBADF)

    def fsync(self, handle, request):
        self.log.append(("fsync", self.open[handle]))

    def ftruncate(self, handle, length, request):
        self.log.append(("ftruncate", length))

    def fstat(self, handle):
        return Stat(st_mode=MODE_FILE | 0o640, st_size=len(self.data), st_ino=handle)

    def fstatvfs(self, handle):
        return StatVfs(f_bsize=512, f_blocks=3, f_bfree=2, f_bavail=1)

    def fsize(self, handle):
        return len(self.data)

    def fchmod(self, handle, mode, request):
        self.log.append(("fchmod", mode))

    def fchown(self, handle, uid, gid, request):
        self.log.append(("fchown", uid, gid))

    def futimens(self, handle, times, request):
        self.log.append(("futimens", [(time.tv_sec, time.tv_nsec) for time in times]))

    def fcntl(self, handle, command, argument, request):
        return command + argument

    def fevent(self, handle, mask):
        ready = f.EVENT_WRITE | (f.EVENT_READ if self.queue else 0)
        return ready & mask

    def call(self, handle, payload, metadata, request):
        self.log.append(("call", bytes(payload), tuple(metadata)))
        payload[:] = bytes(payload)[::-1]
        return len(payload) + sum(metadata)

    def on_sendfd(self, handle, fds, flags, argument, request):
        if argument == 13:
            raise Refused(e.EPERM)
        self.log.append(("sendfd", len(fds), flags, argument))
        self.fds += fds
        return len(fds)

    def on_recvfd(self, handle, count, flags, metadata, request):
        self.log.append(("recvfd", count, flags, tuple(metadata)))
        found, self.fds = self.fds[:count], self.fds[count:]
        return found

    def mmap_prep(self, handle, offset, size, flags, request):
        if self.open[handle] != "map":
            raise Refused(e.EOPNOTSUPP)
        return Mapped(self.memory, offset)

    def munmap(self, handle, offset, size, flags):
        self.log.append(("munmap", offset, size, flags))
