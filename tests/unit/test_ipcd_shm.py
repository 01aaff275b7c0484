from __future__ import annotations

import mmap
import os

import pytest
from asked import Asked, errno_of, opened
from descriptors import descriptors

from daemons.ipcd.shm import ShmScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.scheme.scheme import ROOT

MOST = 1 << 20
MAKE = f.O_CREAT | f.O_RDWR


@pytest.fixture
def shm():
    scheme = ShmScheme(MOST, 8)
    yield scheme
    scheme.close()


def test_two_handles_share_one_piece_of_memory(shm):
    one, two = opened(shm, "x", MAKE), opened(shm, "x", f.O_RDWR)
    assert shm.write(one, memoryview(b"hello"), 3, 0, Asked()) == 5
    assert shm.read(two, 99, 0, 0, Asked()) == b"\0\0\0hello"
    assert shm.fsize(two) == 8
    assert errno_of(shm.openat, ROOT, "x", MAKE | f.O_EXCL, 0, Asked()) == e.EEXIST
    assert errno_of(shm.openat, ROOT, "y", f.O_RDWR, 0, Asked()) == e.ENOENT


def test_what_is_mapped_is_what_is_read(shm):
    handle = opened(shm, "x", MAKE)
    shm.ftruncate(handle, 5000, Asked())
    flags = f.MAP_SHARED | f.PROT_READ | f.PROT_WRITE
    mapped = shm.mmap_prep(handle, 0, 8192, flags, Asked())  # its last page is whole
    with mmap.mmap(mapped.fd, 5000) as memory:
        memory[:4] = b"mine"
        assert shm.read(handle, 4, 0, 0, Asked()) == b"mine"
        shm.write(handle, memoryview(b"ours"), 4096, 0, Asked())
        assert memory[4096:4100] == b"ours"
    assert shm.mmap_prep(handle, 4096, 4096, flags, Asked()).offset == 4096
    assert errno_of(shm.mmap_prep, handle, 0, 8193, flags, Asked()) == e.ERANGE
    assert errno_of(shm.mmap_prep, handle, 1, 4096, flags, Asked()) == e.EINVAL


def test_mapped_memory_cannot_be_pulled_away(shm):
    handle = opened(shm, "x", MAKE)
    shm.ftruncate(handle, 8192, Asked())
    mapped = shm.mmap_prep(handle, 0, 8192, f.MAP_SHARED, Asked())
    assert errno_of(shm.ftruncate, handle, 0, Asked()) == e.EBUSY
    with pytest.raises(PermissionError):
        os.ftruncate(mapped.fd, 0)  # as a client with its duplicate might try
    shm.ftruncate(handle, 16384, Asked())
    assert shm.fsize(handle) == 16384


def test_a_segment_lives_until_it_is_unlinked_and_closed(shm):
    one = opened(shm, "x", MAKE)
    shm.write(one, memoryview(b"kept"), 0, 0, Asked())
    shm.on_close(one)
    two = opened(shm, "x", f.O_RDWR)
    assert shm.read(two, 9, 0, 0, Asked()) == b"kept"
    assert errno_of(shm.unlinkat, ROOT, "x", f.AT_REMOVEDIR, Asked()) == e.ENOTDIR
    assert errno_of(shm.unlinkat, ROOT, "x", 0, Asked(uid=1)) == e.EACCES
    before = descriptors()
    shm.unlinkat(ROOT, "x", 0, Asked())
    assert errno_of(shm.openat, ROOT, "x", f.O_RDWR, 0, Asked()) == e.ENOENT
    assert shm.read(two, 9, 0, 0, Asked()) == b"kept"
    shm.on_close(two)
    assert len(before - descriptors()) == 1


