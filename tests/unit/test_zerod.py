from __future__ import annotations

import mmap
import os
import resource

import pytest
from asked import Asked, errno_of, opened

from daemons.zerod.scheme import NullScheme, ZeroScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_TYPE
from redbear_host.scheme.scheme import ROOT


@pytest.fixture
def zero():
    scheme = ZeroScheme()
    yield scheme
    scheme.end_round()


def test_null_is_at_its_end_and_swallows():
    null = NullScheme()
    handle = opened(null, "", f.O_RDWR)
    assert bytes(null.read(handle, 4096, 0, 0, Asked())) == b""
    assert null.write(handle, memoryview(b"gone"), 0, 0, Asked()) == 4
    assert null.fsize(handle) == 0


@pytest.mark.parametrize("size", [0, 1, 4096, 1 << 20, (1 << 20) + 1, 4 << 20])
def test_zero_reads_as_many_zeroes_as_are_asked_for(zero, size):
    handle = opened(zero, "", f.O_RDONLY)
    assert bytes(zero.read(handle, size, 123, 0, Asked())) == bytes(size)


def test_the_shared_zeroes_cannot_be_written(zero):
    handle = opened(zero, "", f.O_RDONLY)
    with pytest.raises(TypeError):
        zero.read(handle, 16, 0, 0, Asked())[0] = 1


@pytest.mark.parametrize("scheme", [NullScheme(), ZeroScheme()])
def test_a_handle_does_what_it_was_opened_for(scheme):
    reads, writes = opened(scheme, "", f.O_RDONLY), opened(scheme, "", f.O_WRONLY)
    looks = opened(scheme, "", f.O_STAT | f.O_RDONLY)
    assert errno_of(scheme.write, reads, memoryview(b"x"), 0, 0, Asked()) == e.EBADF
    assert errno_of(scheme.read, writes, 1, 0, 0, Asked()) == e.EBADF
    assert errno_of(scheme.read, looks, 1, 0, 0, Asked()) == e.EBADF
    assert errno_of(scheme.ftruncate, reads, 0, Asked()) == e.EBADF
    assert errno_of(scheme.ftruncate, writes, 7, Asked()) == 0
    assert scheme.fstat(writes).st_size == 0


@pytest.mark.parametrize("scheme", [NullScheme(), ZeroScheme()])
def test_they_are_character_files_without_children(scheme):
    assert errno_of(scheme.openat, ROOT, "child", f.O_RDONLY, 0, Asked()) == e.ENOENT
    assert errno_of(scheme.openat, ROOT, "", f.O_DIRECTORY, 0, Asked()) == e.ENOTDIR
    stat = scheme.fstat(opened(scheme, "", f.O_STAT, uid=1000))
    assert stat.st_mode & MODE_TYPE == MODE_CHR
    assert stat.st_mode & 0o777 == 0o666
    assert stat.st_blksize == 4096


@pytest.mark.parametrize("scheme", [NullScheme(), ZeroScheme()])
def test_both_events_are_always_there(scheme):
    handle = opened(scheme, "", f.O_RDWR)
    assert scheme.fevent(handle, f.EVENT_READ | f.EVENT_WRITE) == f.EVENT_READ | f.EVENT_WRITE
    assert scheme.fevent(handle, f.EVENT_READ) == f.EVENT_READ


def test_zeroes_are_in_memory_before_they_are_asked_for(zero):
    """An answer whose pages have to be made first is EIO for its client if we are killed then."""
    answer = zero.read(opened(zero, "", f.O_RDONLY), 1 << 20, 0, 0, Asked())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    assert not any(answer[::4096])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 64


def test_each_mapping_of_zero_is_memory_of_its_own(zero):
    handle = opened(zero, "", f.O_RDWR)
    flags = f.MAP_SHARED | f.PROT_READ | f.PROT_WRITE
    first, second = (zero.mmap_prep(handle, 1 << 20, 8192, flags, Asked()) for _ in range(2))
    one, two = (mmap.mmap(mapped.fd, 8192) for mapped in (first, second))
    zero.end_round()
    one[:5] = b"hello"
    assert two[:] == bytes(8192)
    assert one[:5] == b"hello"  # the memory outlives the descriptor
    one.close()
    two.close()


def test_what_was_handed_out_is_let_go_of_when_the_round_ends(zero):
    handle = opened(zero, "", f.O_RDONLY)
    fd = zero.mmap_prep(handle, 0, 4096, f.MAP_PRIVATE | f.PROT_READ, Asked()).fd
    assert os.fstat(fd).st_size == 4096
    zero.end_round()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_mappings_that_cannot_be_are_refused(zero):
    reads, writes = opened(zero, "", f.O_RDONLY), opened(zero, "", f.O_WRONLY)
    shared = f.MAP_SHARED | f.PROT_WRITE
    assert errno_of(zero.mmap_prep, writes, 0, 4096, f.PROT_READ, Asked()) == e.EACCES
    assert errno_of(zero.mmap_prep, reads, 0, 4096, shared, Asked()) == e.EACCES
    assert errno_of(zero.mmap_prep, reads, 0, 0, f.PROT_READ, Asked()) == e.EINVAL
    assert errno_of(zero.mmap_prep, reads, 0, 1 << 62, f.PROT_READ, Asked()) == e.EINVAL
