"""Reads and writes of a disk scheme, one interleaving at a time."""

from __future__ import annotations

from typing import Any

import pytest

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes.block import DiskScheme
from redbear_host.classes.disk import Disk
from redbear_host.classes.diskio import DiskIo
from redbear_host.classes.mbr import BootRecord, PartitionRecord
from redbear_host.errors import Refused
from redbear_host.models.ramdisk import POISON, RamDisk
from redbear_host.scheme.request import LATER, Caller, Request
from redbear_host.scheme.scheme import ROOT

BLOCK = 512
KEEP, PUNCH, ZERO = 1, 2, 16


class Call(Request):
    """A request that keeps its answer; a second one fails the test."""

    def __init__(self) -> None:
        super().__init__()
        self.caller = Caller(1, 0, 0)
        self.results: list[Any] = []
        self.errors: list[int] = []

    def answer(self, result: Any, /) -> None:
        assert self.open
        self.results.append(bytes(result) if isinstance(result, memoryview) else result)

    def refuse(self, errno: int, /) -> None:
        assert self.open
        self.errors.append(errno)

    @property
    def open(self) -> bool:
        return not self.results and not self.errors

    @property
    def result(self) -> Any:
        assert self.errors == []
        assert len(self.results) == 1
        return self.results[0]

    @property
    def error(self) -> int:
        assert self.results == []
        assert len(self.errors) == 1
        return self.errors[0]

    def give_up(self) -> None:
        self.cancelled = True
        assert self.on_cancel is not None
        self.on_cancel(self)


class Bench:
    """One disk behind its scheme, with an open handle on the whole of it."""

    def __init__(self, disk: RamDisk, path: str = "0", **pools: int) -> None:
        self.disk = disk
        self.ios: list[DiskIo] = []

        def make_io(disk: Disk) -> DiskIo:
            self.ios.append(DiskIo(disk, **{"small_bytes": 4 * BLOCK, **pools}))
            return self.ios[-1]

        self.scheme = DiskScheme("disk.test", [disk], make_io=make_io)
        self.scheme.load_partitions(lambda: None)
        self.settle()
        opened = self.scheme.openat(ROOT, path, f.O_RDWR, 0, Call())
        assert opened is not LATER
        self.handle = opened.handle

    def read(self, offset: int, size: int) -> Call:
        call = Call()
        found = self.scheme.read(self.handle, size, offset, 0, call)
        if found is not LATER:
            call.answer(found)
        return call

    def write(self, offset: int, data: bytes, flags: int = 0) -> Call:
        call = Call()
        found = self.scheme.write(self.handle, memoryview(data), offset, flags, call)
        if found is not LATER:
            call.answer(found)
        return call

    def zero(self, mode: int, offset: int, size: int) -> Call:
        call = Call()
        if self.scheme.fallocate(self.handle, mode, offset, size, call) is None:
            call.answer(None)
        return call

    def sync(self) -> Call:
        call = Call()
        assert self.scheme.fsync(self.handle, call) is LATER
        return call

    def commands(self) -> list[str]:
        """Ring the bell; return what runs now."""
        self.scheme.end_batch()
        return [f"{one.kind} {one.lba}+{one.blocks}" for one in self.disk.running]

    def end(self, index: int = 0, error: int = 0) -> None:
        self.scheme.end_batch()
        self.disk.running[index].end(error)

    def settle(self) -> None:
        for _ in range(1000):
            self.scheme.end_batch()
            if not self.disk.running:
                return
            self.disk.end_all()
        raise AssertionError("the disk never comes to rest")


@pytest.fixture
def bench() -> Bench:
    return Bench(RamDisk(64, BLOCK, max_transfer=8 * BLOCK))


def fill(disk: RamDisk) -> bytes:
    disk.data[:] = bytes(at * 7 % 251 for at in range(len(disk.data)))
    return bytes(disk.data)


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


# -- memory --------------------------------------------------------------------------------------


def test_requests_wait_for_memory_in_the_order_they_came() -> None:
    bench = Bench(RamDisk(64, BLOCK, max_transfer=4 * BLOCK), small_most=2)
    calls = [bench.read(at * BLOCK, BLOCK) for at in range(3)]
    calls.append(bench.write(3 * BLOCK, bytes(BLOCK)))
    calls.append(bench.read(4 * BLOCK, 12 * BLOCK))
    assert bench.commands() == ["read 0+1", "read 1+1"]
    bench.end(1)
    assert bench.commands() == ["read 0+1", "read 2+1"]
    bench.end(1)
    assert bench.commands() == ["read 0+1", "write 3+1"]
    bench.end(0)
    assert bench.commands() == ["write 3+1", "read 4+4"]
    bench.settle()
    assert not any(call.errors for call in calls)
    assert [call.open for call in calls] == [False] * 5


