"""nvmed from start to stop, and what may be wrong with a controller before it runs."""

from __future__ import annotations

import pytest
from nvmed_bench import Bench

from daemons.nvmed.driver import Controller, State
from redbear_host.abi import errno as e
from redbear_host.errors import DeviceError, Gone, Stuck
from redbear_host.hw.ports import InterruptKind


def test_stop_shuts_down_gives_memory_back_and_start_works_again() -> None:
    bench = Bench()
    before = bench.slot.dma.allocated
    for round_ in range(3):
        bench.start()
        assert bench.write(0, bytes([round_]) * 512) == 0
        bench.controller.stop()
        assert bench.slot.dma.allocated == before
        assert not bench.slot.config.bus_master
        assert bench.model.media[1].durable[0] == bytes([round_]) * 512
        assert bench.controller.state is State.STOPPED
        bench.function.enable_interrupts(InterruptKind.MSIX, 2)
    assert bench.model.violations == []


def test_stop_lets_running_commands_end() -> None:
    bench = Bench()
    disk = bench.start()
    chunk = disk.chunk(512)
    disk.read(0, 1, chunk, bench.done("read"))
    bench.controller.stop()
    assert bench.ended == {"read": 0}


def test_commands_after_stop_end_with_an_error() -> None:
    bench = Bench()
    disk = bench.start()
    chunk = disk.chunk(512)
    bench.controller.stop()
    disk.read(0, 1, chunk, bench.done("read"))
    disk.flush_queue()
    assert bench.ended == {"read": e.EIO}
    with pytest.raises(DeviceError, match="not started"):
        disk.chunk(512)
    with pytest.raises(DeviceError, match="not started"):
        bench.controller.reset()


def test_start_takes_over_a_controller_that_somebody_left_running() -> None:
    bench = Bench(automatic=False)
    disk = bench.start()
    disk.read(0, 1, disk.chunk(512), bench.done("lost"))
    disk.flush_queue()
    function = bench.slot.open()  # the daemon was killed; its successor opens the function again
    function.enable_interrupts(InterruptKind.MSIX, 2)
    bench.controller = Controller(function, bench.clock, vectors=2)
    write = bench.model.write

    def look(offset: int, value: int, width: int) -> None:
        if offset == 0x14 and not value & 1:
            # It still knows the addresses that its last driver gave it.
            assert not bench.slot.config.bus_master
        write(offset, value, width)

    bench.model.write = look  # type: ignore[method-assign]
    bench.ended.clear()
    bench.start()
    assert bench.controller.namespaces[0].block_count == 2048
    assert bench.model.violations == []


def test_start_waits_as_long_as_cap_to_says() -> None:
    bench = Bench(timeout_units=10)
    bench.model.registers.ready_after = 4.5
    bench.start()
    assert bench.controller.state is State.RUNNING
    assert bench.model.violations == []


def test_a_controller_that_asks_for_hours_is_given_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(version=0x0002_0000)
    bench.model.registers.never_ready = True
    read = bench.model.read

    def patient(offset: int, width: int) -> int:
        """Have CAP.CRMS and the largest CRTO.CRWMT (3.1.3.1, 3.1.3.25)."""
        if offset == 0x68:
            return 0xFFFF
        return read(offset, width) | (1 << 59 if offset == 0 and width == 8 else 0)

    monkeypatch.setattr(bench.model, "read", patient)
    began = bench.clock.now()
    with pytest.raises(Stuck, match="CSTS"):
        bench.controller.start()
    assert 60 < bench.clock.now() - began < 600


def test_a_controller_that_never_becomes_ready_is_stuck() -> None:
    bench = Bench(timeout_units=4)
    bench.model.registers.never_ready = True
    began = bench.clock.now()
    with pytest.raises(Stuck, match="CSTS"):
        bench.controller.start()
    assert 2.0 <= bench.clock.now() - began < 3.0
    assert not bench.slot.config.bus_master
    assert bench.slot.dma.allocated == 0
    bench.model.registers.never_ready = False
    bench.start()
    assert bench.controller.state is State.RUNNING


def test_a_controller_that_cannot_be_disabled_is_stuck_and_gets_no_memory() -> None:
    bench = Bench()
    bench.model.registers.never_idle = True
    with pytest.raises(Stuck, match="CSTS"):
        bench.controller.start()
    assert not bench.slot.config.bus_master


def test_a_controller_that_fails_while_it_is_enabled_is_an_error() -> None:
    bench = Bench()
    bench.model.registers.ready_after = 0.01
    write = bench.model.write

    def fail(offset: int, value: int, width: int) -> None:
        write(offset, value, width)
        bench.model.registers.fatal = offset == 0x14 and bool(value & 1)

    bench.model.write = fail  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="CFS=True"):
        bench.controller.start()


def test_a_predecessor_that_died_while_enabling_is_waited_for() -> None:
    bench = Bench(timeout_units=4)
    bench.model.registers.ready_after = 1.0
    bench.function.bar(0).write32(0x14, 0x0046_0001)
    bench.start()
    assert bench.controller.state is State.RUNNING
    assert "EN was cleared before RDY became 1" not in bench.model.violations


def test_a_function_that_is_not_there_is_gone() -> None:
    bench = Bench()
    bench.slot.pull()
    with pytest.raises(Gone):
        bench.controller.start()


def test_no_memory_for_the_queues_is_said_and_leaves_nothing() -> None:
    bench = Bench(entries=4096, driver={"depth": 4096, "queues": 4})
    bench.function.dma.alloc(3 << 20)
    with pytest.raises(MemoryError):
        bench.controller.start()
    assert bench.controller.state is State.STOPPED
    assert not bench.slot.config.bus_master
