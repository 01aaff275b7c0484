"""Reads and writes of a disk scheme, one interleaving at a time."""

from __future__ import annotations

from typing import Any

import pytest
from block_bench import BLOCK, KEEP, PUNCH, ZERO, Bench, Call, fill

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes.mbr import BootRecord, PartitionRecord
from redbear_host.errors import Refused
from redbear_host.models.ramdisk import RamDisk
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import ROOT


@pytest.fixture
def bench() -> Bench:
    return Bench(RamDisk(64, BLOCK, max_transfer=8 * BLOCK))


@pytest.mark.parametrize(
    ("offset", "size", "commands"),
    [
        (0, BLOCK, ["read 0+1"]),
        (BLOCK, 4 * BLOCK, ["read 1+4"]),
        (BLOCK, 8 * BLOCK, ["read 1+8"]),
        (3, 5, ["read 0+1"]),
        (BLOCK - 1, 2, ["read 0+2"]),
        (1, 8 * BLOCK, ["read 0+8", "read 8+1"]),
        (2 * BLOCK, 20 * BLOCK, ["read 2+8", "read 10+8", "read 18+4"]),
    ],
)
def test_reads_ask_for_the_blocks_they_need_and_all_parts_at_once(
    bench: Bench, offset: int, size: int, commands: list[str]
) -> None:
    data = fill(bench.disk)
    call = bench.read(offset, size)
    assert bench.commands() == commands
    while bench.disk.running:
        assert call.open
        bench.end(-1)
    assert call.result == data[offset : offset + size]


@pytest.mark.parametrize(
    ("offset", "size", "commands"),
    [
        (0, BLOCK, ["write 0+1"]),
        (BLOCK, 8 * BLOCK, ["write 1+8"]),
        (2 * BLOCK, 20 * BLOCK, ["write 2+8", "write 10+8", "write 18+4"]),
        (3, 5, ["read 0+1"]),
        (3, BLOCK, ["read 0+1", "read 1+1"]),
        (3, 2 * BLOCK, ["read 0+1", "write 1+1", "read 2+1"]),
        (BLOCK, BLOCK + 1, ["write 1+1", "read 2+1"]),
        (BLOCK - 1, BLOCK + 1, ["read 0+1", "write 1+1"]),
    ],
)
def test_writes_read_only_the_blocks_they_cover_in_part(
    bench: Bench, offset: int, size: int, commands: list[str]
) -> None:
    expected = bytearray(fill(bench.disk))
    data = bytes(255 - at % 256 for at in range(size))
    expected[offset : offset + size] = data
    call = bench.write(offset, data)
    assert bench.commands() == commands
    bench.settle()
    assert call.result == size
    assert bench.disk.data == expected


@pytest.mark.parametrize("offset", [64 * BLOCK, 64 * BLOCK + 1, 1 << 62, (1 << 64) - 1])
def test_at_the_end_reads_are_empty_and_writes_find_no_space(bench: Bench, offset: int) -> None:
    assert bench.read(offset, BLOCK).result == b""
    with pytest.raises(Refused) as caught:
        bench.write(offset, b"x")
    assert caught.value.errno == e.ENOSPC


def test_across_the_end_reads_and_writes_are_short(bench: Bench) -> None:
    read, write = bench.read(63 * BLOCK + 100, BLOCK), bench.write(62 * BLOCK, bytes(9 * BLOCK))
    bench.settle()
    assert len(read.result) == BLOCK - 100
    assert write.result == 2 * BLOCK


def test_empty_requests_are_answered_without_the_disk(bench: Bench) -> None:
    assert bench.read(0, 0).result == b""
    assert bench.write(0, b"").result == 0
    assert bench.commands() == []


def test_a_partition_is_shifted_and_cut_at_its_own_end() -> None:
    disk = RamDisk(64, BLOCK)
    record = bytes(PartitionRecord(OSType=0x83, StartingLBA=8, SizeInLBA=4))
    disk.data[:BLOCK] = bytes(BootRecord(PartitionRecord=record, Signature=0xAA55))
    bench = Bench(disk, "0p0")
    fast, slow = bench.write(0, b"a" * BLOCK), bench.write(3 * BLOCK + 1, b"b" * BLOCK)
    read = bench.read(BLOCK, BLOCK)
    assert bench.commands() == ["write 8+1", "read 11+1", "read 9+1"]
    bench.settle()
    assert (fast.result, slow.result, read.result) == (BLOCK, BLOCK - 1, bytes(BLOCK))
    assert disk.data[8 * BLOCK : 9 * BLOCK] == b"a" * BLOCK
    assert disk.data[11 * BLOCK : 13 * BLOCK] == b"\0" + b"b" * (BLOCK - 1) + bytes(BLOCK)
    zeroed = bench.zero(ZERO, 3 * BLOCK, BLOCK)
    bench.settle()
    assert zeroed.result is None
    assert disk.data[11 * BLOCK : 12 * BLOCK] == bytes(BLOCK)


