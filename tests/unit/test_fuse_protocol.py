"""Our FUSE records against the header of the machine's own C library."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemefs import protocol as p
from tests.unit.c_probe import answers

HEADER = Path("/usr/include/linux/fuse.h")

RECORDS = {
    "fuse_in_header": p.IN_HEADER,
    "fuse_out_header": p.OUT_HEADER,
    "fuse_init_out": p.INIT_OUT,
    "fuse_attr": p.ATTR,
    "fuse_getattr_in": p.GETATTR_IN,
    "fuse_setattr_in": p.SETATTR_IN,
    "fuse_mknod_in": p.MKNOD_IN,
    "fuse_mkdir_in": p.MKDIR_IN,
    "fuse_rename_in": p.RENAME_IN,
    "fuse_rename2_in": p.RENAME2_IN,
    "fuse_link_in": p.LINK_IN,
    "fuse_create_in": p.CREATE_IN,
    "fuse_access_in": p.ACCESS_IN,
    "fuse_open_in": p.OPEN_IN,
    "fuse_open_out": p.OPEN_OUT,
    "fuse_release_in": p.RELEASE_IN,
    "fuse_fsync_in": p.FSYNC_IN,
    "fuse_interrupt_in": p.INTERRUPT_IN,
    "fuse_poll_in": p.POLL_IN,
    "fuse_poll_out": p.POLL_OUT,
    "fuse_ioctl_in": p.IOCTL_IN,
    "fuse_ioctl_out": p.IOCTL_OUT,
    "fuse_fallocate_in": p.FALLOCATE_IN,
    "fuse_lseek_in": p.LSEEK_IN,
    "fuse_lseek_out": p.LSEEK_OUT,
    "fuse_statfs_out": p.STATFS_OUT,
    "fuse_forget_in": p.FORGET_IN,
    "fuse_batch_forget_in": p.BATCH_FORGET_IN,
    "fuse_forget_one": p.FORGET_ONE,
}
SUMS = {
    "sizeof(struct fuse_entry_out)": p.ENTRY_OUT.size + p.ATTR.size,
    "sizeof(struct fuse_attr_out)": p.ATTR_OUT.size + p.ATTR.size,
    "sizeof(struct fuse_in_header) + sizeof(struct fuse_read_in)": p.HEAD.size,
    "sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in)": p.HEAD_BYTES,
    "sizeof(struct fuse_out_header) + sizeof(struct fuse_write_out)": p.WRITE_OUT.size,
    "sizeof(struct fuse_out_header) + sizeof(struct fuse_notify_poll_wakeup_out)": (
        p.POLL_WAKEUP.size
    ),
    "sizeof(struct fuse_out_header) + sizeof(struct fuse_notify_inval_entry_out)": (
        p.INVAL_ENTRY.size
    ),
    "offsetof(struct fuse_dirent, name)": p.DIRENT.size,
    "offsetof(struct fuse_init_in, flags)": 12,
    "offsetof(struct fuse_setattr_in, size)": 16,
    "offsetof(struct fuse_setattr_in, mode)": 68,
    "offsetof(struct fuse_setattr_in, uid)": 76,
    "offsetof(struct fuse_init_out, max_write)": 20,
    "offsetof(struct fuse_init_out, max_pages)": 28,
    "offsetof(struct fuse_init_out, flags2)": 32,
    "offsetof(struct fuse_write_in, size)": 16,
    "offsetof(struct fuse_read_in, flags)": 32,
    "offsetof(struct fuse_write_in, flags)": 32,
}
OPCODES = [
    "LOOKUP",
    "FORGET",
    "GETATTR",
    "SETATTR",
    "OPEN",
    "READ",
    "WRITE",
    "STATFS",
    "RELEASE",
    "FSYNC",
    "FLUSH",
    "INIT",
    "OPENDIR",
    "READDIR",
    "RELEASEDIR",
    "FSYNCDIR",
    "INTERRUPT",
    "DESTROY",
    "IOCTL",
    "POLL",
    "BATCH_FORGET",
    "FALLOCATE",
    "READDIRPLUS",
    "LSEEK",
    *("READLINK", "SYMLINK", "MKNOD", "MKDIR", "UNLINK", "RMDIR", "RENAME", "LINK", "CREATE"),
    *("RENAME2", "ACCESS"),
]
FLAGS = {
    "FUSE_ASYNC_READ": p.ASYNC_READ,
    "FUSE_ATOMIC_O_TRUNC": p.ATOMIC_O_TRUNC,
    "FUSE_BIG_WRITES": p.BIG_WRITES,
    "FUSE_DO_READDIRPLUS": p.DO_READDIRPLUS,
    "FUSE_READDIRPLUS_AUTO": p.READDIRPLUS_AUTO,
    "FUSE_ASYNC_DIO": p.ASYNC_DIO,
    "FUSE_PARALLEL_DIROPS": p.PARALLEL_DIROPS,
    "FUSE_MAX_PAGES": p.MAX_PAGES,
    "FUSE_INIT_EXT": p.INIT_EXT,
    "FUSE_AUTO_INVAL_DATA": p.AUTO_INVAL_DATA,
    "FOPEN_DIRECT_IO": p.FOPEN_DIRECT_IO,
    "FOPEN_KEEP_CACHE": p.FOPEN_KEEP_CACHE,
    "FOPEN_NONSEEKABLE": p.FOPEN_NONSEEKABLE,
    "FOPEN_STREAM": p.FOPEN_STREAM,
    "FOPEN_NOFLUSH": p.FOPEN_NOFLUSH,
    "FUSE_GETATTR_FH": p.GETATTR_FH,
    "FUSE_POLL_SCHEDULE_NOTIFY": p.POLL_SCHEDULE_NOTIFY,
    "FATTR_MODE": p.FATTR_MODE,
    "FATTR_UID": p.FATTR_UID,
    "FATTR_GID": p.FATTR_GID,
    "FATTR_SIZE": p.FATTR_SIZE,
    "FATTR_ATIME": p.FATTR_ATIME,
    "FATTR_MTIME": p.FATTR_MTIME,
    "FATTR_FH": p.FATTR_FH,
    "FUSE_NOTIFY_POLL": p.NOTIFY_POLL,
    "FUSE_NOTIFY_INVAL_ENTRY": p.NOTIFY_INVAL_ENTRY,
}


@pytest.fixture(scope="module")
def header():
    return HEADER.read_text()


def ask(tmp_path, expressions):
    """Let the C compiler evaluate expressions over linux/fuse.h."""
    asked = {what: what for what in expressions}
    return answers(tmp_path, "#include <linux/fuse.h>", asked)


def test_records_have_the_sizes_of_the_kernels_header(header, tmp_path):
    asked = {f"sizeof(struct {name})": record.size for name, record in RECORDS.items()} | SUMS
    found = ask(tmp_path, asked)
    assert found == asked


def test_opcodes_and_flags_are_the_kernels(header, tmp_path):
    asked = {f"FUSE_{name}": getattr(p, name) for name in OPCODES} | FLAGS
    found = ask(tmp_path, asked)
    assert found == asked


def test_newer_records_have_their_documented_sizes():
    """STATX (7.39) and passthrough (7.40) are younger than Debian 12's header."""
    assert p.STATX_IN.size == 24
    assert p.STATX_OUT.size + p.STATX_ATTR.size == 288
    assert p.STATX == 52
    assert 1 << 36 == p.DIRECT_IO_ALLOW_MMAP
    assert p.FOPEN_PARALLEL_DIRECT_WRITES == 64
    assert (p.PASSTHROUGH, p.FOPEN_PASSTHROUGH) == (1 << 37, 1 << 7)
    assert (p.BACKING_MAP.size, p.BACKING_ID.size) == (16, 4)
    assert p.DEV_IOC_BACKING_OPEN == 1 << 30 | p.BACKING_MAP.size << 16 | 229 << 8 | 1
    assert p.DEV_IOC_BACKING_CLOSE == 1 << 30 | p.BACKING_ID.size << 16 | 229 << 8 | 2


def test_the_header_is_new_enough_for_this_test(header):
    minor = int(re.search(r"define FUSE_KERNEL_MINOR_VERSION (\d+)", header)[1])
    assert minor >= p.MIN_MINOR
