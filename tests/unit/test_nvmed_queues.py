"""nvmed's queues: full rings, any order, batches, doorbells."""

from __future__ import annotations

from typing import Any

import pytest
from nvmed_bench import Bench

from daemons.nvmed.driver import Controller, State
from redbear_host.abi import errno as e
from redbear_host.errors import DeviceError
from redbear_host.hw.ports import InterruptKind
from redbear_host.models.nvme import Fault, Misdeed


@pytest.mark.parametrize("entries", [2, 4, 16])
@pytest.mark.parametrize("polled", [False, True])
def test_more_commands_than_the_ring_holds_wait_their_turn(entries: int, polled: bool) -> None:
    bench = Bench(entries=entries, driver={"polled": polled}, automatic=False)
    disk = bench.start()
    chunks = [disk.chunk(512) for _ in range(50)]
    for index, chunk in enumerate(chunks):
        chunk.view[:] = bytes([index]) * 512
        disk.write(index, 1, chunk, bench.done(index))
    disk.flush_queue()
    for _ in range(300):
        bench.model.run()
        if polled:
            bench.controller.poll()
        else:
            bench.deliver()
        if len(bench.ended) == 50:
            break
    assert bench.ended == dict.fromkeys(range(50), 0)
    assert [bench.model.media[1].read(n)[0] for n in range(50)] == list(range(50))
    assert bench.model.violations == []


def test_completions_in_any_order_end_the_right_commands() -> None:
    bench = Bench(entries=8, automatic=False, driver={"depth": 8})
    disk = bench.start()
    for index in range(100):
        bench.model.media[1].write(index, bytes([index]) * 512)
    chunks = {index: disk.chunk(512) for index in range(100)}
    oldest_first = False
    submitted = 0
    while len(bench.ended) < 100:
        while submitted - len(bench.ended) < 7 and submitted < 100:
            disk.read(submitted, 1, chunks[submitted], bench.done(submitted))
            submitted += 1
        disk.flush_queue()
        bench.model.fetch()
        # One command stays behind for many rounds, so its slot comes by again and again.
        running = bench.model.running
        keep = [it for it in running if it.sqe.slba == 3 and len(bench.ended) < 90]
        for command in list(running)[:: 1 if oldest_first else -1]:
            if command not in keep:
                bench.model.complete(running.index(command))
        oldest_first = not oldest_first
        bench.deliver()
    assert set(bench.ended.values()) == {0}
    assert all(bytes(chunk.view) == bytes([n]) * 512 for n, chunk in chunks.items())
    assert bench.model.violations == []


def test_batches_go_round_a_command_that_stays_behind() -> None:
    bench = Bench(entries=8, driver={"depth": 8})
    disk = bench.start()
    for index in range(100):
        bench.model.media[1].write(index, bytes([index]) * 512)
    bench.model.faults.append(Fault(Misdeed.HOLD, lba=3))
    chunks = [disk.chunk(512) for _ in range(100)]
    for start in range(0, 100, 5):
        lbas = range(start, start + 5)
        disk.read_many(lbas, 1, chunks[start : start + 5], [bench.done(lba) for lba in lbas])
        disk.flush_queue()
        bench.deliver()
        assert len(bench.ended) == start + 4  # all but the held one
    bench.model.release()
    bench.deliver()
    assert bench.ended == dict.fromkeys(range(100), 0)
    assert [chunk.view[0] for chunk in chunks] == list(range(100))
    assert bench.model.violations == []


def test_a_batch_costs_one_doorbell() -> None:
    bench = Bench()
    disk = bench.start()
    writes: list[int] = []
    write = bench.model.write
    bench.model.write = lambda *a: (writes.append(a[0]), write(*a))[1]  # type: ignore[method-assign]
    chunks = [disk.chunk(4096) for _ in range(10)]
    for index, chunk in enumerate(chunks):
        disk.read(index * 8, 8, chunk, bench.done(index))
    assert writes == []
    disk.flush_queue()
    disk.flush_queue()
    bench.deliver()
    assert len(bench.ended) == 10
    assert writes == [0x1008, 0x100C]  # the tail once, the head once


