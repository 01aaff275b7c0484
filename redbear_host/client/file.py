"""What is behind a descriptor: an open file description, of which there are three kinds.

`RingFile` is a scheme's handle, `LinuxFile` a descriptor that a scheme handed out, `SchemeList` the
list of schemes.  What a kind cannot do answers EOPNOTSUPP or what Redox answers there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from redbear_host.abi.dirent import Dirent
from redbear_host.abi.stat import Stat, StatVfs
from redbear_host.client.calls import Bytes

SEEK_SET = 0
SEEK_CUR = 1
SEEK_END = 2


def cannot(number: int = errno.EOPNOTSUPP) -> OSError:
    """Return the error of what a file does not do."""
    return OSError(number, os.strerror(number))


class File:
    """One open file description; `users` descriptors share it."""

    users = 1
    flags = 0  # O_…, Redox's

    def close(self) -> None:
        """Let go; the last user's closes it."""
        self.users -= 1
        if self.users == 0:
            self.end()

    def drop(self) -> None:
        """Let go without waiting, from a finalizer."""
        self.users -= 1
        if self.users == 0:
            self.abandon()

    def end(self) -> None:
        """Close, and wait until it is done."""

    def abandon(self) -> None:
        """Close without waiting."""
        self.end()

    def openat(self, path: str, flags: int, mode: int) -> File:
        """Open below this directory."""
        raise cannot(errno.ENOTDIR)

    def dup(self, name: Bytes) -> File:
        """Open by name relative to this file; an empty name is the file itself."""
        if name:
            raise cannot()
        self.users += 1
        return self

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes."""
        raise cannot(errno.EBADF)

    def write(self, data: Bytes) -> int:
        """Write; return how much was taken."""
        raise cannot(errno.EBADF)

    def lseek(self, offset: int, whence: int) -> int:
        """Move the offset."""
        raise cannot(errno.ESPIPE)

    def fchmod(self, mode: int) -> None:
        """Change permission bits."""
        raise cannot()

    def fchown(self, uid: int, gid: int) -> None:
        """Change the owner."""
        raise cannot()

    def getdents(self, room: int, opaque: int) -> list[Dirent]:
        """List entries."""
        raise cannot(errno.ENOTDIR)

    def fstat(self) -> Stat:
        """Describe the file."""
        raise cannot()

    def fstatvfs(self) -> StatVfs:
        """Describe what it lives on."""
        raise cannot()

    def fsync(self) -> None:
        """Make durable."""

    def ftruncate(self, length: int) -> None:
        """Set the length."""
        raise cannot(errno.EBADF)

    def futimens(self, times: tuple[int, int] | None) -> None:
        """Set times, in nanoseconds."""
        raise cannot(errno.EBADF)

    def fpath(self) -> str:
        """Return the canonical path."""
        raise cannot()

    def fcntl(self, command: int, argument: int) -> int:
        """Redox's fcntl, but for duplication."""
        raise cannot()

    def unlinkat(self, path: str, flags: int) -> None:
        """Remove a name below this directory."""
        raise cannot(errno.ENOTDIR)

    def frename(self, path: str) -> None:
        """Give another name."""
        raise cannot()

    def flink(self, path: str) -> None:
        """Give one more name."""
        raise cannot()

    def call(
        self, payload: Bytes, room: int, metadata: Sequence[int], std_fs: bool
    ) -> tuple[int, bytes]:
        """Make Redox's call; the payload as it is afterwards comes back."""
        raise cannot()

    def sendfd(self, fds: Sequence[int], flags: int, argument: int) -> int:
        """Hand descriptors over."""
        raise cannot()

    def recvfd(self, count: int, flags: int, metadata: Sequence[int]) -> list[int]:
        """Ask for descriptors."""
        raise cannot()

    def mmap_prep(self, length: int, flags: int, offset: int) -> tuple[int, int]:
        """Ask for a descriptor to map, which becomes the caller's, and the offset in it."""
        raise cannot()

    def munmap(self, length: int, flags: int, offset: int) -> None:
        """Say that a mapping is gone."""

    def fileno(self) -> int:
        """Return the Linux descriptor behind it."""
        raise cannot(errno.EBADF)
