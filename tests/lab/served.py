"""A small program that serves test schemes over a connection it is handed.

Usage: served.py SCHEME CONNECTION_FD JOURNAL_FD [ARGUMENT]
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from folder_scheme import Folder

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, MODE_FILE, Stat, StatVfs
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import POSITIONED, Entry, Opened, Scheme
from schemefs import protocol as p
from schemefs.connection import Connection
from schemefs.door import Door
from schemefs.journal import Journal


class Zero(Scheme):
    """A file as root: reads as zeros."""

    root_is_file = True
    reopens = True

    def openat(self, parent, path, flags, fcntl_flags, request):
        if path:
            raise Refused(e.ENOENT)
        return Opened(1)

    def fstat(self, handle):
        return Stat(st_mode=MODE_CHR | 0o666, st_blksize=4096)

    def read(self, handle, size, offset, fcntl_flags, request):
        return bytes(size)

    def write(self, handle, data, offset, fcntl_flags, request):
        return len(data)


class Store(Scheme):
    """Files kept in one backing file per name in a folder; idempotent, so it replays.

    A write to the file `die` kills the daemon: `before` its work, `after` it (both once), or
    `always`.
    """

    replays = True
    reopens = True

    def __init__(self, folder):
        self.folder = folder
        self.files = {}
        self.next = 1

    def openat(self, parent, path, flags, fcntl_flags, request):
        if "/" in path:
            raise Refused(e.ENOENT)
        full = os.path.join(self.folder, path)
        if path and not os.path.exists(full):
            raise Refused(e.ENOENT)
        if path and flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        number = self.next
        self.next += 1
        self.files[number] = (path, None if not path else os.open(full, os.O_RDWR))
        return Opened(number, POSITIONED)

    def on_close(self, handle):
        fd = self.files.pop(handle)[1]
        if fd is not None:
            os.close(fd)

    def fstat(self, handle):
        fd = self.files[handle][1]
        if fd is None:
            return Stat(st_mode=MODE_DIR | 0o755)
        size = os.fstat(fd).st_size
        return Stat(st_mode=MODE_FILE | 0o600, st_size=size, st_blksize=512, st_blocks=size // 512)

    def fstatvfs(self, handle):
        return StatVfs(f_bsize=512, f_blocks=100, f_bfree=50, f_bavail=40)

    def fsize(self, handle):
        return os.fstat(self.files[handle][1]).st_size

    def ftruncate(self, handle, length, request):
        os.ftruncate(self.files[handle][1], length)

    def fchmod(self, handle, mode, request):
        pass

    def getdents(self, handle, request):
        return [Entry(name, f.DT_REG) for name in sorted(os.listdir(self.folder))]

    def read(self, handle, size, offset, fcntl_flags, request):
        return os.pread(self.files[handle][1], size, offset)

    def write(self, handle, data, offset, fcntl_flags, request):
        path, fd = self.files[handle]
        when = bytes(data[:6]) if path == "die" else b""
        first = not os.path.exists(self.folder + ".died")
        if (when == b"before" and first) or when == b"always":
            self.die()
        count = os.pwrite(fd, data, offset)
        if when == b"after " and first:
            self.die()
        return count

    def die(self):
        with open(self.folder + ".died", "a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)

    def fallocate(self, handle, mode, offset, length, request):
        os.pwrite(self.files[handle][1], bytes(length), offset)

    def ioctl(self, handle, command, data, out_size, request):
        if command & 0xFF != 7:
            raise Refused(e.ENOTTY)
        return data[::-1][:out_size]


class Late(Store):
    """A store whose first life never ends a write, and whose later ones take their time for it.

    A write of `torn` in the first life is done and answered, and the daemon dies before it can note
    that it was.
    """

    def write(self, handle, data, offset, fcntl_flags, request):
        if self.life > 1:
            # A device need not end its commands in the order it got them.
            due = self.loop.now() + (0.2 if data[:4] == b"torn" else 0.02)
            self.loop.at(due, lambda: self.end(handle, data, offset, request))
        elif data[:4] == b"torn":
            os.pwrite(self.files[handle][1], data, offset)
            reply = p.WRITE_OUT.pack(24, 0, request.unique, len(data), 0)
            os.write(request.connection.fd, reply)
            self.die()
        return LATER

    def end(self, handle, data, offset, request):
        request.answer(os.pwrite(self.files[handle][1], data, offset))


class Channel(Scheme):
    """What one handle writes, readers of the same name get; empty reads wait."""

    def __init__(self, _):
        self.queues = {}
        self.names = {}
        self.next = 1

    def openat(self, parent, path, flags, fcntl_flags, request):
        number = self.next
        self.next += 1
        self.names[number] = path
        return Opened(number)

    def on_close(self, handle):
        del self.names[handle]

    def fstat(self, handle):
        kind = MODE_FILE if self.names[handle] else MODE_DIR
        return Stat(st_mode=kind | 0o666)

    def read(self, handle, size, offset, fcntl_flags, request):
        queue = self.queues.get(self.names[handle])
        if self.names[handle] == "later":
            request.on_cancel = lambda r: r.refuse(e.ECANCELED)
            return LATER
        if not queue:
            raise Refused(e.EWOULDBLOCK)
        return queue.pop(0)[:size]

    def write(self, handle, data, offset, fcntl_flags, request):
        name = self.names[handle]
        if name == "bug":
            raise ZeroDivisionError("a bug in a scheme")
        if name == "slow":
            time.sleep(0.05)
        self.queues.setdefault(name, []).append(bytes(data))
        for number, other in self.names.items():
            if other == name:
                self.post_fevent(number, f.EVENT_READ)
        return len(data)

    def fevent(self, handle, mask):
        ready = f.EVENT_WRITE | (f.EVENT_READ if self.queues.get(self.names[handle]) else 0)
        return ready & mask


def main() -> None:
    kind, connection, journal, *rest = sys.argv[1:]
    kinds = {"zero": lambda _: Zero(), "store": Store, "late": Late, "channel": Channel,
             "folder": Folder}  # fmt: skip
    scheme = kinds[kind](rest[0] if rest else None)
    scheme.loop = loop = Loop()
    book = Journal.open(int(journal))
    scheme.life = book.begin_life()
    crashed = scheme.life > 1
    door = Door(Connection(int(connection), book, loop, scheme.replays, crashed), scheme, loop)
    forget = [sys.executable, "-I", "-m", "schemefs.forgetting", connection, journal]
    fds = (int(connection), int(journal))
    door.on_crowded = lambda: subprocess.Popen(forget, pass_fds=fds)
    door.start()
    loop.run()


if __name__ == "__main__":
    main()
