"""Listings in progress: a bound on all together, and nobody misses an entry for it."""

from __future__ import annotations

import pytest
from fuse_bench import Bench

from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, Stat
from redbear_host.scheme import listings
from redbear_host.scheme.listings import Listings
from redbear_host.scheme.scheme import Entry, Opened, Scheme
from schemefs import protocol as p
from schemefs.journal import Geometry

READ_IN = p.HEAD_BYTES - p.IN_HEADER.size
COUNT = 40


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(listings, "ENTRIES_MOST", 100)


def test_the_oldest_make_room_and_one_may_be_as_long_as_it_is(few):
    kept = Listings()
    for handle in range(3):
        kept.put(handle, range(COUNT))
    assert [kept.get(handle) is not None for handle in range(3)] == [False, True, True]
    kept.drop(1)
    kept.put(2, range(COUNT))  # anew: it counts once
    kept.put(3, range(100 - COUNT))
    assert [kept.get(handle) is not None for handle in range(4)] == [False, False, True, True]
    kept.put(4, range(1000))
    assert [kept.get(handle) is not None for handle in range(5)] == [False] * 4 + [True]


class Folder(Scheme):
    """One folder, which counts how often it was listed."""

    name = "folder"
    listed = 0
    numbers = 0

    def openat(self, parent, path, flags, fcntl_flags, request):
        self.numbers += 1
        return Opened(self.numbers)

    def fstat(self, handle):
        return Stat(st_mode=MODE_DIR | 0o755, st_nlink=2)

    def getdents(self, handle, request):
        self.listed += 1
        return [Entry(f"entry{number:02}", f.DT_REG) for number in range(COUNT)]


def pieces(bench, fh):
    """Read a folder 100 bytes at a time; yield the names of each piece."""
    place = 0
    while True:
        head = fh.to_bytes(8, "little") + place.to_bytes(8, "little") + (100).to_bytes(4, "little")
        bench.ask(p.READDIR, head.ljust(READ_IN, b"\0"))
        ((_, error, data),) = bench.answers()
        assert error == 0
        if not data:
            return
        names = []
        while data:
            _, place, length, _ = p.DIRENT.unpack_from(data)
            names.append(data[p.DIRENT.size : p.DIRENT.size + length].decode())
            data = data[p.DIRENT.size + length + -(p.DIRENT.size + length) % 8 :]
        yield names


def test_listings_that_gave_way_are_made_again_and_miss_nothing(few):
    bench = Bench(Folder(), Geometry(requests=16, medium=1, big=2, nodes=8, handles=8))
    try:
        handles = []
        for _ in range(3):
            bench.ask(p.OPENDIR, p.OPEN_IN.pack(0, 0))
            ((_, _, data),) = bench.answers()
            handles.append(p.OPEN_OUT.unpack_from(data)[0])
        found = [[], [], []]
        for turn in zip(*(pieces(bench, fh) for fh in handles), strict=True):
            for names, more in zip(found, turn, strict=True):
                names += more
        wanted = [".", "..", *(f"entry{number:02}" for number in range(COUNT))]
        assert found == [wanted] * 3
        assert bench.scheme.listed > 3, "all three were kept"
    finally:
        bench.close()
