"""Stat, StatVfs, TimeSpec and the mode bits (redox_syscall, src/data.rs and src/flag.rs)."""

from __future__ import annotations

from typing import Final

from redbear_host.bits import Struct, at

MODE_TYPE: Final = 0xF000
MODE_DIR: Final = 0x4000
MODE_FILE: Final = 0x8000
MODE_SYMLINK: Final = 0xA000
MODE_FIFO: Final = 0x1000
MODE_CHR: Final = 0x2000
MODE_SOCK: Final = 0xC000


class TimeSpec(Struct, size=16):
    """Seconds and nanoseconds."""

    tv_sec: int = at(0, "q")
    tv_nsec: int = at(8, "i")


class Stat(Struct, size=104):
    """What fstat tells; sizes in bytes, `st_blocks` in blocks of `st_blksize`."""

    st_dev: int = at(0, "Q")
    st_ino: int = at(8, "Q")
    st_mode: int = at(16, "H")
    st_nlink: int = at(20, "I")
    st_uid: int = at(24, "I")
    st_gid: int = at(28, "I")
    st_size: int = at(32, "Q")
    st_blksize: int = at(40, "I")
    st_blocks: int = at(48, "Q")
    st_mtime: int = at(56, "Q")
    st_mtime_nsec: int = at(64, "I")
    st_atime: int = at(72, "Q")
    st_atime_nsec: int = at(80, "I")
    st_ctime: int = at(88, "Q")
    st_ctime_nsec: int = at(96, "I")


class StatVfs(Struct, size=32):
    """What fstatvfs tells; counts are in blocks of `f_bsize` bytes."""

    f_bsize: int = at(0, "I")
    f_blocks: int = at(8, "Q")
    f_bfree: int = at(16, "Q")
    f_bavail: int = at(24, "Q")
