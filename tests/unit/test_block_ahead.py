from __future__ import annotations

import pytest
from block_bench import BLOCK, Bench, Call

from redbear_host.abi import errno as e
from redbear_host.classes import readahead
from redbear_host.classes.readahead import SEGMENTS_MOST, WINDOW_LEAST
from redbear_host.models.ramdisk import RamDisk
from redbear_host.scheme.request import LATER

PAGE = 4096


def fill(disk: RamDisk) -> None:
    pattern = bytes(at * 7 % 251 for at in range(251 * 64))
    disk.data[:] = (pattern * (len(disk.data) // len(pattern) + 1))[: len(disk.data)]


@pytest.fixture
def bench() -> Bench:
    made = Bench(RamDisk(64 << 10, max_transfer=128 << 10), ahead_most=SEGMENTS_MOST)
    fill(made.disk)
    return made


def read_on(bench: Bench, count: int, size: int = PAGE, start: int = 0) -> int:
    """Read in order, the disk keeping pace; return how many found their bytes at once."""
    found = 0
    for at in range(start, start + count * size, size):
        call = bench.read(at, size)
        found += not call.open
        bench.settle()
        assert call.result == bytes(bench.disk.data[at : at + size])
    return found


def test_who_reads_in_order_finds_his_bytes_from_the_fourth_read_on(bench: Bench) -> None:
    assert read_on(bench, 3) == 0
    assert read_on(bench, 100, start=3 * PAGE) == 100


def test_a_single_read_and_one_that_follows_it_have_nothing_read_ahead(bench: Bench) -> None:
    bench.read(0, PAGE)
    assert bench.commands() == ["read 0+8"]
    bench.settle()
    bench.read(10 * PAGE, PAGE)
    bench.read(9 * PAGE, PAGE)
    assert bench.commands() == ["read 80+8", "read 72+8"]


def test_nothing_is_read_ahead_for_whoever_reads_here_and_there(bench: Bench) -> None:
    for at in range(500):
        bench.read(at * 7919 % 8000 * PAGE, PAGE)
        assert len(bench.commands()) == 1
        bench.settle()
    assert not bench.ios[0].ahead.free


def test_the_window_doubles_while_it_helps_and_has_a_bound(bench: Bench) -> None:
    widths = []
    for at in range(0, 4 << 20, PAGE):
        bench.read(at, PAGE)
        bench.settle()
        stream = bench.scheme._files[bench.handle].stream
        if stream is not None:
            widths.append(stream.window)
            reach = max((one.end for one in stream.segments), default=0)
            assert reach - stream.position <= stream.window + bench.ios[0].large.size
    assert widths[0] == WINDOW_LEAST
    assert max(widths) == bench.ios[0].ahead.widest == 4 * (128 << 10)
    assert widths == sorted(widths)


def test_a_jump_halves_the_window_and_two_in_a_row_end_the_stream(bench: Bench) -> None:
    read_on(bench, 500)
    file = bench.scheme._files[bench.handle]
    stream = file.stream
    assert stream is not None
    before = stream.window
    bench.read(20 << 20, PAGE)
    assert stream.window == before // 2
    assert file.stream is stream
    bench.read(10 << 20, PAGE)
    assert file.stream is None
    bench.settle()
    assert bench.ios[0].ahead.live == []
    assert read_on(bench, 20, start=30 << 20) == 17


def test_a_look_elsewhere_does_not_end_a_stream(bench: Bench) -> None:
    read_on(bench, 100)
    for at in range(100, 200):
        bench.read((8 << 20) + at * 5 * PAGE, PAGE)
        assert read_on(bench, 1, start=at * PAGE) == 1


def test_large_reads_are_read_ahead_as_single_commands(bench: Bench) -> None:
    size = 128 << 10
    read_on(bench, 3, size)
    bench.read(3 * size, size)
    commands = bench.commands()
    assert commands
    assert all(command.endswith("+256") for command in commands)


def test_reads_that_lie_in_two_segments_are_put_together(bench: Bench) -> None:
    assert read_on(bench, 300, size=1000) >= 290
    assert read_on(bench, 50, size=200 << 10, start=1 << 20) >= 0


def test_nothing_is_read_past_the_end(bench: Bench) -> None:
    end = bench.ios[0].block_count * BLOCK
    assert read_on(bench, 8, start=end - 8 * PAGE) == 5
    assert bench.read(end, PAGE).result == b""


def test_one_who_comes_too_early_waits_for_what_is_under_way(bench: Bench) -> None:
    read_on(bench, 3)
    calls = [bench.read(at * PAGE, PAGE) for at in range(3, 6)]
    bench.scheme.end_batch()
    running = len(bench.disk.running)
    bench.settle()
    assert running <= 4
    assert [call.result for call in calls] == [
        bytes(bench.disk.data[at * PAGE : (at + 1) * PAGE]) for at in range(3, 6)
    ]


def test_an_error_while_reading_ahead_is_nobodys(bench: Bench) -> None:
    read_on(bench, 2)
    bench.read(2 * PAGE, PAGE)
    bench.scheme.end_batch()
    first, *others = bench.disk.running
    first.end()
    waits = bench.read(3 * PAGE, PAGE)
    for command in others:
        command.end(e.EIO)
    assert waits.open
    assert not waits.errors
    bench.settle()
    assert waits.result == bytes(bench.disk.data[3 * PAGE : 4 * PAGE])
    read_on(bench, 10, start=4 * PAGE)


def test_the_reader_of_a_bad_block_gets_its_error_and_no_other(bench: Bench) -> None:
    read_on(bench, 3)
    call = bench.read(3 * PAGE, PAGE)
    for _ in range(20):
        bench.scheme.end_batch()
        for command in list(bench.disk.running):
            bad = command.lba <= 24 < command.lba + command.blocks
            command.end(e.EIO if bad and command.kind == "read" else 0)
    assert call.open is False
    again = bench.read(3 * PAGE, PAGE)
    bench.scheme.end_batch()
    for command in list(bench.disk.running):
        command.end(e.EIO)
    assert (call.errors or again.errors) == [e.EIO]


def test_closing_drops_what_was_read_ahead(bench: Bench) -> None:
    read_on(bench, 3)
    bench.read(3 * PAGE, PAGE)
    bench.scheme.end_batch()
    bench.scheme.on_close(bench.handle)
    assert bench.ios[0].ahead.live == []
    bench.settle()
    assert 0 < len(bench.ios[0].ahead.free) <= SEGMENTS_MOST


def test_the_memory_of_an_idle_reader_goes_to_one_who_reads() -> None:
    disk = RamDisk(64 << 10, max_transfer=128 << 10)
    bench = Bench(disk, ahead_most=4)
    fill(disk)
    bench.scheme.exclusive = False
    idle = bench.handle
    read_on(bench, 1000)
    opened = bench.scheme.openat(0, "0", 0x00030000, 0, Call())
    assert opened is not LATER
    bench.handle = opened.handle
    assert read_on(bench, 100, start=8 << 20) == 97
    bench.handle = idle
    read_on(bench, 10, start=1000 * PAGE)
    ahead = bench.ios[0].ahead
    assert len(ahead.free) + len(ahead.live) == 4


def test_a_disk_short_of_memory_reads_ahead_with_what_there_is() -> None:
    # One small, two large, and one for this.
    disk = RamDisk(64 << 10, max_transfer=128 << 10, chunks=4)
    bench = Bench(disk, ahead_most=8)
    fill(disk)
    assert read_on(bench, 200) > 90


def test_who_writes_just_ahead_of_himself_soon_has_nothing_read_ahead(bench: Bench) -> None:
    read_on(bench, 3)
    moved = 0
    for at in range(3, 60):
        bench.write((at + 1) * PAGE, bytes([at]) * PAGE)
        bench.settle()
        bench.read(at * PAGE, PAGE)
        bench.scheme.end_batch()
        moved += sum(one.blocks for one in bench.disk.running if one.kind == "read")
        bench.settle()
    assert moved < 3 * 57 * 8


def test_who_writes_back_what_he_read_keeps_his_stream(bench: Bench) -> None:
    read_on(bench, 3)
    found = 0
    for at in range(3, 200):
        found += read_on(bench, 1, start=at * PAGE)
        bench.write(at * PAGE, bytes([at & 0xFF]) * PAGE)
        bench.settle()
    assert found > 190
    assert bench.disk.data[150 * PAGE] == 150


def test_a_write_is_seen_by_a_reader_who_has_the_block_read_ahead(bench: Bench) -> None:
    read_on(bench, 10)
    bench.write(10 * PAGE + 5, b"new")
    bench.settle()
    call = bench.read(10 * PAGE, PAGE)
    bench.settle()
    assert call.result[5:8] == b"new"


def test_the_bounds_are_what_the_manual_says() -> None:
    assert readahead.SEGMENTS_MOST * readahead.SEGMENT_BYTES == 8 << 20
    assert readahead.WINDOW_MOST == 4 << 20
