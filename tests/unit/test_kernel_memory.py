"""The scheme `memory`, called as a door would."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

import pytest
from asked import Asked, errno_of, opened

from kernel_shim.schemes.memory import PAGE, MemoryScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.scheme.loop import Loop

MEMINFO = "MemTotal:        1000 kB\nMemFree:          400 kB\nMemAvailable:     600 kB\n"


class Bench:
    def __init__(self, tmp_path):
        self.dev, self.proc = tmp_path / "dev", tmp_path / "proc"
        self.dev.mkdir()
        (self.proc / "7").mkdir(parents=True)
        (self.proc / "meminfo").write_text(MEMINFO)
        self.loop = Loop()
        self.scheme = MemoryScheme(self.loop, self.dev, self.proc)

    def open(self, path, uid=0, flags=f.O_RDWR):
        return opened(self.scheme, path, flags, uid)

    def map(self, handle, size, offset=0, flags=f.MAP_SHARED):
        return self.scheme.mmap_prep(handle, offset, size, flags, Asked())

    def translate(self, address, pid=7):
        payload = bytearray(struct.pack("<Q", address))
        asked = Asked(pid=pid)
        assert self.scheme.call(self.open("translation"), memoryview(payload), (), asked) == 0
        return struct.unpack("<Q", payload)[0]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.scheme.close()
    bench.loop.close()


@pytest.mark.parametrize(
    "path",
    [
        *("zeroed", "zeroed@wb", "zeroed@uc", "@wc", "physical", "physical@dev"),
        *("translation", "zeroed@wb?phys_contiguous", "?phys_contiguous", "scheme-root"),
    ],
)
def test_the_grammar(bench, path):
    assert bench.scheme.fpath(bench.open(path)) == "/scheme/memory/"
    assert errno_of(bench.open, path, 1000) == (
        0 if path in ("zeroed", "zeroed@wb", "scheme-root") else e.EACCES
    )


@pytest.mark.parametrize(
    "path", ["zero", "zeroed@", "zeroed@xx", "zeroed?fast", "zeroed@wb?phys_contiguous,x", "z" * 65]
)
def test_what_is_no_memory(bench, path):
    assert errno_of(bench.open, path) == e.ENOENT


def test_zeroed_memory_is_fresh_sealed_and_lives_with_its_map(bench):
    handle = bench.open("", uid=1000)
    first, offset = bench.map(handle, 100)
    kept = os.dup(first)
    second, _ = bench.map(handle, PAGE)
    assert (offset, os.fstat(first).st_size) == (0, PAGE)
    assert not os.path.sameopenfile(first, second)
    bench.loop.run_round()  # the scheme lets go of what its door has sent
    for fd in (first, second):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    with mmap.mmap(kept, PAGE) as mapped:
        assert mapped[:] == bytes(PAGE)
        mapped[5] = 1
    with pytest.raises(PermissionError):
        os.ftruncate(kept, 0)
    os.close(kept)


def test_memory_that_cannot_be(bench):
    zeroed = bench.open("zeroed")
    assert errno_of(bench.map, zeroed, 0) == e.EINVAL
    assert errno_of(bench.map, zeroed, PAGE, 5) == e.EINVAL
    assert errno_of(bench.map, zeroed, 1001 * 1024) == e.ENOMEM
    contiguous = bench.open("zeroed?phys_contiguous")
    assert errno_of(bench.map, contiguous, PAGE) == e.EOPNOTSUPP
    assert errno_of(bench.map, contiguous, PAGE, 0, f.MAP_PRIVATE) == e.ENOMEM
    assert errno_of(bench.map, bench.open("translation"), PAGE) == e.EBADF
    assert errno_of(bench.map, bench.open("zeroed", flags=f.O_STAT), PAGE) == e.EBADF


def test_physical_memory_without_dev_mem_is_refused_with_a_sentence(bench, caplog):
    handle = bench.open("physical")
    assert errno_of(bench.map, handle, PAGE) == e.ENODEV
    assert f"this kernel has no {bench.dev}/mem" in caplog.text


def test_physical_memory_that_linux_keeps_to_itself(bench, caplog):
    (bench.dev / "mem").symlink_to("mem")  # any open fails
    assert errno_of(bench.map, bench.open("physical"), PAGE) == e.EPERM
    assert "physical memory is refused" in caplog.text


def test_physical_memory_is_mapped_and_read_at_its_address(bench):
    (bench.dev / "mem").write_bytes(bytes(PAGE) + b"\x55" * PAGE)
    handle = bench.open("physical@uc")
    fd, offset = bench.map(handle, PAGE, PAGE)
    with mmap.mmap(fd, PAGE, offset=offset) as mapped:
        assert mapped[:4] == b"\x55" * 4
    assert bench.scheme.read(handle, 2, PAGE - 1, 0, Asked()) == b"\0\x55"
    plain, _ = bench.map(bench.open("physical"), PAGE)
    assert plain != fd, "cached and uncached are two descriptors"
    assert errno_of(bench.map, handle, PAGE, 100) == e.EINVAL
    assert errno_of(bench.map, handle, 100, 0) == e.EINVAL
    assert errno_of(bench.map, handle, PAGE, 1 << 52) == e.EINVAL
    assert errno_of(bench.map, bench.open("physical@wc"), PAGE) == e.EOPNOTSUPP
    assert errno_of(bench.scheme.read, bench.open("zeroed"), 1, 0, 0, Asked()) == e.EBADF


def test_an_address_is_translated_by_the_callers_pagemap(bench):
    present = 1 << 63
    pages = [0, present | 0x1234, present]
    (bench.proc / "7/pagemap").write_bytes(struct.pack("<3Q", *pages))
    assert bench.translate(PAGE + 0x56) == 0x1234_056
    assert errno_of(bench.translate, 0) == e.ENOENT
    assert errno_of(bench.translate, 3 * PAGE) == e.ENOENT
    assert errno_of(bench.translate, 1 << 63) == e.ENOENT
    assert errno_of(bench.translate, 2 * PAGE) == e.EPERM, "hidden frames are all zero"
    assert errno_of(bench.translate, 0, 8) == e.EPERM
    short = memoryview(bytearray(7))
    translation = bench.open("translation")
    assert errno_of(bench.scheme.call, translation, short, (), Asked(pid=7)) == e.EINVAL
    zeroed = bench.open("zeroed")
    assert errno_of(bench.scheme.call, zeroed, short, (), Asked(pid=7)) == e.EOPNOTSUPP


@pytest.mark.skipif(os.geteuid() != 0, reason="frame numbers are root's")
def test_ones_own_memory_has_an_address():
    memory = mmap.mmap(-1, 2 * PAGE)
    memory[0] = 1
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    scheme = MemoryScheme(Loop())
    handle = opened(scheme, "translation", f.O_RDWR)
    payload = bytearray(struct.pack("<Q", address + 5))
    scheme.call(handle, memoryview(payload), (), Asked(pid=os.getpid()))
    physical = int.from_bytes(payload, "little")
    assert physical % PAGE == 5
    assert physical > PAGE
    unmapped = memoryview(bytearray(struct.pack("<Q", 0x10)))
    assert errno_of(scheme.call, handle, unmapped, (), Asked(pid=os.getpid())) == e.ENOENT


def test_how_much_memory_there_is(bench):
    found = bench.scheme.fstatvfs(bench.open("", flags=f.O_DIRECTORY))
    assert (found.f_bsize, found.f_blocks, found.f_bfree, found.f_bavail) == (4096, 250, 100, 100)


def test_only_the_root_has_others_below_it(bench):
    root = bench.open("scheme-root")
    handle = bench.scheme.openat(root, "zeroed", f.O_RDWR, 0, Asked()).handle
    assert errno_of(bench.scheme.openat, handle, "zeroed", f.O_RDWR, 0, Asked()) == e.EACCES
    names = [x.name for x in bench.scheme.getdents(bench.open("", flags=f.O_DIRECTORY), Asked())]
    assert names == ["zeroed", "physical", "translation"]