def test_the_first_error_wins_and_comes_when_the_last_part_has_ended(bench: Bench) -> None:
    for call in (bench.read(0, 20 * BLOCK), bench.write(0, bytes(20 * BLOCK))):
        bench.end(1, e.EIO)
        bench.end(1, e.ENODEV)
        assert call.open
        bench.end(0)
        assert call.error == e.EIO


def test_an_error_is_that_requests_alone(bench: Bench) -> None:
    calls = [bench.read(0, BLOCK), bench.read(0, BLOCK), bench.write(0, bytes(BLOCK))]
    bench.end(0, e.EIO)
    bench.settle()
    assert calls[0].error == e.EIO
    assert (len(calls[1].result), calls[2].result) == (BLOCK, BLOCK)


# -- partial writes ------------------------------------------------------------------------------


def test_partial_writes_to_one_block_share_its_edit_and_lose_nothing(bench: Bench) -> None:
    calls = [bench.write(at, bytes([at + 1])) for at in range(8)]
    assert bench.commands() == ["read 0+1"]
    bench.end()
    late = bench.write(8, b"\x09")
    assert bench.commands() == ["write 0+1"]
    bench.end()
    assert [call.result for call in calls] == [1] * 8
    assert late.open
    assert bench.commands() == ["write 0+1"], "the block is known and not read again"
    bench.settle()
    assert late.result == 1
    assert bench.disk.data[:10] == bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 0])


def test_a_whole_write_waits_for_the_edit_of_its_block(bench: Bench) -> None:
    patch = bench.write(1, b"p")
    whole = bench.write(0, b"w" * 2 * BLOCK)
    elsewhere = bench.write(4 * BLOCK, b"e" * BLOCK)
    assert bench.commands() == ["read 0+1"]
    bench.settle()
    assert (patch.result, whole.result, elsewhere.result) == (1, 2 * BLOCK, BLOCK)
    assert bench.disk.data[: 2 * BLOCK] == b"w" * 2 * BLOCK


def test_a_whole_write_elsewhere_does_not_wait_for_an_edit(bench: Bench) -> None:
    bench.write(1, b"p")
    bench.write(4 * BLOCK, bytes(BLOCK))
    bench.write(8 * BLOCK, bytes(8 * BLOCK))
    assert bench.commands() == ["read 0+1", "write 4+1", "write 8+8"]


@pytest.mark.parametrize("blocks", [1, 8])
def test_a_partial_write_waits_for_the_whole_write_of_its_block(bench: Bench, blocks: int) -> None:
    whole = bench.write(0, b"w" * blocks * BLOCK)
    patch = bench.write((blocks - 1) * BLOCK + 1, b"p")
    assert bench.commands() == [f"write 0+{blocks}"]
    bench.end()
    assert whole.result == blocks * BLOCK
    assert bench.commands() == [f"read {blocks - 1}+1"]
    bench.settle()
    assert patch.result == 1
    assert bench.disk.data[(blocks - 1) * BLOCK :][:3] == b"wpw"


def test_a_partial_write_waits_for_a_whole_write_that_waits_for_memory() -> None:
    bench = Bench(RamDisk(64, BLOCK, max_transfer=8 * BLOCK), large_most=1)
    first = bench.write(16 * BLOCK, bytes(8 * BLOCK))
    whole = bench.write(0, b"w" * 8 * BLOCK)
    patch = bench.write(1, b"p")
    assert bench.commands() == ["write 16+8"]
    bench.settle()
    assert (first.result, whole.result, patch.result) == (8 * BLOCK, 8 * BLOCK, 1)
    assert bench.disk.data[:3] == b"wpw"


def test_a_partial_write_waits_for_the_zeroing_of_its_block(bench: Bench) -> None:
    fill(bench.disk)
    zero = bench.zero(ZERO | KEEP, 0, 4 * BLOCK)
    patch = bench.write(1, b"p")
    assert bench.commands() == ["zero 0+4"]
    bench.settle()
    assert (zero.result, patch.result) == (None, 1)
    assert bench.disk.data[:3] == b"\0p\0"


def test_zeroing_waits_for_the_edit_of_its_block(bench: Bench) -> None:
    patch = bench.write(1, b"p")
    zero = bench.zero(ZERO | KEEP, 0, 4 * BLOCK)
    assert bench.commands() == ["read 0+1"]
    bench.settle()
    assert (zero.result, patch.result) == (None, 1)
    assert bench.disk.data[:3] == b"\0\0\0"


def test_later_writes_do_not_pass_one_that_stalls(bench: Bench) -> None:
    patch = bench.write(1, b"p")
    whole = bench.write(0, b"w" * BLOCK)
    second = bench.write(2, b"q")
    assert bench.commands() == ["read 0+1"]
    bench.end()
    assert bench.commands() == ["write 0+1"]
    bench.end()
    assert patch.result == 1
    assert bench.commands() == ["write 0+1"]
    bench.end()
    assert whole.result == BLOCK
    bench.settle()
    assert second.result == 1
    assert bench.disk.data[:4] == b"wwqw"


