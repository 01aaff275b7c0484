from __future__ import annotations

import os

import pytest
from asked import Asked, errno_of, opened

from daemons.randd.scheme import RandScheme
from daemons.randd.source import Source
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_TYPE
from redbear_host.errors import TransportError
from redbear_host.scheme.scheme import ROOT


@pytest.fixture
def rand():
    source = Source()
    yield RandScheme(source)
    source.close()


@pytest.mark.parametrize("size", [0, 1, 4096, 1 << 20, (1 << 20) + 1, 4 << 20])
def test_a_read_is_never_short(rand, size):
    handle = opened(rand, "", f.O_RDONLY)
    assert len(rand.read(handle, size, 0, 0, Asked())) == size


def test_two_reads_differ_and_use_every_byte_value(rand):
    handle = opened(rand, "urandom", f.O_RDONLY)
    first = bytes(rand.read(handle, 1 << 16, 0, 0, Asked()))
    second = bytes(rand.read(handle, 1 << 16, 0, 0, Asked()))
    assert first != second
    assert len(set(first)) == 256


def test_who_may_write_is_root(rand):
    assert errno_of(rand.openat, ROOT, "", f.O_WRONLY, 0, Asked(uid=1000)) == e.EACCES
    assert errno_of(rand.openat, ROOT, "", f.O_RDWR, 0, Asked(uid=1000)) == e.EACCES
    assert errno_of(rand.openat, ROOT, "", f.O_RDONLY, 0, Asked(uid=1000)) == 0
    assert errno_of(rand.openat, ROOT, "", f.O_WRONLY | f.O_STAT, 0, Asked(uid=1000)) == 0


def test_what_is_written_reaches_the_generator(tmp_path):
    pool = tmp_path / "pool"
    pool.write_bytes(b"")
    source = Source(pool)
    handle = opened(RandScheme(source), "", f.O_RDWR)
    assert RandScheme(source).write(handle, memoryview(b"dice"), 0, 0, Asked()) == 4
    source.close()
    assert pool.read_bytes() == b"dice"


def test_a_handle_does_what_it_was_opened_for(rand):
    reads, writes = opened(rand, "", f.O_RDONLY), opened(rand, "", f.O_WRONLY)
    assert errno_of(rand.write, reads, memoryview(b"x"), 0, 0, Asked()) == e.EBADF
    assert errno_of(rand.read, writes, 1, 0, 0, Asked()) == e.EBADF
    assert errno_of(rand.read, opened(rand, "", f.O_STAT), 1, 0, 0, Asked()) == e.EBADF
    assert errno_of(rand.ftruncate, reads, 0, Asked()) == e.EBADF


def test_it_is_a_character_file_that_stays_as_it_is(rand):
    stat = rand.fstat(opened(rand, "", f.O_STAT))
    assert stat.st_mode & MODE_TYPE == MODE_CHR
    assert stat.st_mode & 0o777 == 0o644
    assert errno_of(rand.openat, ROOT, "other", f.O_RDONLY, 0, Asked()) == e.ENOENT
    assert errno_of(rand.openat, ROOT, "", f.O_DIRECTORY, 0, Asked()) == e.ENOTDIR
    assert errno_of(rand.fchmod, opened(rand, "", f.O_STAT), 0o666, Asked()) == e.EPERM
    assert errno_of(rand.fchown, opened(rand, "", f.O_STAT), 1, 1, Asked()) == e.EPERM


def test_it_is_always_ready(rand):
    handle = opened(rand, "", f.O_RDONLY)
    assert rand.fevent(handle, f.EVENT_READ | f.EVENT_WRITE) == f.EVENT_READ | f.EVENT_WRITE


def test_a_machine_without_the_device_is_the_machines_fault(tmp_path):
    with pytest.raises(TransportError, match="cannot be opened"):
        Source(tmp_path / "urandom")


def test_a_generator_that_is_not_seeded_is_not_used(monkeypatch):
    def unseeded(size, flags):
        raise BlockingIOError

    monkeypatch.setattr(os, "getrandom", unseeded)
    with pytest.raises(TransportError, match="not seeded"):
        Source()
