"""A scheme over a folder of the host, for tests: everything that can be made, moved and removed.

A call on a name with `die-before` or `die-after` in it kills its daemon once, before or after the
work was done; the folder outlives it.
"""

from __future__ import annotations

import os
import signal

from redbear_host.abi import flags as f
from redbear_host.abi.stat import Stat
from redbear_host.errors import Refused
from redbear_host.scheme.scheme import CACHED, POSITIONED, Entry, Foreign, Opened, Scheme


def refusing(method):
    """Turn the host's errors into Redox's, which have the same numbers."""

    def call(self, *args):
        try:
            return method(self, *args)
        except OSError as err:
            raise Refused(err.errno) from err

    return call


class Folder(Scheme):
    """Files, directories and links of a folder; doing things twice is for the door to prevent."""

    replays = True
    reopens = True

    def __init__(self, folder):
        self.folder = folder
        self.files = {}  # handle: path, descriptor
        self.next = 1

    def full(self, path):
        return os.path.join(self.folder, path) if path else self.folder

    def die(self, when, *paths):
        mark = f"{self.folder}.died"
        if any(f"die-{when}" in path for path in paths) and not os.path.exists(mark):
            os.close(os.open(mark, os.O_CREAT | os.O_WRONLY))
            os.kill(os.getpid(), signal.SIGKILL)

    @refusing
    def openat(self, parent, path, flags, fcntl_flags, request):
        if os.path.basename(path) == "foreign":
            return Foreign(os.open("/dev/null", os.O_RDONLY))
        full, mode = self.full(path), flags & 0o7777
        if flags & f.O_STAT:
            fd = os.open(full, os.O_PATH | os.O_NOFOLLOW)
        else:
            self.die("before", path)
            fd = self.make(full, flags, mode)
            if flags & f.O_CREAT:
                self.die("after", path)
        number, self.next = self.next, self.next + 1
        self.files[number] = (path, fd)
        if os.path.basename(path).startswith("cached"):
            return Opened(number, POSITIONED | CACHED)
        if os.path.basename(path).startswith("backed"):
            return Opened(number, POSITIONED | CACHED, fd)
        return Opened(number, POSITIONED)

    def make(self, full, flags, mode):
        if flags & f.O_CREAT and flags & f.O_DIRECTORY:
            os.mkdir(full, mode)
        elif flags & f.O_SYMLINK and flags & f.O_CREAT:
            if os.path.lexists(full):
                raise FileExistsError(17, "there")
            return os.open(full + ".target", os.O_CREAT | os.O_RDWR)
        if flags & f.O_SYMLINK:
            return os.open(full, os.O_PATH | os.O_NOFOLLOW)
        access = {f.O_WRONLY: os.O_WRONLY, f.O_RDWR: os.O_RDWR}.get(flags & f.O_ACCMODE, 0)
        for own, linux in [(f.O_TRUNC, os.O_TRUNC), (f.O_EXCL, os.O_EXCL)]:
            access |= linux if flags & own and not flags & f.O_DIRECTORY else 0
        if flags & f.O_CREAT and not flags & f.O_DIRECTORY:
            access |= os.O_CREAT
        return os.open(full, access | os.O_NOFOLLOW, mode)

    def on_close(self, handle):
        os.close(self.files.pop(handle)[1])

    @refusing
    def read(self, handle, size, offset, fcntl_flags, request):
        path, fd = self.files[handle]
        with open(f"{self.folder}.reads", "a") as reads:
            reads.write(f"{path} {offset} {size}\n")
        if os.path.islink(self.full(path)):
            return os.fsencode(os.readlink(self.full(path)))
        return os.pread(fd, size, offset)

    @refusing
    def write(self, handle, data, offset, fcntl_flags, request):
        path, fd = self.files[handle]
        pending = self.full(path) + ".target"
        if os.path.exists(pending):
            os.unlink(pending)
            os.symlink(bytes(data), os.fsencode(self.full(path)))
            os.close(fd)
            self.files[handle] = path, os.open(self.full(path), os.O_PATH | os.O_NOFOLLOW)
            return len(data)
        if fcntl_flags & f.O_APPEND:
            offset = os.fstat(fd).st_size
        return os.pwrite(fd, data, offset)

    @refusing
    def fstat(self, handle):
        found = os.fstat(self.files[handle][1])
        return Stat(
            st_dev=found.st_dev, st_ino=found.st_ino, st_mode=found.st_mode, st_uid=found.st_uid,
            st_gid=found.st_gid, st_nlink=found.st_nlink, st_size=found.st_size, st_blksize=4096,
            st_mtime=found.st_mtime_ns // 10**9, st_mtime_nsec=found.st_mtime_ns % 10**9,
        )  # fmt: skip

    def getdents(self, handle, request):
        return [Entry(name) for name in sorted(os.listdir(self.full(self.files[handle][0])))]

    @refusing
    def ftruncate(self, handle, length, request):
        os.ftruncate(self.files[handle][1], length)

    @refusing
    def fchmod(self, handle, mode, request):
        os.chmod(f"/proc/self/fd/{self.files[handle][1]}", mode)

    def futimens(self, handle, times, request):
        pass

    @refusing
    def unlinkat(self, parent, path, flags, request):
        self.die("before", path)
        (os.rmdir if flags & f.AT_REMOVEDIR else os.unlink)(self.full(path))
        self.die("after", path)

    @refusing
    def frename(self, handle, path, request):
        self.die("before", path)
        old, fd = self.files[handle]
        os.rename(self.full(old), self.full(path))
        self.files[handle] = path, fd
        self.die("after", path)

    @refusing
    def flink(self, handle, path, request):
        self.die("before", path)
        os.link(self.full(self.files[handle][0]), self.full(path), follow_symlinks=False)
        self.die("after", path)
