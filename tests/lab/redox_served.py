"""Serves a scheme at the ring door for tests: everything that the shipped schemes do not have.

Usage: redox_served.py LISTENER_FD
"""

from __future__ import annotations

import os
import sys

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_FILE, Stat, StatVfs
from redbear_host.errors import Refused
from redbear_host.ring.door import RingDoor
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import POSITIONED, Entry, Foreign, Mapped, Opened, Scheme


class Bench(Scheme):
    """Files are byte strings; `box` keeps descriptors; `mail` is a queue; `never` never answers."""

    def __init__(self):
        self.name = "bench"
        self.handles = {}
        self.files = {"hello": bytearray(b"hello, ring")}
        self.modes = {}
        self.box = []
        self.mail = []
        self.closed = []
        self.unmapped = []
        self.cancelled = 0
        self.memory = os.memfd_create("bench")
        os.ftruncate(self.memory, 16384)
        os.pwrite(self.memory, b"mapped", 4096)
        self.next = 1

    def _new(self, path, flags=0):
        self.handles[self.next] = path
        self.next += 1
        return Opened(self.next - 1, flags)

    def openat(self, parent, path, flags, fcntl_flags, request):
        if path == "foreign":
            fd = os.memfd_create("foreign")
            os.write(fd, b"from elsewhere")
            os.lseek(fd, 0, os.SEEK_SET)
            return Foreign(fd)
        if path in ("", "box", "mail", "never", "bug") or path.startswith("dup:"):
            return self._new(path)
        if path not in self.files:
            if not flags & f.O_CREAT:
                raise Refused(e.ENOENT)
            self.files[path] = bytearray()
            self.modes[path] = flags & 0o7777
        return self._new(path, POSITIONED)

    def dup(self, handle, name, request):
        return self._new(f"dup:{self.handles[handle]}:{bytes(name).decode()}")

    def on_close(self, handle):
        self.closed.append(self.handles.pop(handle))

    def read(self, handle, size, offset, fcntl_flags, request):
        path = self.handles[handle]
        if path == "never":
            request.on_cancel = self._on_cancel
            return LATER
        if path == "mail":
            if not self.mail:
                raise Refused(e.EAGAIN if fcntl_flags & f.O_NONBLOCK else e.EWOULDBLOCK)
            return self.mail.pop(0)[:size]
        if path == "box":
            said = [*self.closed, *self.unmapped, f"cancelled {self.cancelled}"]
            return "\n".join(said).encode()[:size]
        if path.startswith("dup:"):
            return path.encode()
        return bytes(self.files[path][offset : offset + size])

    def _on_cancel(self, request):
        self.cancelled += 1
        request.refuse(e.ECANCELED)

    def write(self, handle, data, offset, fcntl_flags, request):
        path = self.handles[handle]
        if path == "bug":
            os._exit(7)
        if path == "mail":
            self.mail.append(bytes(data))
            for number, other in self.handles.items():
                if other == "mail":
                    self.post_fevent(number, f.EVENT_READ)
            return len(data)
        content = self.files[path]
        content[offset : offset + len(data)] = data
        return len(data)

    def fsize(self, handle):
        return len(self.files[self.handles[handle]])

    def fevent(self, handle, mask):
        return mask & (f.EVENT_WRITE | (f.EVENT_READ if self.mail else 0))

    def fpath(self, handle):
        return f"/scheme/bench/{self.handles[handle]}"

    def fstat(self, handle):
        path = self.handles[handle]
        size = len(self.files.get(path, b""))
        mode = self.modes.get(path, 0o644)
        return Stat(st_mode=MODE_FILE | mode, st_size=size, st_blksize=512, st_uid=7)

    def fstatvfs(self, handle):
        return StatVfs(f_bsize=512, f_blocks=9, f_bfree=8, f_bavail=7)

    def fchmod(self, handle, mode, request):
        self.modes[self.handles[handle]] = mode

    def ftruncate(self, handle, length, request):
        del self.files[self.handles[handle]][length:]

    def getdents(self, handle, request):
        return [Entry(name, f.DT_REG, n) for n, name in enumerate(sorted(self.files), 1)]

    def unlinkat(self, parent, path, flags, request):
        if self.files.pop(path, None) is None:
            raise Refused(e.ENOENT)

    def frename(self, handle, path, request):
        self.files[path] = self.files.pop(self.handles[handle])
        self.handles[handle] = path

    def call(self, handle, payload, metadata, request):
        payload[:] = bytes(payload)[::-1]
        return sum(metadata)

    def on_sendfd(self, handle, fds, flags, argument, request):
        self.box.extend(fds)
        return argument + len(fds)

    def on_recvfd(self, handle, count, flags, metadata, request):
        given, self.box[:] = self.box[:count], self.box[count:]
        return given

    def mmap_prep(self, handle, offset, size, flags, request):
        return Mapped(self.memory, offset)

    def munmap(self, handle, offset, size, flags):
        self.unmapped.append(f"unmapped {offset}+{size}")


def main() -> None:
    loop = Loop()
    RingDoor(int(sys.argv[1]), Bench(), loop).start()
    loop.run()


if __name__ == "__main__":
    main()