def test_its_owner_and_mode_say_who_may_open_it(shm):
    opened(shm, "mine", MAKE, uid=1000)
    opened(shm, "ours", MAKE | 0o666, uid=1000)
    opened(shm, "shown", MAKE | 0o644, uid=1000)
    for name, errno in (("mine", e.EACCES), ("ours", 0), ("shown", e.EACCES)):
        assert errno_of(shm.openat, ROOT, name, f.O_RDONLY, 0, Asked(uid=1001)) == errno
        assert errno_of(shm.openat, ROOT, name, f.O_RDWR, 0, Asked(uid=1000)) == 0
        assert errno_of(shm.openat, ROOT, name, f.O_STAT, 0, Asked(uid=1001)) == 0
    look = opened(shm, "mine", f.O_STAT)
    assert shm.fstat(look).st_uid == 1000
    assert errno_of(shm.fchmod, look, 0o666, Asked(uid=1001)) == e.EPERM
    shm.fchmod(look, 0o666, Asked(uid=1000))
    assert errno_of(shm.openat, ROOT, "mine", f.O_RDWR, 0, Asked(uid=1001)) == 0
    assert errno_of(shm.fchown, look, 1001, 1001, Asked(uid=1000)) == e.EPERM
    shm.fchown(look, 1001, 0xFFFF_FFFF, Asked())
    assert (shm.fstat(look).st_uid, shm.fstat(look).st_gid) == (1001, 1000)


def test_all_segments_together_are_bounded(shm):
    one, two = opened(shm, "x", MAKE), opened(shm, "y", MAKE)
    shm.ftruncate(one, MOST - 4096, Asked())
    assert errno_of(shm.ftruncate, two, 4097, Asked()) == e.ENOSPC
    assert errno_of(shm.write, two, memoryview(b"x"), 1 << 62, 0, Asked()) == e.ENOSPC
    shm.ftruncate(two, 4096, Asked())
    assert shm.fstatvfs(two).f_bfree == 0


def test_offsets_from_nowhere_are_harmless(shm):
    handle = opened(shm, "x", MAKE)
    top = (1 << 64) - 1
    assert shm.read(handle, 10, top, 0, Asked()) == b""
    assert errno_of(shm.write, handle, memoryview(b"x"), top, 0, Asked()) == e.ENOSPC
    assert errno_of(shm.ftruncate, handle, top, Asked()) == e.ENOSPC
    assert errno_of(shm.mmap_prep, handle, top - 4095, 4096, 0, Asked()) == e.ERANGE


def test_a_handle_does_what_it_was_opened_for(shm):
    opened(shm, "x", MAKE)
    reads, writes = opened(shm, "x", f.O_RDONLY), opened(shm, "x", f.O_WRONLY | f.O_APPEND)
    assert errno_of(shm.write, reads, memoryview(b"x"), 0, 0, Asked()) == e.EBADF
    assert errno_of(shm.read, writes, 1, 0, 0, Asked()) == e.EBADF
    for piece in (b"ab", b"cd"):
        shm.write(writes, memoryview(piece), 0, 0, Asked())
    assert shm.read(reads, 9, 0, 0, Asked()) == b"abcd"
    opened(shm, "x", f.O_WRONLY | f.O_TRUNC)
    assert shm.fsize(reads) == 0


def test_the_directory_lists_segments(shm):
    opened(shm, "b", MAKE)
    opened(shm, "a", MAKE)
    folder = opened(shm, "", f.O_RDONLY | f.O_DIRECTORY)
    assert [entry.name for entry in shm.getdents(folder, Asked())] == ["a", "b"]
    assert errno_of(shm.openat, ROOT, "a/b", MAKE, 0, Asked()) == e.ENOENT
    assert errno_of(shm.openat, ROOT, "", f.O_RDWR, 0, Asked()) == e.EISDIR
    assert errno_of(shm.openat, ROOT, "n" * 256, MAKE, 0, Asked()) == e.ENAMETOOLONG


def test_segments_are_bounded_in_number_and_have_any_name(shm):
    for number in range(7):
        opened(shm, f"{number}", MAKE)
    opened(shm, "n" * 252 + "\udcff", MAKE)
    assert errno_of(shm.openat, ROOT, "more", MAKE, 0, Asked()) == e.ENFILE
    assert errno_of(shm.openat, ROOT, "\0", MAKE, 0, Asked()) == e.ENOENT
    shm.unlinkat(ROOT, "0", 0, Asked())
    assert errno_of(shm.openat, ROOT, "more", MAKE, 0, Asked()) == e.ENFILE  # it is open still
