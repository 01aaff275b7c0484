from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from redbear_host.hw.dma import PAGE, Arena, Buffer

SIZE = 64 * 1024
BASE = 0x1000_0000


def arena(size: int = SIZE, iova: int = BASE) -> Arena:
    return Arena(memoryview(bytearray(size)), iova)


class Allocations(RuleBasedStateMachine):
    """Allocate and free in any order, with a list of what is live beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = bytearray(SIZE)
        self.arena = Arena(memoryview(self.memory), BASE)
        self.live: list[tuple[Buffer, int]] = []  # with the byte each was filled with
        self.next_fill = 1

    @rule(
        size=st.integers(1, SIZE // 4),
        align=st.integers(0, 14).map(lambda shift: 1 << shift),
        limit=st.integers(BASE, BASE + SIZE) | st.just(1 << 64),
    )
    def alloc(self, size: int, align: int, limit: int) -> None:
        before = self.arena.available
        try:
            buffer = self.arena.alloc(size, align, limit)
        except MemoryError:
            assert self.arena.available == before
            return
        assert buffer.iova % align == 0
        assert buffer.iova >= BASE
        assert buffer.iova + size <= min(limit, BASE + SIZE)
        assert buffer.size == len(buffer.view) == size
        assert bytes(buffer.view) == bytes(size)
        buffer.view[:] = bytes([self.next_fill]) * size
        self.live.append((buffer, self.next_fill))
        self.next_fill = self.next_fill % 255 + 1

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.live) - 1))
        buffer, _ = self.live.pop(index)
        buffer.free()
        with pytest.raises(ValueError, match="freed twice"):
            buffer.free()
        with pytest.raises(ValueError, match="after it was freed"):
            _ = buffer.view

    @invariant()
    def no_two_live_buffers_overlap(self) -> None:
        spans = sorted((buffer.iova, buffer.iova + buffer.size) for buffer, _ in self.live)
        for (_, end), (start, _) in pairwise(spans):
            assert end <= start

    @invariant()
    def nobody_wrote_into_a_live_buffer(self) -> None:
        for buffer, fill in self.live:
            assert bytes(buffer.view) == bytes([fill]) * buffer.size

    @invariant()
    def the_view_is_the_memory_at_the_iova(self) -> None:
        for buffer, _ in self.live:
            start = buffer.iova - BASE
            assert self.memory[start : start + buffer.size] == bytes(buffer.view)

    @invariant()
    def every_byte_is_live_or_available(self) -> None:
        assert self.arena.available == SIZE - sum(buffer.size for buffer, _ in self.live)

    def teardown(self) -> None:
        for buffer, _ in self.live:
            buffer.free()
        # In one piece again, whatever the order was.
        assert self.arena.alloc(SIZE, 1).size == SIZE


TestAllocations = Allocations.TestCase
TestAllocations.settings = settings(deadline=None)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(1, 3 * PAGE), min_size=1, max_size=20), st.randoms())
def test_freed_memory_comes_back(sizes: list[int], random: Random) -> None:
    memory = arena(iova=0)
    whole = memory.available
    buffers = []
    for size in sizes:
        try:
            buffers.append(memory.alloc(size, 1))
        except MemoryError:
            break
    random.shuffle(buffers)
    for buffer in buffers:
        buffer.free()
    assert memory.available == whole
    assert memory.alloc(whole, 1).iova == 0


def test_memory_is_zeroed_each_time_it_is_handed_out() -> None:
    memory = arena(PAGE)
    first = memory.alloc(PAGE)
    first.view[:] = b"\xaa" * PAGE
    first.free()
    assert bytes(memory.alloc(PAGE).view) == bytes(PAGE)


def test_a_full_arena_says_how_full_it_is() -> None:
    memory = arena(2 * PAGE)
    memory.alloc(PAGE)
    with pytest.raises(MemoryError, match=r"0x1001 bytes .* 0x1000 of 0x2000 are free"):
        memory.alloc(PAGE + 1)


def test_a_limit_below_the_arena_leaves_no_room() -> None:
    with pytest.raises(MemoryError, match="below 0x1000"):
        arena().alloc(1, 1, limit=0x1000)


@pytest.mark.parametrize("size", [0, -1])
def test_a_buffer_has_at_least_one_byte(size: int) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        arena().alloc(size)


@pytest.mark.parametrize("align", [0, 3, -4096])
def test_alignment_is_a_power_of_two(align: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        arena().alloc(16, align)


def test_running_off_the_end_of_a_buffer_is_an_error() -> None:
    buffer = arena().alloc(16)
    with pytest.raises(IndexError):
        buffer.view[16] = 1


def test_a_buffer_shows_where_it_is_and_whether_it_is_live() -> None:
    buffer = arena().alloc(16)
    assert repr(buffer) == "<DMA 0x10000000 0x10 bytes>"
    buffer.free()
    assert repr(buffer) == "<DMA 0x10000000 freed>"


def test_an_arena_knows_its_bounds() -> None:
    memory = arena()
    assert (memory.iova, memory.size) == (BASE, SIZE)
