"""Open, event and map flags (redox_syscall, src/flag.rs)."""

from __future__ import annotations

from typing import Final

O_RDONLY: Final = 0x0001_0000
O_WRONLY: Final = 0x0002_0000
O_RDWR: Final = 0x0003_0000
O_ACCMODE: Final = 0x0003_0000
O_NONBLOCK: Final = 0x0004_0000
O_APPEND: Final = 0x0008_0000
O_SHLOCK: Final = 0x0010_0000
O_EXLOCK: Final = 0x0020_0000
O_ASYNC: Final = 0x0040_0000
O_FSYNC: Final = 0x0080_0000
O_CLOEXEC: Final = 0x0100_0000
O_CREAT: Final = 0x0200_0000
O_TRUNC: Final = 0x0400_0000
O_EXCL: Final = 0x0800_0000
O_DIRECTORY: Final = 0x1000_0000
O_STAT: Final = 0x2000_0000  # the handle is only looked at: Linux's O_PATH
O_SYMLINK: Final = 0x4000_0000
O_NOFOLLOW: Final = 0x8000_0000

O_FCNTL_MASK: Final = O_NONBLOCK | O_APPEND | O_ASYNC | O_FSYNC

EVENT_READ: Final = 1
EVENT_WRITE: Final = 2

AT_REMOVEDIR: Final = 0x200

PROT_EXEC: Final = 0x1_0000
PROT_WRITE: Final = 0x2_0000
PROT_READ: Final = 0x4_0000
MAP_SHARED: Final = 0x1
MAP_PRIVATE: Final = 0x2
MAP_FIXED: Final = 0x4
MAP_FIXED_NOREPLACE: Final = 0xC
MAP_LAZY: Final = 0x10

DT_UNKNOWN: Final = 0
DT_CHR: Final = 2
DT_DIR: Final = 4
DT_BLK: Final = 6
DT_REG: Final = 8
DT_LNK: Final = 10
DT_SOCK: Final = 12
