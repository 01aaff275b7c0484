"""What Linux says about a file, in Redox's records."""

from __future__ import annotations

import os
import stat
from typing import Final

from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_SYMLINK, MODE_TYPE, Stat, StatVfs

_SECTOR: Final = 512  # what Linux counts st_blocks in
_MODE_BLOCK: Final = 0x6000  # Redox has no block devices
_NANO: Final = 1_000_000_000


def describe(found: os.stat_result) -> Stat:
    """Translate what fstat(2) found; a block device becomes a character device."""
    block = found.st_blksize
    mode = found.st_mode
    if mode & MODE_TYPE == _MODE_BLOCK:
        mode = mode & ~MODE_TYPE | MODE_CHR
    modified, modified_nsec = divmod(found.st_mtime_ns, _NANO)
    accessed, accessed_nsec = divmod(found.st_atime_ns, _NANO)
    changed, changed_nsec = divmod(found.st_ctime_ns, _NANO)
    return Stat(
        st_dev=found.st_dev,
        st_ino=found.st_ino,
        st_mode=mode,
        st_nlink=found.st_nlink,
        st_uid=found.st_uid,
        st_gid=found.st_gid,
        st_size=found.st_size,
        st_blksize=block,
        st_blocks=-(-found.st_blocks * _SECTOR // block),
        # Redox has no time before 1970.
        st_mtime=max(0, modified),
        st_mtime_nsec=modified_nsec,
        st_atime=max(0, accessed),
        st_atime_nsec=accessed_nsec,
        st_ctime=max(0, changed),
        st_ctime_nsec=changed_nsec,
    )


def describe_link() -> Stat:
    """Describe a link that is still to be made."""
    return Stat(st_mode=MODE_SYMLINK | 0o777, st_nlink=1, st_blksize=_SECTOR)


def describe_volume(fd: int) -> StatVfs:
    """Translate what fstatvfs(3) finds."""
    found = os.fstatvfs(fd)
    return StatVfs(
        f_bsize=found.f_frsize,
        f_blocks=found.f_blocks,
        f_bfree=found.f_bfree,
        f_bavail=found.f_bavail,
    )


def kind(entry: os.DirEntry[str]) -> int:
    """Return the Dirent kind of an entry; DT_UNKNOWN for what is no file, directory or link.

    Asks Linux nothing where the listing tells it, and never follows a link.
    """
    try:
        if entry.is_symlink():
            return f.DT_LNK
        if entry.is_dir(follow_symlinks=False):
            return f.DT_DIR
        if entry.is_file(follow_symlinks=False):
            return f.DT_REG
    except OSError:
        pass  # it has gone, or may not be looked at
    return f.DT_UNKNOWN


def is_regular(found: os.stat_result) -> bool:
    """Tell whether it is a file with bytes in it."""
    return stat.S_ISREG(found.st_mode)
