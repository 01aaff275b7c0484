"""ahcid against a modelled adapter whose faults come one at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ahcid_bench import TIMEOUT, Bench

from daemons.ahcid.driver import Controller, State
from daemons.ahcid.state import State as PortState
from redbear_host.abi import errno as e
from redbear_host.classes.commands import AtaCommand, AtaResult, Transfer
from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.ports import InterruptKind
from redbear_host.models.ahci import Drive, Fault, Misdeed
from redbear_host.models.memory import LiveBuffer

UNC, ICRC, ABRT = 0x40, 0x80, 0x04
READ_FPDMA, READ_DMA_EXT, READ_LOG, FLUSH_EXT = 0x60, 0x25, 0x2F, 0xEA


def data(byte: int, blocks: int = 1) -> bytes:
    return bytes([byte]) * 512 * blocks


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.start()
    yield bench
    bench.controller.stop()
    assert bench.slot.dma.allocated == allocated(bench)
    assert bench.model.violations == []


def allocated(bench: Bench) -> int:
    """Bytes that tests keep in chunks of their own."""
    return sum(chunk.size for chunk in getattr(bench, "chunks", []))


def reads(bench: Bench, count: int, blocks: int = 8) -> list[object]:
    """Queue reads of consecutive places, and hand them over; return their tags."""
    disk = bench.disk()
    chunks = [disk.chunk(blocks * 512) for _ in range(count)]
    bench.chunks = [*getattr(bench, "chunks", []), *chunks]  # type: ignore[attr-defined]
    tags: list[object] = []
    for index, chunk in enumerate(chunks):
        tag = object()
        disk.read(index * blocks, blocks, chunk, bench.done(tag))
        tags.append(tag)
    disk.flush_queue()
    return tags


def outcome(bench: Bench, tags: list[object]) -> list[int]:
    bench.wait_until(lambda: all(tag in bench.ended for tag in tags))
    return [bench.ended[tag] for tag in tags]


# -- coming up -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [InterruptKind.MSIX, InterruptKind.INTX])
@pytest.mark.parametrize(
    "model",
    [
        {}, {"staggered": True}, {"handoff": True}, {"slots": 1}, {"slots": 4}, {"ncq": False},
        {"wide": False},
    ],
    ids=str,
)  # fmt: skip
def test_an_adapter_of_any_kind_serves(kind: InterruptKind, model: dict[str, bool]) -> None:
    bench = Bench([None, Drive(), None, Drive(blocks=64, shift=12)], kind=kind, **model)
    disk = bench.start()
    assert [it.number for it in bench.controller.disks] == [0, 1]
    assert (disk.block_size, disk.block_count) == (512, 2048)
    assert bench.write(5, data(7, 9)) == 0
    assert bench.read(4, 11) == (0, data(0) + data(7, 9) + data(0))
    assert bench.disk(1).block_size == 4096
    assert bench.write(63, bytes([3]) * 4096, 1) == 0
    assert bench.read(63, 1, 1) == (0, bytes([3]) * 4096)
    bench.disk(1).flush(bench.done("flush"))
    bench.disk(1).flush_queue()
    bench.wait(0.1)
    assert bench.ended["flush"] == 0
    assert len(bench.model.ports[3].drive.durable) == 1  # type: ignore[union-attr]
    bench.controller.stop()
    assert bench.slot.dma.allocated == 0
    assert bench.model.violations == []


def test_a_bios_that_does_not_answer_loses_the_adapter() -> None:
    bench = Bench(handoff=True)
    bench.model.bios_answers = False
    bench.start()
    assert bench.read(0, 1)[0] == 0
    assert bench.model.violations == []


def test_ports_that_a_reset_forgets_are_written_back() -> None:
    bench = Bench([Drive()])
    bench.model.forgetful = True
    bench.start()
    assert len(bench.controller.disks) == 1


def test_a_slow_reset_and_a_disk_that_spins_up_are_waited_for() -> None:
    bench = Bench()
    bench.model.reset_after = 0.8
    bench.model.ports[0].ready_after = 20.0
    bench.start()
    assert bench.read(0, 1)[0] == 0


def test_an_adapter_that_never_resets_is_an_error_and_may_be_tried_again() -> None:
    bench = Bench()
    bench.model.never_reset = True
    with pytest.raises(DeviceError, match="not reset"):
        bench.controller.start()
    assert not bench.slot.config.bus_master
    bench.model.never_reset = False
    bench.model.reset()
    bench.start()
    assert bench.read(0, 1)[0] == 0


def test_an_adapter_that_has_left_is_gone() -> None:
    bench = Bench()
    bench.slot.pull()
    with pytest.raises(Gone):
        bench.controller.start()


@pytest.mark.parametrize(
    "odd", [bytes(512), b"\xff" * 512, bytes(510) + b"\xa5\x00", b"\x00\x80" + bytes(510)]
)
def test_a_disk_whose_identify_makes_no_sense_is_left_out(odd: bytes) -> None:
    bench = Bench([Drive(identity=odd), Drive()])
    bench.start()
    assert [disk.facts.serial for disk in bench.controller.disks] == ["MODEL-1"]
    assert bench.read(0, 1)[0] == 0
    bench.controller.stop()
    assert bench.slot.dma.allocated == 0


def test_a_disk_that_never_becomes_ready_is_left_out() -> None:
    bench = Bench([Drive(), Drive()])
    bench.model.ports[0].never_ready = True
    bench.start()
    assert len(bench.controller.disks) == 1


def test_a_disk_of_28_bits_without_queuing() -> None:
    bench = Bench([Drive(blocks=600, lba48=False, depth=0, trim=False)])
    disk = bench.start()
    assert disk.max_transfer == 256 * 512
    assert bench.write(300, data(9, 256)) == 0
    assert bench.read(299, 256) == (0, data(0) + data(9, 255))
    disk.discard(0, 1, bench.done("trim"))
    disk.flush(bench.done("flush"))
    disk.flush_queue()
    bench.wait(0.1)
    assert bench.ended["trim"] == e.EOPNOTSUPP
    assert bench.ended["flush"] == 0


# -- commands that fail ----------------------------------------------------------------------------


@pytest.mark.parametrize("logs", [True, False])
def test_a_queued_command_that_fails_is_found_among_all(logs: bool) -> None:
    bench = Bench([Drive(logs=logs)], automatic=False)
    bench.model.automatic = True
    bench.start()
    bench.model.automatic = False
    fault = Fault(Misdeed.FAIL, UNC, times=1 if logs else 2, lba=80)
    bench.model.faults.append(fault)
    tags = reads(bench, 40)
    bench.model.automatic = True
    bench.model.run()
    ended = outcome(bench, tags)
    assert ended == [e.EIO if index == 10 else 0 for index in range(40)]
    assert bench.port().counters.comresets == (0 if logs else 1)
    assert bench.port().commands.most_at_once == 32
    assert bench.model.violations == []


def test_a_log_of_errors_that_does_not_come_accuses_nobody() -> None:
    bench = Bench(automatic=False)
    bench.model.automatic = True
    bench.start()
    bench.model.automatic = False
    bench.model.faults.append(Fault(Misdeed.HOLD, lba=0))  # tag 0 is there when another fails
    bench.model.faults.append(Fault(Misdeed.FAIL, UNC, times=2, lba=80))
    bench.model.faults.append(Fault(Misdeed.SHORT, opcode=READ_LOG))
    tags = reads(bench, 20)
    bench.model.automatic = True
    bench.model.run()
    assert outcome(bench, tags) == [e.EIO if index == 10 else 0 for index in range(20)]
    assert bench.model.violations == []


def test_without_a_log_an_error_counts_when_it_comes_again() -> None:
    """QEMU's disk reports the error of an earlier command again with the next queued one."""
    bench = Bench([Drive(logs=False)])
    bench.start()
    bench.model.faults.append(Fault(Misdeed.FAIL, UNC, lba=8))
    assert bench.read(8, 1) == (0, data(0))
    bench.model.faults.append(Fault(Misdeed.FAIL, UNC, times=2, lba=8))
    assert bench.read(8, 1)[0] == e.EIO
    assert bench.model.violations == []


