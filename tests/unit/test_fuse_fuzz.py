"""The FUSE door against requests no kernel sends: lengths, opcodes, nodes and handles at random.

A socket pair plays /dev/fuse.  Whatever comes, every request that wants an answer gets exactly one,
nothing escapes, and a well-formed request after it is served.
"""

from __future__ import annotations

import random
from struct import Struct

import pytest
from fuse_bench import Bench

from redbear_host.abi import errno as e
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.scheme import POSITIONED, Entry, Opened, Scheme
from schemefs import protocol as p
from schemefs.journal import Geometry

ROUNDS = 20_000
SILENT = {p.FORGET, p.BATCH_FORGET, p.INTERRUPT}
OPCODES = [
    value
    for name, value in vars(p).items()
    if name.isupper() and type(value) is int and 0 < value < 64 and name not in ("MAJOR", "MINOR")
]


class Blob(Scheme):
    """Two files; the second one makes its readers wait."""

    name = "fuzz"

    def __init__(self):
        self.next = 1
        self.waits = set()

    def openat(self, parent, path, flags, fcntl_flags, request):
        if path not in ("", "one", "waits"):
            raise Refused(e.ENOENT)
        self.next += 1
        if path == "waits":
            self.waits.add(self.next)
        return Opened(self.next, POSITIONED)

    def fstat(self, handle):
        return Stat(st_mode=(MODE_DIR | 0o755) if handle % 2 else (MODE_FILE | 0o644), st_size=100)

    def read(self, handle, size, offset, fcntl_flags, request):
        if handle in self.waits:
            raise Refused(e.EWOULDBLOCK)
        return b"x" * min(size, 100)

    def write(self, handle, data, offset, fcntl_flags, request):
        return len(data)

    def getdents(self, handle, request):
        return [Entry("one"), Entry("waits")]


@pytest.fixture
def bench():
    made = Bench(Blob(), Geometry(requests=64, nodes=64, handles=64))
    yield made
    made.close()


def body(chance):
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.choice((0, 1, 7, 8, 15, 16, 39, 40, 41, 200, 5000)))
    if kind == 1:
        return b"one\0"
    if kind == 2:
        words = [chance.choice((0, 1, 2, 3, 63, 1 << 31, (1 << 64) - 1)) for _ in range(11)]
        return Struct("=11Q").pack(*words)
    return bytes(chance.choice((16, 24, 40, 88)))


def test_whatever_comes_is_answered_once_and_the_next_is_served(bench, caplog):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    waiting = set()
    for _ in range(ROUNDS // 6):
        asked = {}
        for _ in range(6):
            opcode = chance.choice((chance.choice(OPCODES), chance.randrange(1 << 32)))
            node = chance.choice((1, 1, 2, 3, 0, 65, 1 << 63, (1 << 64) - 1))
            length = chance.choice((None, None, None, 0, 39, 79, 1 << 20, (1 << 32) - 1))
            unique = bench.ask(opcode, body(chance), node, length)
            asked[unique] = opcode
        heard = [one[0] for one in bench.answers() if one[0]]
        assert len(heard) == len(set(heard))
        waiting |= {u for u, opcode in asked.items() if opcode not in SILENT}
        assert set(heard) <= waiting
        waiting -= set(heard)
    # What is left was told to wait by the scheme, or silently dropped as malformed forgetting.
    assert len(waiting) <= 64
    assert len(bench.connection.live) <= 64
    sane = bench.ask(p.GETATTR, p.GETATTR_IN.pack(0, 0, 0))
    found = {unique: (error, data) for unique, error, data in bench.answers()}
    assert found[sane][0] == 0
    assert len(found[sane][1]) == p.ATTR_OUT.size + p.ATTR.size


@pytest.mark.parametrize("length", [0, 39, 41, 1 << 20, (1 << 32) - 1])
def test_a_length_that_is_not_that_of_the_message_is_refused(bench, length, caplog):
    unique = bench.ask(p.GETATTR, p.GETATTR_IN.pack(0, 0, 0), length=length)
    assert bench.answers() == [(unique, -5, b"")]
    assert "malformed" in caplog.text


def test_arguments_that_are_too_short_are_refused(bench, caplog):
    unique = bench.ask(p.RENAME2, b"\0" * 4)
    ((answered, error, _),) = bench.answers()
    assert answered == unique
    assert error in (-5, -22)
