"""Mounts held by descriptors: open_tree(2), move_mount(2), mount_setattr(2).

Numbers are the same on every architecture; Ref: linux/mount.h, asm-generic/unistd.h.  All need
CAP_SYS_ADMIN and raise `OSError`.  Paths are looked up; no file system is asked for attributes, so
a mount whose server hangs does no harm.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct
from typing import Final

from redbear_host import linux

ATTR_RDONLY: Final = 0x1
ATTR_NOSUID: Final = 0x2
ATTR_NODEV: Final = 0x4

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD: Final = -100
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_AT_EMPTY_PATH: Final = 0x1000
_AT_RECURSIVE: Final = 0x8000
_OPEN_TREE_CLONE: Final = 1
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_MOUNT_ATTR = Struct("=4Q")  # set, clear, propagation, userns_fd


def clone(path: Path, recursive: bool = False) -> int:
    """Make a detached copy of the mount at `path`, held by the descriptor returned.

    A folder or file inside a mount does too.  A link as the last part is not followed.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_SYMLINK_NOFOLLOW
    if recursive:
        flags |= _AT_RECURSIVE
    return linux.syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)


def clone_opened(fd: int) -> int:
    """Make a detached copy of the mount `fd` was opened on."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH
    return linux.syscall(_OPEN_TREE, fd, b"", flags)


def attach(fd: int, target: Path) -> None:
    """Put a detached mount at `target`, and close its descriptor."""
    try:
        linux.syscall(
            _MOVE_MOUNT, fd, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH
        )
    finally:
        os.close(fd)


def restrict(path: Path, attributes: int, recursive: bool = False, lift: int = 0) -> None:
    """Set ATTR_… on the mount at `path`, or on all below it as well; take those of `lift` away."""
    flags = _AT_SYMLINK_NOFOLLOW | (_AT_RECURSIVE if recursive else 0)
    record = _MOUNT_ATTR.pack(attributes, lift, 0, 0)
    linux.syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), flags, record, _MOUNT_ATTR.size)


def keep_private() -> None:
    """Let no mount, made here or elsewhere, cross between this namespace and others."""
    linux.mount("none", Path("/"), "", linux.MS_REC | linux.MS_PRIVATE)


def tmpfs(point: Path, options: str, flags: int = linux.MS_NOSUID | linux.MS_NODEV) -> None:
    """Mount empty memory at `point`."""
    linux.mount("redbear", point, "tmpfs", flags, options)
