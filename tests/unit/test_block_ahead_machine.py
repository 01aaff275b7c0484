"""Readers that mostly read in order, beside writers of all kinds, on a disk without any order.

Whatever was read ahead must not be seen once a change that made it old has been answered.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from block_history import Change, History, Read, Write
from hypothesis import given, settings
from hypothesis import strategies as st

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes.block import DiskScheme
from redbear_host.classes.diskio import DiskIo
from redbear_host.models.ramdisk import RamDisk
from redbear_host.scheme.request import LATER, Request
from redbear_host.scheme.scheme import ROOT

BLOCK = 8
BLOCKS = 40
SIZE = BLOCK * BLOCKS
SEGMENTS = 4
STEPS = ("read", "read", "read", "read", "write", "zero", "pass", "elsewhere", "reopen", "cut")


class Room(History):
    """A disk, its scheme, and three handles with the place where each reads next."""

    def __init__(self, seed: int, errors: bool) -> None:
        self.begin(SIZE)
        self.chance = random.Random(seed)
        self.errors = errors
        self.disk = RamDisk(BLOCKS, BLOCK, max_transfer=4 * BLOCK)
        self.passing: list[Write] = []
        self.ahead_of = 0  # reads that found their bytes there
        make_io = partial(
            DiskIo, small_bytes=2 * BLOCK, small_most=3, large_most=2, ahead_most=SEGMENTS
        )
        self.ios: list[DiskIo] = []

        def keep(disk: Any) -> DiskIo:
            self.ios.append(make_io(disk))
            return self.ios[-1]

        self.scheme = DiskScheme("disk.test", [self.disk], make_io=keep, exclusive=False)
        self.places = {self.open(): 0, self.open(): 7 * BLOCK, self.open(): 90}

    @property
    def io(self) -> DiskIo:
        return self.ios[0]

    def open(self) -> int:
        opened = self.scheme.openat(ROOT, "0", f.O_RDWR, 0, Nobody())
        assert opened is not LATER
        return opened.handle

    def some(self) -> int:
        return self.chance.choice(list(self.places))

    # -- what clients do ---------------------------------------------------------------------------

    def read(self) -> None:
        """Read on through a handle, a few times."""
        handle = self.some()
        size = self.chance.choice((BLOCK, BLOCK, 2 * BLOCK, 5))
        for _ in range(self.chance.randint(1, 6)):
            offset = self.places[handle]
            self.places[handle] = offset + size if offset + size < SIZE else 0
            self.read_at(handle, offset, size)
            if self.chance.random() < 0.5:
                self.work()

    def read_at(self, handle: int, offset: int, size: int) -> None:
        call = Read(self, size, offset)
        self.waiting.append(call)
        found = self.scheme.read(handle, size, offset, 0, call)
        if found is not LATER:
            self.ahead_of += 1
            call.answer(found)

    def elsewhere(self) -> None:
        """Read somewhere else, and perhaps go on from there."""
        handle, offset = self.some(), self.chance.randrange(SIZE)
        if self.chance.random() < 0.7:
            offset = min(max(0, self.places[handle] + self.chance.randint(-20, 60)), SIZE - 1)
        self.read_at(handle, offset, self.chance.choice((3, BLOCK)))
        if self.chance.random() < 0.3:
            self.places[handle] = offset

    def near(self) -> tuple[int, int]:
        """Choose bytes to change around where somebody reads."""
        start = self.places[self.some()] + self.chance.randint(-2 * BLOCK, 8 * BLOCK)
        if self.chance.random() < 0.7:
            start &= -BLOCK
        size = self.chance.choice((BLOCK, BLOCK, 3 * BLOCK, 4, 7 * BLOCK))
        start = min(max(start, 0), SIZE - 1)
        size = min(size, SIZE - start)
        for call in list(self.passing):  # else a race between clients, with any outcome
            if start - BLOCK < call.place.stop and call.place.start < start + size + BLOCK:
                self.end_passing(call)
        return start, size

    def write(self) -> None:
        offset, size = self.near()
        self.value = self.value % 255 + 1
        call = Write(self, size, offset, self.value)
        self.waiting.append(call)
        data = memoryview(bytes([self.value]) * size)
        sync = self.chance.choice((0, 0, f.O_FSYNC))
        assert self.scheme.write(self.some(), data, offset, sync, call) is LATER

    def zero(self) -> None:
        offset, size = self.near()
        call = Change(self, size, offset, 0)
        self.waiting.append(call)
        mode = self.chance.choice((0x03, 0x11))
        assert self.scheme.fallocate(self.some(), mode, offset, size, call) is LATER

    def pass_on(self) -> None:
        """Begin a command that no request of ours is behind; `work` ends it."""
        block = self.near()[0] // BLOCK
        waits = self.io.stalled or self.io.small.waiting or self.io.large.waiting
        if waits or self.io.changing(block, block + 1):
            return  # a race between clients, with any outcome
        self.value = self.value % 255 + 1
        call = Write(self, BLOCK, block * BLOCK, self.value)
        self.waiting.append(call)
        self.passing.append(call)
        self.io.alter(block, block + 1)

    def reopen(self) -> None:
        handle = self.some()
        place = self.places.pop(handle)
        self.scheme.on_close(handle)
        self.places[self.open()] = place

    def cut(self) -> None:
        """Truncate through a handle that nobody else uses: no byte changes."""
        handle = self.open()
        self.scheme.ftruncate(handle, self.chance.randint(0, SIZE), Nobody())
        self.scheme.on_close(handle)

    # -- what the disk does ------------------------------------------------------------------------

    def work(self) -> None:
        """Let the disk begin everything, move some bytes, and end some commands."""
        self.scheme.end_batch()
        chance = self.chance
        for command in chance.sample(self.disk.running, len(self.disk.running)):
            if chance.random() < 0.6:
                command.execute()
        for command in chance.sample(self.disk.running, len(self.disk.running)):
            if chance.random() < 0.5:
                command.end(e.EIO if self.errors and chance.random() < 0.1 else 0)
        for call in list(self.passing):
            if chance.random() < 0.5:
                self.end_passing(call)
        ahead = self.io.ahead
        everywhere = [*ahead.free, *ahead.live]
        assert len({id(one) for one in everywhere}) == len(everywhere) <= SEGMENTS

    def end_passing(self, call: Write) -> None:
        self.passing.remove(call)
        block = call.place.start // BLOCK
        value = next(one.value for one in self.bytes[call.place.start] if one.call is call)
        self.disk.data[call.place.start : call.place.stop] = bytes([value]) * BLOCK
        self.io.altered(block, block + 1)
        call.answer(BLOCK)

    def settle(self) -> None:
        for call in list(self.passing):
            self.end_passing(call)
        for handle in self.places:
            self.scheme.on_close(handle)
        for _ in range(10_000):
            self.scheme.end_batch()
            if not self.disk.running:
                break
            self.disk.running[0].end()
        assert self.waiting == []
        assert self.io.ahead.live == []
        end = self.tick()
        for at, value in enumerate(self.disk.data):
            assert value in self.possible(at, end)


class Nobody(Request):
    """A request that is answered at once."""

    def answer(self, result: Any, /) -> None:
        raise AssertionError(result)

    def refuse(self, errno: int, /) -> None:
        raise AssertionError(errno)


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.sampled_from(STEPS), min_size=30, max_size=120),
    seed=st.integers(0, 1 << 32),
    errors=st.booleans(),
)
def test_what_is_read_ahead_is_never_older_than_an_answered_change(
    steps: list[str], seed: int, errors: bool
) -> None:
    room = Room(seed, errors)
    for step in steps:
        getattr(room, "pass_on" if step == "pass" else step)()
        if room.chance.random() < 0.7:
            room.work()
    room.settle()


def test_these_readers_do_find_their_bytes_read_ahead() -> None:
    room = Room(1, errors=False)
    for _ in range(200):
        room.read()
        room.work()
    room.settle()
    assert room.ahead_of > 100
