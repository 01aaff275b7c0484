"""Flushing and zeroing through a disk scheme, and Redox's rule of whole blocks."""

from __future__ import annotations

from typing import Any

import pytest
from block_bench import BLOCK, KEEP, PUNCH, ZERO, Bench, Call, fill

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.models.ramdisk import POISON, RamDisk
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import ROOT


@pytest.fixture
def bench() -> Bench:
    return Bench(RamDisk(64, BLOCK, max_transfer=8 * BLOCK))


# -- making it durable ---------------------------------------------------------------------------


def test_a_flush_waits_for_nothing_but_the_device() -> None:
    bench = Bench(RamDisk(64, BLOCK), small_most=1, large_most=1)
    bench.read(0, BLOCK)
    bench.read(0, BLOCK)
    sync = bench.sync()
    assert bench.commands() == ["read 0+1", "flush 0+0"]
    bench.end(1)
    assert sync.result is None
    failed = bench.sync()
    bench.end(-1, e.EIO)
    assert failed.error == e.EIO


def test_the_directory_needs_no_flush(bench: Bench) -> None:
    assert bench.scheme.fsync(ROOT, Call()) is None


@pytest.mark.parametrize("data", [b"x" * BLOCK, b"x", b"x" * 20 * BLOCK])
def test_a_write_with_fsync_is_answered_after_a_flush(bench: Bench, data: bytes) -> None:
    call = bench.write(0, data, f.O_FSYNC)
    while bench.commands() != ["flush 0+0"]:
        assert call.open
        bench.end()
    assert bench.disk.data[: len(data)] == data
    assert call.open
    bench.end()
    assert call.result == len(data)


def test_a_handle_opened_with_fsync_flushes_every_write(bench: Bench) -> None:
    bench.scheme.on_close(bench.handle)
    bench.settle()
    opened = bench.scheme.openat(ROOT, "0", f.O_RDWR | f.O_FSYNC, 0, Call())
    assert opened is not LATER
    bench.handle = opened.handle
    call, failed = bench.write(0, bytes(BLOCK)), bench.write(0, bytes(BLOCK))
    bench.end(1, e.EIO)
    bench.end(0)
    assert failed.error == e.EIO
    assert bench.commands() == ["flush 0+0"]
    bench.end(0, e.EIO)
    assert call.error == e.EIO


# -- zeroing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [PUNCH | KEEP, ZERO | KEEP, ZERO])
@pytest.mark.parametrize("zeroes", [True, False])
@pytest.mark.parametrize(
    ("offset", "size"), [(0, 64 * BLOCK), (100, 300), (100, BLOCK), (700, 5000), (BLOCK, BLOCK)]
)
def test_zeroing_zeroes_exactly_the_range(mode: int, zeroes: bool, offset: int, size: int) -> None:
    bench = Bench(RamDisk(64, BLOCK, max_transfer=8 * BLOCK, zeroes=zeroes))
    for _ in range(2):  # the second time the disk's refusal is known
        expected = bytearray(fill(bench.disk))
        expected[offset : offset + size] = bytes(size)
        call = bench.zero(mode, offset, size)
        bench.settle()
        assert call.result is None
        assert bench.disk.data == expected


def test_only_punching_lets_the_device_drop_the_storage() -> None:
    asked: list[bool] = []

    class Watched(RamDisk):
        def write_zeroes(self, lba: int, blocks: int, deallocate: bool, done: Any, /) -> None:
            asked.append(deallocate)
            super().write_zeroes(lba, blocks, deallocate, done)

    bench = Bench(Watched(64, BLOCK))
    for mode in (PUNCH | KEEP, ZERO | KEEP):
        bench.zero(mode, 0, BLOCK)
    bench.settle()
    assert asked == [True, False]


@pytest.mark.parametrize("mode", [0, KEEP, PUNCH, PUNCH | ZERO | KEEP, 0x08, 0x20, 0x40, 1 << 31])
def test_other_modes_are_not_supported(bench: Bench, mode: int) -> None:
    with pytest.raises(Refused) as caught:
        bench.zero(mode, 0, BLOCK)
    assert caught.value.errno == e.EOPNOTSUPP


@pytest.mark.parametrize(("offset", "size"), [(-1, 5), (0, 0), (0, -1)])
def test_an_impossible_range_is_invalid(bench: Bench, offset: int, size: int) -> None:
    with pytest.raises(Refused) as caught:
        bench.zero(ZERO, offset, size)
    assert caught.value.errno == e.EINVAL


def test_zeroing_past_the_end_is_cut_if_the_size_is_kept_and_no_space_if_not(bench: Bench) -> None:
    fill(bench.disk)
    call = bench.zero(PUNCH | KEEP, 63 * BLOCK, 5 * BLOCK)
    bench.settle()
    assert call.result is None
    assert bench.disk.data[63 * BLOCK :] == bytes(BLOCK)
    assert bench.zero(PUNCH | KEEP, 64 * BLOCK, 1).result is None
    with pytest.raises(Refused) as caught:
        bench.zero(ZERO, 63 * BLOCK, 5 * BLOCK)
    assert caught.value.errno == e.ENOSPC


def test_a_large_disk_is_zeroed_step_by_step_and_may_be_given_up() -> None:
    bench = Bench(RamDisk(70_000, BLOCK))
    call = bench.zero(PUNCH | KEEP, 0, 70_000 * BLOCK)
    assert bench.commands() == ["zero 0+65536"]
    call.give_up()
    assert call.open
    bench.end()
    assert call.error == e.ECANCELED
    assert bench.commands() == []
    failed = bench.zero(PUNCH | KEEP, 0, 70_000 * BLOCK)
    bench.end()
    assert bench.commands() == ["zero 65536+4464"]
    bench.end(0, e.EIO)
    assert failed.error == e.EIO
    assert bench.commands() == []


# -- Redox's rule --------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "size"), [(1, BLOCK), (0, 1), (0, BLOCK + 1), (100, 100)])
def test_a_strict_handle_takes_whole_blocks_only(bench: Bench, offset: int, size: int) -> None:
    bench.scheme.hold_to_redox(bench.handle)
    with pytest.raises(Refused) as read:
        bench.read(offset, size)
    with pytest.raises(Refused) as write:
        bench.write(offset, bytes(size))
    assert (read.value.errno, write.value.errno) == (e.EINVAL, e.EINVAL)
    good = bench.read(BLOCK, 2 * BLOCK), bench.write(0, bytes(20 * BLOCK))
    bench.settle()
    assert (len(good[0].result), good[1].result) == (2 * BLOCK, 20 * BLOCK)


def test_the_model_disk_poisons_memory_until_a_read_has_executed(bench: Bench) -> None:
    transfer = bench.ios[0].small.free[-1]
    bench.read(0, BLOCK)
    assert bytes(transfer.view[:BLOCK]) == bytes([POISON]) * BLOCK
    bench.settle()
    assert bytes(transfer.view[:BLOCK]) == bytes(BLOCK)