def test_memory_is_prepared_as_it_is_needed_and_kept(bench: Bench) -> None:
    small, large = bench.ios[0].small, bench.ios[0].large
    assert len(large.transfers) == 1
    for _ in range(3):
        for _ in range(5):
            bench.read(0, BLOCK)
            bench.read(0, 8 * BLOCK)
        bench.settle()
    assert (len(small.transfers), len(large.transfers)) == (5, 5)


def test_a_disk_short_of_memory_makes_do_with_what_it_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(RamDisk(64, BLOCK, max_transfer=8 * BLOCK, chunks=3))
    calls = [bench.read(0, size * BLOCK) for size in (1, 8) * 4]
    bench.settle()
    assert [len(call.result) for call in calls] == [BLOCK, 8 * BLOCK] * 4
    assert "makes do with" in caplog.text


def test_a_disk_that_moves_little_has_one_pool() -> None:
    bench = Bench(RamDisk(64, BLOCK, max_transfer=BLOCK))
    assert bench.ios[0].small is bench.ios[0].large
    call = bench.read(0, 4 * BLOCK)
    assert len(bench.commands()) == 4
    bench.settle()
    assert len(call.result) == 4 * BLOCK


def test_a_second_completion_of_a_command_is_not_somebody_elses_answer(bench: Bench) -> None:
    bench.read(0, BLOCK)
    bench.settle()
    transfer = bench.ios[0].small.transfers[0]
    for error in (0, e.EIO):
        with pytest.raises(RuntimeError, match="carried no request"):
            transfer.read_done(error)


# -- giving up -----------------------------------------------------------------------------------


def test_a_client_that_gives_up_in_the_queue_is_refused_at_once() -> None:
    bench = Bench(RamDisk(64, BLOCK, max_transfer=4 * BLOCK), small_most=1)
    running, queued, behind = (bench.read(at * BLOCK, BLOCK) for at in range(3))
    several = bench.read(0, 16 * BLOCK)
    queued.give_up()
    several.give_up()
    assert (queued.error, several.error) == (e.ECANCELED, e.ECANCELED)
    bench.settle()
    assert (len(running.result), len(behind.result)) == (BLOCK, BLOCK)


def test_a_client_that_gives_up_on_the_device_gets_the_result(bench: Bench) -> None:
    call = bench.write(0, bytes(8 * BLOCK))
    bench.scheme.end_batch()
    call.give_up()
    assert call.open
    bench.settle()
    assert call.result == 8 * BLOCK


def test_a_stalled_write_that_is_given_up_lets_those_behind_it_go_on(bench: Bench) -> None:
    bench.write(1, b"p")
    whole, behind = bench.write(0, bytes(BLOCK)), bench.write(4 * BLOCK, b"b" * BLOCK)
    assert bench.commands() == ["read 0+1"]
    whole.give_up()
    assert whole.error == e.ECANCELED
    assert bench.commands() == ["read 0+1", "write 4+1"]
    bench.settle()
    assert behind.result == BLOCK


def test_a_partial_write_that_waits_for_memory_is_refused_at_once() -> None:
    bench = Bench(RamDisk(64, BLOCK, max_transfer=4 * BLOCK), small_most=1)
    bench.read(0, BLOCK)
    one, two, alone = bench.write(0, b"a"), bench.write(1, b"b"), bench.write(BLOCK, b"c")
    one.give_up()
    alone.give_up()
    assert (one.error, alone.error) == (e.ECANCELED, e.ECANCELED)
    bench.settle()
    assert two.result == 1
    assert bench.disk.data[:2] == b"\0b"
    assert bench.disk.data[BLOCK] == 0
    assert bench.ios[0].edits == {}


def test_a_partial_write_on_the_device_is_not_withdrawn(bench: Bench) -> None:
    call = bench.write(0, b"a")
    bench.scheme.end_batch()
    call.give_up()
    bench.settle()
    assert call.result == 1


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
    bench.scheme.require_whole_blocks(bench.handle)
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