def test_many_is_the_same_as_one_by_one() -> None:
    bench = Bench(driver={"depth": 16})
    disk = bench.start()
    lbas = list(range(0, 400, 9))
    chunks = [disk.chunk(512 if index == 20 else 4096) for index in range(len(lbas))]
    for index, chunk in enumerate(chunks):
        chunk.view[:] = bytes([index]) * chunk.size
    disk.write_many(lbas, 8, chunks, [bench.done(("write", lba)) for lba in lbas])
    disk.flush_queue()
    bench.deliver()
    again = [disk.chunk(4096) for _ in lbas]
    disk.read_many(lbas, 8, again, [bench.done(("read", lba)) for lba in lbas])
    disk.flush_queue()
    bench.deliver()
    small = lbas[20]
    assert bench.ended.pop(("write", small)) == e.EINVAL
    assert set(bench.ended.values()) == {0}
    assert len(bench.ended) == 2 * len(lbas) - 1
    for index, chunk in enumerate(again):
        expected = bytes(4096) if index == 20 else bytes([index]) * 4096
        assert bytes(chunk.view) == expected
    assert bench.model.violations == []


def test_one_bad_address_in_a_batch_spoils_only_itself() -> None:
    bench = Bench()
    disk = bench.start()
    chunks = [disk.chunk(512) for _ in range(3)]
    disk.read_many([1, 1 << 40, 2], 1, chunks, [bench.done(n) for n in range(3)])
    disk.flush_queue()
    bench.deliver()
    assert bench.ended == {0: 0, 1: e.ENXIO, 2: 0}


def test_queues_are_spread_over_vectors_and_take_turns() -> None:
    bench = Bench(vectors=3, driver={"queues": 4})
    disk = bench.start()
    assert sorted(bench.model.sqs) == [0, 1, 2, 3, 4]
    assert [bench.model.cqs[n].vector for n in range(5)] == [0, 1, 2, 1, 2]
    for index in range(8):
        disk.read(index, 1, disk.chunk(512), bench.done(index))
        disk.flush_queue()
    assert [bench.model.sqs[n].tail for n in range(1, 5)] == [2, 2, 2, 2]
    bench.deliver()
    assert bench.ended == dict.fromkeys(range(8), 0)


def test_no_more_queues_than_the_controller_grants() -> None:
    bench = Bench(vectors=5, queues=2, driver={"queues": 4})
    bench.start()
    assert sorted(bench.model.sqs) == [0, 1, 2]


@pytest.mark.parametrize("dstrd", [0, 1, 4])
def test_doorbells_are_where_the_stride_says(dstrd: int) -> None:
    bench = Bench(dstrd=dstrd, driver={"queues": 2})
    bench.start()
    assert bench.write(0, b"\x01" * 512) == 0
    assert bench.read(0, 1) == (0, b"\x01" * 512)
    assert bench.model.violations == []


@pytest.mark.parametrize("dstrd", [9, 12, 15])
def test_doorbells_beyond_the_window_are_refused(dstrd: int) -> None:
    bench = Bench(dstrd=dstrd, driver={"queues": 4})
    with pytest.raises(DeviceError, match="0x4000"):
        bench.controller.start()
    assert bench.controller.state is State.STOPPED
    assert not bench.slot.config.bus_master
    assert bench.slot.dma.allocated == 0


def test_intx_works_with_a_single_vector() -> None:
    bench = Bench(vectors=1, kind=InterruptKind.INTX)
    bench.start()
    assert bench.write(0, b"\x01" * 4096) == 0
    assert bench.read(0, 8) == (0, b"\x01" * 4096)


def test_a_done_may_submit_again() -> None:
    bench = Bench(driver={"depth": 4})
    disk = bench.start()
    chunk = disk.chunk(512)
    left = 20

    def again(errno: int) -> None:
        nonlocal left
        left -= 1
        if left:
            disk.read(left, 1, chunk, again)

    disk.read(0, 1, chunk, again)
    disk.flush_queue()
    bench.deliver()
    assert left == 0


@pytest.mark.parametrize(
    "bad", [{"vectors": 0}, {"queues": 0}, {"depth": 3}, {"depth": 1}, {"depth": 8192}]
)
def test_settings_that_make_no_sense_are_refused(bad: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="no sense"):
        Controller(bench.function, bench.clock, **bad)
