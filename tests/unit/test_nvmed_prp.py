"""PRPs of nvmed's chunks, followed by a reader that knows nothing but the specification."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemons.nvmed.prp import DmaChunk, longest
from redbear_host.hw.dma import Arena

IOVA = 0x4000_0000


def pages_of(chunk: DmaChunk, memory: bytearray, size: int, page: int) -> list[int]:
    """The page addresses a controller finds for the first `size` bytes (4.1.1)."""
    count = -(-size // page)
    prp2 = chunk.prp2(size)
    if count == 1:
        assert prp2 == 0
        return [chunk.iova]
    if count == 2:
        return [chunk.iova, prp2]
    assert prp2 // page == (prp2 + 8 * (count - 1) - 1) // page, "the list crosses a page"
    return [chunk.iova, *struct.unpack_from(f"<{count - 1}Q", memory, prp2 - IOVA)]


@given(
    page=st.sampled_from([4096, 8192]),
    size=st.integers(1, 2 << 20),
    shorter=st.lists(st.integers(1, 2 << 20), max_size=5),
    before=st.integers(1, 20000) | st.sampled_from([4096, 8192, 12288]),
)
@example(page=4096, size=1_576_000, shorter=[], before=8192)
@example(page=8192, size=2 << 20, shorter=[8193, 16384, 16385], before=4096)
def test_every_length_up_to_the_chunks_names_its_pages_in_order(
    page: int, size: int, shorter: list[int], before: int
) -> None:
    memory = bytearray(4 << 20)
    arena = Arena(memoryview(memory), IOVA)
    arena.alloc(before, align=8)
    chunk = DmaChunk(arena, page, size)
    assert chunk.iova % page == 0
    for part in (size, *(it for it in shorter if it <= size)):
        expected = list(range(chunk.iova, chunk.iova + part, page))
        assert pages_of(chunk, memory, part, page) == expected
    chunk.free()
    assert arena.available == len(memory) - before


def test_one_list_names_two_mebibytes_and_a_page() -> None:
    assert longest(4096) == (2 << 20) + 4096
    arena = Arena(memoryview(bytearray(4 << 20)), IOVA)
    assert DmaChunk(arena, 4096, longest(4096)).size == longest(4096)
    with pytest.raises(ValueError, match="2101248"):
        DmaChunk(arena, 4096, longest(4096) + 1)
    with pytest.raises(ValueError, match="0"):
        DmaChunk(arena, 4096, 0)


def test_a_chunk_that_finds_no_room_for_its_list_leaves_nothing_behind() -> None:
    arena = Arena(memoryview(bytearray(16384)), IOVA)
    with pytest.raises(MemoryError):
        DmaChunk(arena, 4096, 16384)
    assert arena.available == 16384