@pytest.mark.parametrize("ncq", [True, False])
def test_a_command_the_link_spoils_is_tried_again(ncq: bool) -> None:
    bench = Bench(ncq=ncq)
    bench.start()
    bench.model.faults.append(Fault(Misdeed.FAIL, ICRC | ABRT, times=2, lba=8))
    assert bench.read(8, 1) == (0, data(0))
    bench.model.faults.append(Fault(Misdeed.FAIL, ICRC | ABRT, times=9, lba=8))
    assert bench.read(8, 1)[0] == e.EIO
    assert bench.model.violations == []


def test_a_flush_that_fails_is_an_error_of_its_own(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.FAIL, ABRT, opcode=FLUSH_EXT))
    for tag in ("first", "second"):
        bench.disk().flush(bench.done(tag))
    tags = reads(bench, 3)
    assert outcome(bench, tags) == [0, 0, 0]
    assert outcome(bench, ["first", "second"]) == [e.EIO, 0]


def test_a_device_that_moves_less_than_it_was_asked_for_is_not_believed() -> None:
    bench = Bench(ncq=False)
    bench.start()
    bench.model.faults.append(Fault(Misdeed.SHORT, opcode=READ_DMA_EXT))
    assert bench.read(0, 1)[0] == e.EIO
    assert bench.read(0, 1)[0] == 0


