"""A descriptor that a scheme handed out (Redox's OtherScheme): Linux serves it."""

from __future__ import annotations

import fcntl
import os
from typing import Final

from redbear_host.abi import flags as f
from redbear_host.abi.stat import Stat, StatVfs
from redbear_host.client.calls import Bytes
from redbear_host.client.file import File

F_GETFL: Final = 3
F_SETFL: Final = 4
_FLAGS: Final = ((f.O_NONBLOCK, os.O_NONBLOCK), (f.O_APPEND, os.O_APPEND))


class LinuxFile(File):
    """Any Linux file; `fileno` gives it to whoever needs the descriptor itself."""

    def __init__(self, fd: int) -> None:
        self._fd: Final = fd

    def fileno(self) -> int:
        """Return the descriptor, which stays the file's own."""
        return self._fd

    def end(self) -> None:
        """Close it."""
        os.close(self._fd)

    def read(self, size: int) -> bytes:
        """Read from where it stands."""
        return os.read(self._fd, size)

    def write(self, data: Bytes) -> int:
        """Write where it stands."""
        return os.write(self._fd, data)

    def lseek(self, offset: int, whence: int) -> int:
        """Move its offset."""
        return os.lseek(self._fd, offset, whence)

    def fchmod(self, mode: int) -> None:
        """Change permission bits."""
        os.fchmod(self._fd, mode)

    def fchown(self, uid: int, gid: int) -> None:
        """Change the owner."""
        os.fchown(self._fd, uid, gid)

    def fstat(self) -> Stat:
        """Describe it in Redox's terms; modes have the same values on both."""
        st = os.fstat(self._fd)
        return Stat(
            st_dev=st.st_dev,
            st_ino=st.st_ino,
            st_mode=st.st_mode & 0xFFFF,
            st_nlink=st.st_nlink,
            st_uid=st.st_uid,
            st_gid=st.st_gid,
            st_size=st.st_size,
            st_blksize=st.st_blksize,
            st_blocks=-(-st.st_blocks * 512 // st.st_blksize),
            st_mtime=st.st_mtime_ns // 10**9,
            st_mtime_nsec=st.st_mtime_ns % 10**9,
            st_atime=st.st_atime_ns // 10**9,
            st_atime_nsec=st.st_atime_ns % 10**9,
            st_ctime=st.st_ctime_ns // 10**9,
            st_ctime_nsec=st.st_ctime_ns % 10**9,
        )

    def fstatvfs(self) -> StatVfs:
        """Describe what it lives on."""
        vfs = os.fstatvfs(self._fd)
        return StatVfs(
            f_bsize=vfs.f_frsize, f_blocks=vfs.f_blocks, f_bfree=vfs.f_bfree, f_bavail=vfs.f_bavail
        )

    def fsync(self) -> None:
        """Make durable."""
        os.fsync(self._fd)

    def ftruncate(self, length: int) -> None:
        """Set the length."""
        os.ftruncate(self._fd, length)

    def futimens(self, times: tuple[int, int] | None) -> None:
        """Set times, in nanoseconds."""
        if times is None:
            os.utime(self._fd)
        else:
            os.utime(self._fd, ns=times)

    def fpath(self) -> str:
        """Return what Linux calls it."""
        return os.readlink(f"/proc/self/fd/{self._fd}")

    def fcntl(self, command: int, argument: int) -> int:
        """Get or set the flags that both systems have."""
        if command == F_GETFL:
            now = fcntl.fcntl(self._fd, fcntl.F_GETFL)
            return sum(redox for redox, linux in _FLAGS if now & linux)
        if command == F_SETFL:
            old = fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~sum(linux for _, linux in _FLAGS)
            new = sum(linux for redox, linux in _FLAGS if argument & redox)
            return fcntl.fcntl(self._fd, fcntl.F_SETFL, old | new)
        return super().fcntl(command, argument)

    def mmap_prep(self, length: int, flags: int, offset: int) -> tuple[int, int]:
        """Map the file itself."""
        return os.dup(self._fd), offset
