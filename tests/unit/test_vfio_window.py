"""Windows on memory and behind system calls; where an arena is put."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbear_host.errors import TransportError
from redbear_host.hw.ports import Mmio
from redbear_host.hw.vfio.iova import FIRST, FOUR_GIB, USUAL, choose_iova
from redbear_host.hw.vfio.window import MappedWindow, TrappedWindow

SIZE = 0x100


@pytest.fixture(params=["mapped", "trapped"])
def window(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mmio]:
    if request.param == "mapped":
        mapped = MappedWindow(mmap.mmap(-1, SIZE), SIZE)
        yield mapped
        mapped.close()
        return
    path = tmp_path / "region"
    path.write_bytes(bytes(0x1000 + SIZE))
    fd = os.open(path, os.O_RDWR)
    yield TrappedWindow(fd, 0x1000, SIZE, widest=8)
    os.close(fd)


def test_a_register_is_little_endian_at_every_width(window: Mmio) -> None:
    window.write64(0x10, 0x8877_6655_4433_2211)
    assert [window.read8(0x10 + n) for n in range(8)] == [0x11 * n for n in range(1, 9)]
    assert window.read16(0x12) == 0x4433
    assert window.read32(0x14) == 0x8877_6655
    assert window.read64(0x10) == 0x8877_6655_4433_2211
    window.write8(0x10, 0xAA)
    window.write16(0x12, 0xBBBB)
    window.write32(0x14, 0xCCCC_CCCC)
    assert window.read64(0x10) == 0xCCCC_CCCC_BBBB_22AA


def test_the_last_register_is_there_and_the_one_after_it_is_not(window: Mmio) -> None:
    assert window.read32(SIZE - 4) == 0
    for offset in (SIZE, SIZE + 4, 1 << 40, -4):
        with pytest.raises(ValueError, match="no 32-bit register at"):
            window.read32(offset)
        with pytest.raises(ValueError, match="no 32-bit register at"):
            window.write32(offset, 0)


@pytest.mark.parametrize(("width", "offset"), [(16, 1), (32, 2), (64, 4), (64, SIZE - 4)])
def test_a_misaligned_register_is_refused(window: Mmio, width: int, offset: int) -> None:
    with pytest.raises(ValueError, match=f"no {width}-bit register at {offset:#x} of a window"):
        getattr(window, f"read{width}")(offset)
    with pytest.raises(ValueError, match=f"no {width}-bit register at {offset:#x} of a window"):
        getattr(window, f"write{width}")(offset, 0)


@pytest.mark.parametrize("value", [1 << 32, -1])
def test_a_value_that_does_not_fit_is_not_cut_short(window: Mmio, value: int) -> None:
    with pytest.raises(ValueError, match=r"invalid value|does not fit"):
        window.write32(0, value)
    assert window.read32(0) == 0


def test_a_window_whose_size_is_no_power_of_two_ends_where_it_ends() -> None:
    window = MappedWindow(mmap.mmap(-1, 12), 12)
    assert window.read32(8) == 0
    with pytest.raises((ValueError, IndexError)):
        window.read32(12)
    window.close()


def test_a_closed_window_refuses_and_does_not_crash() -> None:
    window = MappedWindow(mmap.mmap(-1, SIZE), SIZE)
    read32 = window.read32
    window.close()
    with pytest.raises(ValueError, match="released"):
        read32(0)


def test_ports_have_no_64_bit_access(tmp_path: Path) -> None:
    path = tmp_path / "region"
    path.write_bytes(bytes(SIZE))
    fd = os.open(path, os.O_RDWR)
    window = TrappedWindow(fd, 0, SIZE)
    with pytest.raises(ValueError, match="no 64-bit register"):
        window.read64(0)
    os.close(fd)


def test_a_device_that_does_not_answer_reads_as_all_ones(tmp_path: Path) -> None:
    path = tmp_path / "region"
    path.write_bytes(b"")
    fd = os.open(path, os.O_RDONLY)
    window = TrappedWindow(fd, 0, SIZE)
    assert window.read32(0) == 0xFFFF_FFFF
    window.write32(0, 1)
    assert path.read_bytes() == b""
    os.close(fd)


RANGES = st.lists(
    st.tuples(st.integers(0, 1 << 48), st.integers(0, 1 << 36)).map(lambda r: (r[0], r[0] + r[1])),
    max_size=5,
)


@given(ranges=RANGES, size=st.integers(1, 1 << 30))
def test_an_arena_lies_inside_one_range_or_nowhere(
    ranges: list[tuple[int, int]], size: int
) -> None:
    try:
        iova = choose_iova(ranges, size)
    except TransportError:
        # Nowhere: every range is too small once its start is moved up and aligned.
        assert all(last - max(first, FIRST) < size + (2 << 20) for first, last in ranges)
        return
    assert iova >= FIRST
    assert any(first <= iova and iova + size - 1 <= last for first, last in ranges)


def test_an_arena_stays_below_four_gib_and_off_the_interrupt_window() -> None:
    assert choose_iova(USUAL, 64 << 20) == FIRST
    assert choose_iova([(FOUR_GIB, 1 << 40), (0x8000_0000, 0x9FFF_FFFF)], 1 << 20) == 0x8000_0000
    # Too large for what lies below the interrupt window: above it, not across it.
    assert choose_iova(USUAL, 0xF000_0000) == 0xFF00_0000