def test_a_clients_command_that_a_reset_catches_is_not_issued_again(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.HOLD, opcode=0x99))
    ended: list[AtaResult] = []
    bench.disk().ata(AtaCommand(0x99, Transfer.NON_DATA), None, 0, ended.append)
    bench.port().recover("a test asks for it", trusted=True)
    bench.wait(1)
    assert [result.errno for result in ended] == [e.EIO]
    assert bench.read(0, 1)[0] == 0


def test_a_clients_command_that_needs_an_hour_has_it(bench: Bench) -> None:
    """A SECURITY ERASE UNIT must not be torn off by a reset of its port."""
    bench.model.faults.append(Fault(Misdeed.HOLD, opcode=0xF4))
    ended: list[AtaResult] = []
    erase = AtaCommand(0xF4, Transfer.NON_DATA, timeout_ms=3_600_000)
    bench.disk().ata(erase, None, 0, ended.append)
    bench.wait(3500)
    assert ended == []
    assert bench.port().counters.comresets == 0
    bench.wait(200)
    assert [result.errno for result in ended] == [e.EIO]
    assert bench.read(0, 1)[0] == 0


# -- sharing a port --------------------------------------------------------------------------------


def test_a_flush_does_not_wait_for_those_who_read_without_end(bench: Bench) -> None:
    disk, ended = bench.disk(), 0
    chunks = [disk.chunk(512) for _ in range(64)]
    bench.chunks = chunks  # type: ignore[attr-defined]
    flushed_at: list[int] = []

    def again(index: int) -> None:
        nonlocal ended
        ended += 1
        if ended < 3000:
            disk.read(index, 1, chunks[index], lambda errno: again(index))

    for index in range(64):
        disk.read(index, 1, chunks[index], lambda errno, index=index: again(index))  # type: ignore[misc]
    disk.flush(lambda errno: flushed_at.append(ended))
    disk.flush_queue()
    bench.wait_until(lambda: ended >= 3000)
    assert flushed_at
    assert flushed_at[0] <= 64


def test_a_read_does_not_wait_for_those_who_flush_without_end(bench: Bench) -> None:
    disk, flushes = bench.disk(), 0

    def again(errno: int) -> None:
        nonlocal flushes
        flushes += 1
        if flushes < 500:
            disk.flush(again)

    for _ in range(8):
        disk.flush(again)
    chunk = disk.chunk(512)
    bench.chunks = [chunk]  # type: ignore[attr-defined]
    read_at: list[int] = []
    disk.read(0, 1, chunk, lambda errno: read_at.append(flushes))
    disk.flush_queue()
    bench.wait_until(lambda: flushes >= 500)
    assert read_at
    assert read_at[0] <= 2


@pytest.mark.parametrize("wide", [True, False])
def test_a_32_bit_adapter_gets_memory_it_can_reach(
    wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(wide=wide)
    limits: set[int] = set()
    alloc = bench.function.dma.alloc

    def noting(size: int, align: int = 4096, limit: int = 1 << 64) -> LiveBuffer:
        limits.add(limit)
        return alloc(size, align, limit)

    monkeypatch.setattr(bench.function.dma, "alloc", noting)
    bench.start().chunk(4096)
    assert limits == {1 << 64 if wide else 1 << 32}


# -- time ------------------------------------------------------------------------------------------


def test_a_command_that_never_ends_costs_a_reset_of_its_port_and_nobody_else(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.HOLD, lba=16))
    tags = reads(bench, 5)
    assert outcome(bench, tags) == [0, 0, e.EIO, 0, 0]
    counters = bench.port().counters
    assert (counters.timeouts, counters.comresets) == (1, 1)