def test_whole_writes_do_not_starve_a_partial_one(bench: Bench) -> None:
    bench.write(0, b"a" * BLOCK)
    patch = bench.write(1, b"p")
    later = bench.write(0, b"b" * BLOCK)
    assert bench.commands() == ["write 0+1"]
    bench.end()
    assert bench.commands() == ["read 0+1"]
    bench.settle()
    assert (patch.result, later.result) == (1, BLOCK)
    assert bench.disk.data[:3] == b"bbb"


@pytest.mark.parametrize("edits", [1, 2, 3, 6])
def test_a_whole_write_finds_an_edit_anywhere_in_its_range(bench: Bench, edits: int) -> None:
    for block in range(edits):
        bench.write((1 + 10 * block) * BLOCK, b"p")
    bench.write(0, b"w" * 2 * BLOCK)
    assert bench.commands() == [f"read {1 + 10 * block}+1" for block in range(edits)]
    bench.settle()
    assert bench.disk.data[: 2 * BLOCK] == b"w" * 2 * BLOCK


def test_a_failed_read_fails_the_partial_writes_that_needed_it(bench: Bench) -> None:
    calls = [bench.write(at, b"x") for at in range(2)]
    stalled = bench.write(0, b"w" * BLOCK)
    bench.end(0, e.EIO)
    assert [call.error for call in calls] == [e.EIO, e.EIO]
    bench.settle()
    assert stalled.result == BLOCK
    assert bench.write(0, b"y").open
    bench.settle()
    assert bench.disk.data[:2] == b"yw"


def test_after_a_failed_write_the_block_is_read_again(bench: Bench) -> None:
    first = bench.write(0, b"x")
    bench.end()
    second = bench.write(1, b"y")
    bench.end(0, e.EIO)
    assert first.error == e.EIO
    assert bench.commands() == ["read 0+1"]
    bench.settle()
    assert second.result == 1
    assert bench.disk.data[:2] == b"\0y", "what failed is not written by the next one"


@pytest.mark.parametrize("error", [0, e.EIO])
@pytest.mark.parametrize("steps", [0, 1])
def test_a_client_may_write_again_from_within_its_answer(
    bench: Bench, error: int, steps: int
) -> None:
    again: list[Call] = []

    class Eager(Call):
        def answer(self, result: Any, /) -> None:
            super().answer(result)
            again.append(bench.write(1, b"y"))

        def refuse(self, errno: int, /) -> None:
            super().refuse(errno)
            again.append(bench.write(1, b"y"))

    call = Eager()
    assert bench.scheme.write(bench.handle, memoryview(b"x"), 0, 0, call) is LATER
    for _ in range(steps):
        bench.end()
    bench.end(0, error)
    bench.settle()
    assert [one.result for one in again] == [1]
    assert bench.disk.data[1] == ord("y")


@pytest.mark.parametrize("how", ["open", "ftruncate"])
def test_a_file_that_was_cut_grows_by_what_is_written_and_has_no_holes(how: str) -> None:
    bench = Bench(RamDisk(64, BLOCK))
    bench.scheme.on_close(bench.handle)
    bench.settle()
    found = bench.scheme.openat(ROOT, "0", f.O_RDWR | f.O_TRUNC * (how == "open"), 0, Call())
    assert found is not LATER
    bench.handle = found.handle
    if how == "ftruncate":
        bench.scheme.ftruncate(bench.handle, 0, Call())
    fill(bench.disk)
    before = bytes(bench.disk.data)
    end = 0
    for size in (BLOCK, 10, 2 * BLOCK):  # whole and partial blocks, one behind the other
        bench.write(end, b"x" * size)
        bench.settle()
        end += size
    bench.write(0, b"y" * BLOCK)
    bench.settle()
    for call in (
        lambda: bench.write(end + 1, b"z"),
        lambda: bench.write(4 * BLOCK, b"z" * BLOCK),
        lambda: bench.scheme.ftruncate(bench.handle, 64 * BLOCK, Call()),
    ):
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.errno == e.EOPNOTSUPP
    assert bench.disk.data[:end] == b"y" * BLOCK + b"x" * (end - BLOCK)
    assert bench.disk.data[end:] == before[end:]


def test_a_hole_that_is_punched_is_none() -> None:
    bench = Bench(RamDisk(64, BLOCK))
    fill(bench.disk)
    bench.scheme.ftruncate(bench.handle, 0, Call())
    bench.zero(PUNCH | KEEP, 0, 10 * BLOCK)
    bench.write(10 * BLOCK, b"x" * BLOCK)
    bench.settle()
    assert bench.disk.data[: 11 * BLOCK] == bytes(10 * BLOCK) + b"x" * BLOCK
    with pytest.raises(Refused):
        bench.write(12 * BLOCK, b"x")


def test_a_file_that_was_cut_where_dd_seeks_to_is_written_from_there() -> None:
    bench = Bench(RamDisk(64, BLOCK))
    bench.scheme.ftruncate(bench.handle, 20 * BLOCK, Call())
    call = bench.write(20 * BLOCK, b"x" * BLOCK)
    bench.settle()
    assert call.result == BLOCK
