"""Linux's calls on files that Python has no name for; each raises `OSError`.

Numbers and records: Linux uapi headers openat2.h, mount.h, fcntl.h and asm-generic/unistd.h (the
three calls made by number are younger than the split of the numbers, and the same everywhere).
"""

from __future__ import annotations

import ctypes
import os
from struct import Struct
from typing import Final

from redbear_host import linux

_SYS_OPEN_TREE: Final = 428
_SYS_OPENAT2: Final = 437
_SYS_MOUNT_SETATTR: Final = 442

_AT_EMPTY_PATH: Final = 0x1000
_AT_FDCWD: Final = -100
_OPEN_TREE_CLONE: Final = 1

_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_RESOLVE: Final = (
    _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
)

_OPEN_HOW: Final = Struct("=QQQ")  # flags mode resolve
_MOUNT_ATTR: Final = Struct("=QQQQ")  # attr_set attr_clr propagation userns_fd
_TIMES: Final = Struct("=4q")  # struct timespec[2]

NOW: Final = (0, (1 << 30) - 1)  # UTIME_NOW: a time for `set_times`

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def open_beneath(folder: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open `path` below the directory `folder`: no link is followed, no mount entered.

    A link at the end is opened itself with O_PATH | O_NOFOLLOW, and ELOOP without.  What would lead
    out, or into another file system, is EXDEV.
    """
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, _RESOLVE)
    return linux.syscall(_SYS_OPENAT2, folder, path, how, len(how))


def clone_mount(path: bytes) -> int:
    """Return a mount of its own that shows the directory `path`, without what is mounted below.

    It is attached nowhere, so nothing is above it, and it goes with its descriptor.
    """
    return linux.syscall(_SYS_OPEN_TREE, _AT_FDCWD, path, _OPEN_TREE_CLONE | os.O_CLOEXEC)


def harden_mount(mount: int) -> None:
    """Let no device be opened and no program be run on a mount, and no other appear below it."""
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC  # MOUNT_ATTR_… have these values
    attributes = _MOUNT_ATTR.pack(flags, 0, linux.MS_PRIVATE, 0)
    linux.syscall(_SYS_MOUNT_SETATTR, mount, b"", _AT_EMPTY_PATH, attributes, len(attributes))


def set_file_user(uid: int) -> int:
    """Choose as whom this thread opens files; return as whom it did."""
    return int(_libc.setfsuid(ctypes.c_uint(uid))) & 0xFFFF_FFFF


def set_file_group(gid: int) -> int:
    """Choose with which group this thread opens files; return the one before."""
    return int(_libc.setfsgid(ctypes.c_uint(gid))) & 0xFFFF_FFFF


def set_owner(fd: int, uid: int, gid: int) -> None:
    """Change the owner of what `fd` shows, also of a link; 0xFFFFFFFF leaves one as it is."""
    _check(_libc.fchownat(fd, b"", ctypes.c_uint(uid), ctypes.c_uint(gid), _AT_EMPTY_PATH))


def set_times(fd: int, accessed: tuple[int, int], modified: tuple[int, int]) -> None:
    """Set the times of what `fd` shows, also of a link, as (seconds, nanoseconds)."""
    _check(_libc.utimensat(fd, b"", _TIMES.pack(*accessed, *modified), _AT_EMPTY_PATH))


def allocate(fd: int, mode: int, offset: int, length: int) -> None:
    """Allocate, zero or punch a range: fallocate(2)."""
    _check(_libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Read with the one call for it that filed is allowed, preadv2(2)."""
    buffer = bytearray(size)
    return bytes(memoryview(buffer)[: os.preadv(fd, (buffer,), offset)])