def test_a_lost_interrupt_is_found_by_the_next_tick(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.LOSE_INTERRUPT))
    began = bench.clock.now()
    assert bench.read(0, 1)[0] == 0
    assert bench.clock.now() - began < TIMEOUT
    assert bench.port().counters.comresets == 0


def test_interrupts_for_nothing_do_nothing(bench: Bench) -> None:
    for _ in range(100):
        bench.model.shout()
        bench.deliver()
    assert bench.read(0, 1)[0] == 0
    assert bench.port().counters.comresets == 0


def test_a_port_that_times_out_again_and_again_is_dead_and_the_others_go_on() -> None:
    bench = Bench([Drive(serial="A"), Drive(serial="B")])
    bench.start()
    bench.model.faults.append(Fault(Misdeed.HOLD, port=0, times=1000, opcode=READ_FPDMA))
    for _ in range(20):
        reads(bench, 1)
        bench.wait(2 * TIMEOUT)
        assert bench.read(1, 1, 1)[0] == 0
    assert bench.port().state is PortState.DEAD
    assert bench.controller.resets == 3
    tags = reads(bench, 1)
    assert outcome(bench, tags) == [e.EIO]
    assert bench.write(0, data(1), 1) == 0
    assert set(bench.ended.values()) <= {0, e.EIO}
    assert bench.model.violations == []


def test_a_command_list_that_does_not_stop_has_the_adapter_reset(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.HOLD, lba=0))
    tags = reads(bench, 3)
    bench.model.ports[0].stuck_running = True
    bench.wait_until(lambda: bench.controller.resets == 1)
    bench.model.ports[0].stuck_running = False
    assert outcome(bench, tags) == [e.EIO, 0, 0]


def test_an_adapter_that_cannot_be_reset_is_off_the_bus_and_stays_answerable(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.HOLD, lba=0))
    tags = reads(bench, 3)
    bench.model.ports[0].stuck_running = True
    bench.model.never_reset = True
    assert outcome(bench, tags) == [e.EIO, 0, 0]
    assert bench.controller.state is State.FAILED
    assert not bench.slot.config.bus_master
    tags = reads(bench, 2)
    assert outcome(bench, tags) == [e.EIO] * 2


def test_an_adapter_that_somebody_else_resets_is_set_up_again(bench: Bench) -> None:
    assert bench.write(0, data(0x55, 24)) == 0
    bench.model.faults.append(Fault(Misdeed.HOLD, times=3))
    tags = reads(bench, 3)
    bench.model.reset()
    # By PxSACT all of them have ended now, and none has moved a byte.
    assert outcome(bench, tags) == [0, 0, 0]
    assert bench.controller.resets == 1
    for chunk in bench.chunks:  # type: ignore[attr-defined]
        assert bytes(chunk.view) == data(0x55, 8)


# -- nonsense --------------------------------------------------------------------------------------


def test_a_tag_that_nobody_issued_leads_to_a_reset_and_all_commands_end(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.STRAY, 31))
    tags = reads(bench, 8)
    assert outcome(bench, tags) == [0] * 8
    assert bench.port().counters.nonsense == 1
    assert bench.port().counters.comresets == 1


@pytest.mark.parametrize("bit", [4, 6, 22, 24, 26, 27, 28, 29, 30])
def test_alarms_without_end_and_reason_end_in_a_dead_port_or_are_borne(bit: int) -> None:
    bench = Bench([Drive(serial="A"), Drive(serial="B")])
    bench.start()
    for _ in range(60):
        bench.model.ports[0].alarm(1 << bit)
        bench.deliver()
        tags = reads(bench, 2)
        assert set(outcome(bench, tags)) <= {0, e.EIO}
        assert bench.read(0, 1, 1)[0] == 0
    dead = bit in (6, 22, 24, 27, 28, 29, 30)
    assert bench.port().state is (PortState.DEAD if dead else PortState.RUNNING)
    assert bench.port(1).state is PortState.RUNNING
    assert bench.model.violations == []


