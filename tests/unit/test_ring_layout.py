"""Where everything is in a ring's memory, and what the messages beside it look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbear_host.ring import layout as lay
from redbear_host.ring.layout import Layout

POWERS = [1 << n for n in range(1, 13)]


def test_the_messages_are_these_bytes() -> None:
    hello = lay.HELLO.pack(lay.MAGIC, lay.VERSION, 0, 64, 0, 65536)
    assert hello.hex(" ") == (
        "52 42 42 31 01 00 00 00 40 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00"
    )
    welcome = lay.WELCOME.pack(lay.MAGIC, lay.VERSION, 0, -22)
    assert welcome.hex(" ") == "52 42 42 31 01 00 00 00 ea ff ff ff"
    assert lay.FDS.pack(0x01020304, 2).hex(" ") == "04 03 02 01 02 00 00 00"
    assert lay.BELL == b"\1"


def test_the_indexes_stand_in_cache_lines_of_their_own() -> None:
    places = [lay.MAGIC_AT, lay.SQ_HEAD, lay.SQ_TAIL, lay.CQ_HEAD, lay.CQ_TAIL]
    assert places == [0, 64, 128, 192, 256]
    assert lay.VERSION_AT == 4


def test_a_small_ring_is_laid_out_like_this() -> None:
    small = Layout(2, 4096)
    assert (small.sq_at, small.cq_at, small.arena_at, small.size) == (4096, 8192, 12288, 16384)
    large = Layout(4096, 8192)
    assert large.cq_at == 4096 + 4096 * 64
    assert large.arena_at == large.cq_at + 8192 * 16
    assert large.size == large.arena_at + 8192


@given(st.sampled_from(POWERS), st.integers(1, 16384))
def test_nothing_overlaps_and_everything_starts_on_a_page(entries: int, pages: int) -> None:
    layout = Layout(entries, pages * 4096)
    layout.check()
    assert layout.sq_at >= 4096
    assert layout.cq_at >= layout.sq_at + entries * 64
    assert layout.arena_at >= layout.cq_at + layout.cq_entries * 16
    assert layout.size == layout.arena_at + layout.arena
    assert not any(at % 4096 for at in (layout.sq_at, layout.cq_at, layout.arena_at, layout.size))


@pytest.mark.parametrize("entries", [0, 1, 3, 63, 65, 8192, 1 << 31])
def test_entries_are_a_power_of_two_within_bounds(entries: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Layout(entries, 4096).check()


@pytest.mark.parametrize("arena", [0, 1, 4095, 4097, (64 << 20) + 4096, 1 << 63])
def test_an_arena_is_whole_pages_within_bounds(arena: int) -> None:
    with pytest.raises(ValueError, match="whole pages"):
        Layout(64, arena).check()
