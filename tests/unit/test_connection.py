"""The connection when there is little room."""

from __future__ import annotations

import pytest
from fuse_bench import Bench

from redbear_host.abi.stat import MODE_FILE, Stat
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import POSITIONED, Opened, Scheme
from schemefs import protocol as p
from schemefs.journal import Geometry

WRITE_IN = p.HEAD_BYTES - p.IN_HEADER.size


class Slow(Scheme):
    """Keeps every read and write until it is told to answer."""

    name = "slow"
    root_is_file = True
    replays = True

    def __init__(self):
        self.kept = []

    def openat(self, parent, path, flags, fcntl_flags, request):
        return Opened(1, POSITIONED)

    def fstat(self, handle):
        return Stat(st_mode=MODE_FILE | 0o600, st_size=1 << 30)

    def read(self, handle, size, offset, fcntl_flags, request):
        self.kept.append((request, offset, None))
        return LATER

    def write(self, handle, data, offset, fcntl_flags, request):
        self.kept.append((request, offset, data))
        return LATER


@pytest.fixture
def bench():
    made = Bench(Slow(), Geometry(requests=16, medium=1, big=2, nodes=8, handles=8))
    yield made
    made.close()


def opened(bench):
    unique = bench.ask(p.OPEN, p.OPEN_IN.pack(2, 0))
    ((answered, error, data),) = bench.answers()
    assert (answered, error) == (unique, 0)
    return p.OPEN_OUT.unpack_from(data)[0]


def write(bench, fh, offset, data):
    head = fh.to_bytes(8, "little") + offset.to_bytes(8, "little")
    head += len(data).to_bytes(4, "little")
    return bench.ask(p.WRITE, head.ljust(WRITE_IN, b"\0") + data)


def read(bench, fh, offset, size):
    head = fh.to_bytes(8, "little") + offset.to_bytes(8, "little") + size.to_bytes(4, "little")
    return bench.ask(p.READ, head.ljust(WRITE_IN, b"\0"))


def test_when_memory_for_payloads_runs_out_later_requests_wait_and_none_is_mixed_up(bench):
    fh = opened(bench)
    asked = {}
    for number in range(12):
        data = bytes([number]) * 20_000
        asked[write(bench, fh, number << 16, data)] = data
        asked[read(bench, fh, number << 16, 4096)] = None
    done = {}
    for _ in range(100):
        bench.answers_into(done)
        if not bench.scheme.kept:
            break
        request, offset, data = bench.scheme.kept.pop()
        number = offset >> 16
        if data is None:
            request.answer(b"r" * 4096)
        else:
            assert bytes(data) == bytes([number]) * 20_000
            request.answer(len(data))
    assert set(done) == set(asked)
    assert all(error == 0 for error in done.values())
    assert bench.connection.live == {}


def test_requests_that_are_kept_have_slots_of_their_own(bench):
    fh = opened(bench)
    uniques = [read(bench, fh, number, 512) for number in range(8)]
    assert bench.answers() == []
    assert [offset for _, offset, _ in bench.scheme.kept] == list(range(8))
    assert sorted(bench.connection.live) == uniques
    for request, offset, _ in reversed(bench.scheme.kept):
        request.answer(bytes([offset]) * 512)
    got = {unique: data for unique, _, data in bench.answers()}
    assert got == {unique: bytes([n]) * 512 for n, unique in enumerate(uniques)}