def test_a_fatal_interface_error_has_all_commands_issued_again(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.FATAL, lba=16))
    tags = reads(bench, 8)
    assert outcome(bench, tags) == [0] * 8
    assert bench.port().counters.comresets == 1


def test_a_link_that_drops_and_comes_back_has_all_commands_issued_again(bench: Bench) -> None:
    for _ in range(3):
        bench.model.faults.append(Fault(Misdeed.LINK, lba=16))
        tags = reads(bench, 8)
        assert outcome(bench, tags) == [0] * 8
    assert bench.port().counters.comresets == 3


def test_an_adapter_that_leaves_ends_every_command_now_and_later(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.VANISH, lba=16))
    tags = reads(bench, 8)
    bench.disk().flush(bench.done("flush"))
    bench.controller.gone()
    ended = outcome(bench, [*tags, "flush"])
    assert ended == [e.ENODEV] * 9
    tags = reads(bench, 2)
    assert outcome(bench, tags) == [e.ENODEV] * 2


def test_registers_of_all_ones_are_noticed_without_being_told(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.HOLD, times=9))
    tags = reads(bench, 3)
    bench.slot.pull()
    assert outcome(bench, tags) == [e.ENODEV] * 3
    assert bench.controller.state is State.GONE


# -- plugs -----------------------------------------------------------------------------------------


def test_a_disk_that_is_pulled_answers_enxio_and_comes_back_when_it_is_plugged_in_again(
    bench: Bench,
) -> None:
    assert bench.write(9, data(0x33)) == 0
    port = bench.model.ports[0]
    bench.model.faults.append(Fault(Misdeed.HOLD, times=9))
    tags = reads(bench, 3)
    drive = port.unplug()
    assert outcome(bench, tags) == [e.ENXIO] * 3
    assert bench.port().state is PortState.ABSENT
    assert bench.read(9, 1)[0] == e.ENXIO
    bench.model.faults.clear()
    port.replug(drive)
    bench.wait_until(lambda: bench.port().state is PortState.RUNNING)
    assert bench.read(9, 1) == (0, data(0x33))
    assert bench.controller.resets == 0


def test_another_disk_in_its_place_is_not_taken_for_the_first(bench: Bench) -> None:
    port = bench.model.ports[0]
    first = port.unplug()
    bench.wait(2)
    port.replug(Drive(serial="OTHER"))
    bench.wait(2)
    assert bench.port().state is PortState.ABSENT
    assert bench.read(9, 1)[0] == e.ENXIO
    port.unplug()
    bench.wait(1)
    port.replug(first)
    bench.wait_until(lambda: bench.port().state is PortState.RUNNING)
    assert bench.read(9, 1)[0] == 0


# -- taking over -----------------------------------------------------------------------------------


def test_a_successor_takes_over_from_a_driver_that_was_killed_with_commands_in_flight() -> None:
    bench = Bench()
    bench.start()
    assert bench.write(3, data(0x44)) == 0
    bench.model.faults.append(Fault(Misdeed.HOLD, times=8))
    reads(bench, 8)
    model, slot = bench.model, bench.slot
    function = slot.open()
    function.enable_interrupts(InterruptKind.MSIX)
    model.faults.clear()
    successor = Controller(function, bench.clock, timeout=TIMEOUT)
    successor.start()
    bench.controller, bench.ended = successor, {}
    model.release()
    bench.deliver()
    assert bench.read(3, 1) == (0, data(0x44))
    assert model.violations == []


def test_trusted_trim_makes_zeroes(bench: Bench) -> None:
    trusting = Bench(driver={"trust_trim": True})
    disk = trusting.start()
    assert trusting.write(0, data(0xFF, 32)) == 0
    disk.write_zeroes(8, 8, True, trusting.done("zero"))
    disk.write_zeroes(16, 8, False, trusting.done("keep"))
    disk.flush_queue()
    trusting.wait(0.1)
    assert (trusting.ended["zero"], trusting.ended["keep"]) == (0, e.EOPNOTSUPP)
    assert trusting.read(0, 32) == (0, data(0xFF, 8) + data(0, 8) + data(0xFF, 16))
