"""Requests of a disk scheme that wait for memory, and clients that give up."""

from __future__ import annotations

import pytest
from block_bench import BLOCK, Bench

from redbear_host.abi import errno as e
from redbear_host.models.ramdisk import RamDisk


@pytest.fixture
def bench() -> Bench:
    return Bench(RamDisk(64, BLOCK, max_transfer=8 * BLOCK))


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
