"""The kernel's FUSE protocol: opcodes, flags and records.

Ref: include/uapi/linux/fuse.h, protocol 7.31 and newer; names without their FUSE_ prefix.  Records
are `struct.Struct`s in native byte order, since that is what the kernel speaks; tests/lab compares
every size with the header installed on the machine.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

MAJOR: Final = 7
MINOR: Final = 41  # newest minor whose replies we know; the kernel accepts any older one
MIN_MINOR: Final = 31

ROOT_ID: Final = 1

LOOKUP: Final = 1
FORGET: Final = 2
GETATTR: Final = 3
SETATTR: Final = 4
READLINK: Final = 5
SYMLINK: Final = 6
MKNOD: Final = 8
MKDIR: Final = 9
UNLINK: Final = 10
RMDIR: Final = 11
RENAME: Final = 12
LINK: Final = 13
OPEN: Final = 14
READ: Final = 15
WRITE: Final = 16
STATFS: Final = 17
RELEASE: Final = 18
FSYNC: Final = 20
FLUSH: Final = 25
INIT: Final = 26
OPENDIR: Final = 27
READDIR: Final = 28
RELEASEDIR: Final = 29
FSYNCDIR: Final = 30
ACCESS: Final = 34
CREATE: Final = 35
INTERRUPT: Final = 36
DESTROY: Final = 38
IOCTL: Final = 39
POLL: Final = 40
BATCH_FORGET: Final = 42
FALLOCATE: Final = 43
READDIRPLUS: Final = 44
RENAME2: Final = 45
LSEEK: Final = 46
STATX: Final = 52

RENAME_NOREPLACE: Final = 1  # linux/fs.h, not a flag of FUSE

NOTIFY_POLL: Final = 1
NOTIFY_INVAL_ENTRY: Final = 3

# INIT flags (flags, and from bit 32 on flags2)
ASYNC_READ: Final = 1 << 0
ATOMIC_O_TRUNC: Final = 1 << 3
BIG_WRITES: Final = 1 << 5
AUTO_INVAL_DATA: Final = 1 << 12
DO_READDIRPLUS: Final = 1 << 13
READDIRPLUS_AUTO: Final = 1 << 14
ASYNC_DIO: Final = 1 << 15
PARALLEL_DIROPS: Final = 1 << 18
MAX_PAGES: Final = 1 << 22
INIT_EXT: Final = 1 << 30
DIRECT_IO_ALLOW_MMAP: Final = 1 << 36
PASSTHROUGH: Final = 1 << 37

# OPEN reply flags
FOPEN_DIRECT_IO: Final = 1 << 0
FOPEN_KEEP_CACHE: Final = 1 << 1
FOPEN_NONSEEKABLE: Final = 1 << 2
FOPEN_STREAM: Final = 1 << 4
FOPEN_NOFLUSH: Final = 1 << 5
FOPEN_PARALLEL_DIRECT_WRITES: Final = 1 << 6
FOPEN_PASSTHROUGH: Final = 1 << 7

# ioctls of /dev/fuse: _IOW(229, 1, struct fuse_backing_map), _IOW(229, 2, uint32_t)
DEV_IOC_BACKING_OPEN: Final = 0x4010_E501
DEV_IOC_BACKING_CLOSE: Final = 0x4004_E502
BACKING_MAP: Final = Struct("=iIQ")  # fd flags padding
BACKING_ID: Final = Struct("=I")

GETATTR_FH: Final = 1 << 0
POLL_SCHEDULE_NOTIFY: Final = 1 << 0
IOCTL_COMPAT: Final = 1 << 0

FATTR_MODE: Final = 1 << 0
FATTR_UID: Final = 1 << 1
FATTR_GID: Final = 1 << 2
FATTR_SIZE: Final = 1 << 3
FATTR_ATIME: Final = 1 << 4
FATTR_MTIME: Final = 1 << 5
FATTR_FH: Final = 1 << 6
FATTR_ATIME_NOW: Final = 1 << 7
FATTR_MTIME_NOW: Final = 1 << 8

IN_HEADER: Final = Struct("=IIQQIIIHH")  # len opcode unique nodeid uid gid pid total_extlen padding
OUT_HEADER: Final = Struct("=IiQ")  # len error unique

# The header with the first 40 bytes of arguments: all of READ, and WRITE up to its data.
HEAD_BYTES: Final = 80
HEAD: Final = Struct(
    "=IIQQ12s4xQQI12xI4x"
)  # len opcode unique nodeid uid+gid+pid fh offset size flags
CALLER: Final = Struct("=III")  # uid gid pid

INIT_IN: Final = Struct("=IIIII")  # major minor max_readahead flags flags2
INIT_OUT: Final = Struct("=IIIIHHIIHHIIH22x")
# major minor max_readahead flags max_background congestion_threshold max_write time_gran max_pages
# map_alignment flags2 max_stack_depth request_timeout

ATTR: Final = Struct("=QQQQQQIIIIIIIIII")
# ino size blocks, atime mtime ctime, the same in ns, mode nlink uid gid rdev blksize flags
ENTRY_OUT: Final = Struct("=QQQQII")  # nodeid generation entry_valid attr_valid …_nsec; then ATTR
ATTR_OUT: Final = Struct("=QII")  # attr_valid attr_valid_nsec dummy; then ATTR
ACCESS_IN: Final = Struct("=II")  # mask padding
GETATTR_IN: Final = Struct("=IIQ")  # getattr_flags dummy fh
SETATTR_IN: Final = Struct("=IIQQQQQQIIIIIIII")
# valid padding fh size lock_owner atime mtime ctime atimensec mtimensec ctimensec mode unused4 uid
# gid unused5
MKNOD_IN: Final = Struct("=IIII")  # mode rdev umask padding; then the name
MKDIR_IN: Final = Struct("=II")  # mode umask; then the name
RENAME_IN: Final = Struct("=Q")  # newdir; then both names
RENAME2_IN: Final = Struct("=QII")  # newdir flags padding; then both names
LINK_IN: Final = Struct("=Q")  # oldnodeid; then the new name
CREATE_IN: Final = Struct("=IIII")  # flags mode umask open_flags; then the name
OPEN_IN: Final = Struct("=II")  # flags open_flags
OPEN_OUT: Final = Struct("=QIi")  # fh open_flags backing_id
WRITE_OUT: Final = Struct("=IiQII")  # OUT_HEADER, then size padding
RELEASE_IN: Final = Struct("=QIIQ")  # fh flags release_flags lock_owner
FSYNC_IN: Final = Struct("=QII")  # fh fsync_flags padding
INTERRUPT_IN: Final = Struct("=Q")  # unique
POLL_IN: Final = Struct("=QQII")  # fh kh flags events
POLL_OUT: Final = Struct("=II")  # revents padding
POLL_WAKEUP: Final = Struct("=IiQQ")  # OUT_HEADER with unique 0 and the code as error, then kh
IOCTL_IN: Final = Struct("=QIIQII")  # fh flags cmd arg in_size out_size
IOCTL_OUT: Final = Struct("=iIII")  # result flags in_iovs out_iovs
FALLOCATE_IN: Final = Struct("=QQQII")  # fh offset length mode padding
LSEEK_IN: Final = Struct("=QQII")  # fh offset whence padding
LSEEK_OUT: Final = Struct("=Q")
STATFS_OUT: Final = Struct("=QQQQQIIII24x")
# blocks bfree bavail files ffree bsize namelen frsize padding
FORGET_IN: Final = Struct("=Q")  # nlookup
BATCH_FORGET_IN: Final = Struct("=II")  # count dummy
FORGET_ONE: Final = Struct("=QQ")  # nodeid nlookup
DIRENT: Final = Struct("=QQII")  # ino off namelen type; then the name, padded to 8 bytes
INVAL_ENTRY: Final = Struct("=IiQQII")  # OUT_HEADER as above, then parent namelen flags; the name
STATX_IN: Final = Struct("=IIQII")  # getattr_flags reserved fh sx_flags sx_mask
STATX_OUT: Final = Struct("=QIIQQ")  # attr_valid attr_valid_nsec flags spare[2]; then STATX_ATTR
STATX_ATTR: Final = Struct("=IIQIIIHHQQQQqIiqIiqIiqIiIIII112x")
# mask blksize attributes nlink uid gid mode pad ino size blocks attributes_mask, four times (sec
# nsec reserved) for atime btime ctime mtime, rdev_major rdev_minor dev_major dev_minor
