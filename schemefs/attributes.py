"""Redox's Stat as the kernel's attribute records."""

from __future__ import annotations

from typing import Final

from redbear_host.abi.stat import MODE_DIR, MODE_FILE, MODE_SYMLINK, MODE_TYPE, Stat
from schemefs import protocol as p

_STATX_BASIC: Final = 0x7FF  # STATX_BASIC_STATS
_KEPT_TYPES: Final = (MODE_DIR, MODE_SYMLINK)


def mode(stat: Stat) -> int:
    """Return the file type and permissions for the kernel.

    Everything that is neither directory nor link is a regular file: were a scheme's character file
    shown as one, Linux would open the device node with its number instead of asking the scheme.
    """
    kind = stat.st_mode & MODE_TYPE
    return (kind if kind in _KEPT_TYPES else MODE_FILE) | stat.st_mode & 0o7777


def attr(stat: Stat, node: int, named: bool = True) -> bytes:
    """Pack `struct fuse_attr`; what is `named` has a link, though schemes may not count them."""
    return p.ATTR.pack(
        stat.st_ino or node,
        stat.st_size,
        stat.st_blocks * stat.st_blksize // 512,
        stat.st_atime,
        stat.st_mtime,
        stat.st_ctime,
        stat.st_atime_nsec,
        stat.st_mtime_nsec,
        stat.st_ctime_nsec,
        mode(stat),
        max(stat.st_nlink, named),
        stat.st_uid,
        stat.st_gid,
        0,
        stat.st_blksize or 4096,
        0,
    )


def statx(stat: Stat, node: int, named: bool = True) -> bytes:
    """Pack `struct fuse_statx`; Redox keeps no birth time."""
    return p.STATX_ATTR.pack(
        _STATX_BASIC,
        stat.st_blksize or 4096,
        0,
        max(stat.st_nlink, named),
        stat.st_uid,
        stat.st_gid,
        mode(stat),
        0,
        stat.st_ino or node,
        stat.st_size,
        stat.st_blocks * stat.st_blksize // 512,
        0,
        *(stat.st_atime, stat.st_atime_nsec, 0),
        *(0, 0, 0),
        *(stat.st_ctime, stat.st_ctime_nsec, 0),
        *(stat.st_mtime, stat.st_mtime_nsec, 0),
        *(0, 0, 0, 0),
    )
