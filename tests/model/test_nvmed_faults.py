"""nvmed against a controller that misbehaves: one fault at a time."""

from __future__ import annotations

import logging

import pytest
from nvmed_bench import TIMEOUT, Bench

from daemons.nvmed.recovery import MOST_RESETS, RESET_WINDOW_S
from daemons.nvmed.state import State
from redbear_host.abi import errno as e
from redbear_host.errors import DeviceError
from redbear_host.models.nvme import Fault, Media, Misdeed
from redbear_host.models.nvme.rings import Sqe

READ, WRITE, FLUSH, IDENTIFY, SET_FEATURES, ABORT = 0x02, 0x01, 0x00, 0x06, 0x09, 0x08
BLOCK = b"\x5a" * 512


def started(**options: object) -> Bench:
    bench = Bench(**options)  # type: ignore[arg-type]
    bench.start()
    return bench


def read_one(bench: Bench, tag: object, lba: int = 0) -> None:
    disk = bench.controller.namespaces[0]
    disk.read(lba, 1, disk.chunk(512), bench.done(tag))
    disk.flush_queue()


def works(bench: Bench) -> bool:
    return bench.write(9, BLOCK) == 0 and bench.read(9, 1) == (0, BLOCK)


# -- errors of one command


@pytest.mark.parametrize(
    ("status", "errno"),
    [
        (0x281, e.EIO),  # unrecovered read error
        (0x280, e.EIO),  # write fault
        (0x286, e.EACCES),
        (0x080, e.ENXIO),  # LBA out of range
        (0x081, e.ENOSPC),  # capacity exceeded
        (0x020, e.EROFS),  # namespace is write protected
        (0x182, e.EROFS),  # write to a read-only range
        (0x002, e.EINVAL),
        (0x001, e.EOPNOTSUPP),
        (0x00B, e.ENXIO),
        (0x083, e.EBUSY),  # reservation conflict
        (0x006, e.EIO),  # internal error
        (0x3FF, e.EIO),  # a path error nobody named
        (0x755, e.EIO),  # vendor specific
    ],
)
def test_a_status_becomes_an_errno_for_that_command_only(status: int, errno: int) -> None:
    bench = started()
    bench.model.faults.append(Fault(Misdeed.STATUS, status, lba=3))
    for lba in range(6):
        read_one(bench, lba, lba)
    bench.deliver()
    assert bench.ended == {lba: errno if lba == 3 else 0 for lba in range(6)}
    assert bench.controller.counters.errors == 1
    assert bench.controller.counters.resets == 0
    assert works(bench)


def test_a_thousand_errors_are_one_line_per_tick(caplog: pytest.LogCaptureFixture) -> None:
    bench = started()
    bench.model.faults.append(Fault(Misdeed.STATUS, 0x281, times=1000))
    with caplog.at_level(logging.WARNING):
        for index in range(1000):
            read_one(bench, index)
            bench.deliver()
    (warning,) = [it for it in caplog.records if it.levelno == logging.WARNING]
    assert "UNRECOVERED_READ_ERROR" in warning.getMessage()
    assert set(bench.ended.values()) == {e.EIO}


def test_several_parts_of_one_request_end_with_the_first_error() -> None:
    bench = started(media={1: Media(blocks=200_000)})
    bench.model.faults.append(Fault(Misdeed.STATUS, 0x081, lba=70_000))
    disk = bench.controller.namespaces[0]
    disk.write_zeroes(0, 200_000, False, bench.done("zero"))
    disk.flush_queue()
    bench.deliver()
    assert bench.ended == {"zero": e.ENOSPC}


# -- interrupts


def test_a_lost_interrupt_is_made_up_for_by_the_next_ticks() -> None:
    bench = started()
    bench.model.faults.append(Fault(Misdeed.LOSE_INTERRUPT, opcode=READ))
    read_one(bench, "read")
    bench.deliver()
    assert bench.ended == {}
    bench.wait(TIMEOUT / 2)
    assert bench.ended == {"read": 0}
    assert bench.controller.counters.aborts == bench.controller.counters.resets == 0


def test_spurious_interrupts_end_nothing() -> None:
    bench = started()
    for _ in range(3):
        for cq in bench.model.cqs.values():
            bench.model.interrupt(cq)
        bench.deliver()
        assert bench.controller.on_interrupt(0) == bench.controller.on_interrupt(1) == 0
    assert works(bench)


# -- commands that do not end


def test_a_held_command_is_aborted_and_ends_with_an_error() -> None:
    bench = started()
    bench.model.faults.append(Fault(Misdeed.HOLD, opcode=READ, lba=3))
    read_one(bench, "held", 3)
    read_one(bench, "other", 4)
    bench.wait(TIMEOUT * 0.9)
    assert bench.ended == {"other": 0}
    bench.wait(TIMEOUT)
    assert bench.ended == {"held": e.EIO, "other": 0}
    assert bench.controller.counters.aborts == 1
    assert bench.controller.counters.resets == 0
    assert works(bench)


def test_a_command_that_is_late_but_ends_before_its_abort_ends_well() -> None:
    bench = started(aborts=False)
    bench.model.faults.append(Fault(Misdeed.HOLD, opcode=READ))
    read_one(bench, "held")
    bench.wait(TIMEOUT * 1.3)
    assert bench.controller.counters.aborts == 1
    assert bench.ended == {}
    bench.model.release()
    bench.wait(TIMEOUT)
    assert bench.ended == {"held": 0}
    assert bench.controller.counters.resets == 0


def test_an_abort_that_does_not_help_is_followed_by_a_reset() -> None:
    bench = started(aborts=False)
    bench.model.faults.append(Fault(Misdeed.HOLD, opcode=READ, lba=3))
    read_one(bench, "held", 3)
    bench.wait(TIMEOUT * 2.2)
    assert bench.ended == {"held": e.EIO}
    counters = bench.controller.counters
    assert (counters.aborts, counters.resets, counters.timeouts) == (1, 1, 1)
    assert bench.controller.state is State.RUNNING
    assert works(bench)
    assert bench.model.violations == []


def test_commands_caught_by_a_reset_are_issued_again() -> None:
    bench = started(aborts=False, automatic=True)
    bench.model.faults.append(Fault(Misdeed.HOLD, lba=3))
    read_one(bench, "held", 3)
    bench.wait(TIMEOUT)
    # These come later, are held too, and have not outlived their time when the reset comes.
    bench.model.faults.append(Fault(Misdeed.HOLD, times=5))
    disk = bench.controller.namespaces[0]
    for index in range(5):
        chunk = disk.chunk(512)
        chunk.view[:] = bytes([index + 1]) * 512
        disk.write(100 + index, 1, chunk, bench.done(index))
    disk.flush_queue()
    bench.wait(TIMEOUT)
    assert bench.ended == {"held": e.EIO} | dict.fromkeys(range(5), 0)
    assert [bench.model.media[1].read(100 + n)[0] for n in range(5)] == [1, 2, 3, 4, 5]
    assert bench.model.violations == []


def test_commands_given_while_the_controller_is_reset_wait_and_end_well() -> None:
    bench = started()
    bench.model.registers.ready_after = 0.3
    bench.model.registers.fatal = True
    bench.wait(TIMEOUT / 4 + 0.05)
    assert bench.controller.state is State.RECOVERING
    read_one(bench, "waits")
    assert bench.ended == {}
    bench.wait(1.0)
    assert bench.ended == {"waits": 0}
    assert bench.controller.state is State.RUNNING


def test_only_as_many_aborts_are_out_as_the_controller_takes() -> None:
    bench = started(automatic=True)
    held = Fault(Misdeed.HOLD, times=12)
    bench.model.faults += [held, Fault(Misdeed.HOLD, admin=True, opcode=ABORT, times=99)]
    for index in range(12):
        read_one(bench, index, index)
    bench.wait(TIMEOUT * 1.4)
    assert bench.controller.counters.aborts == 4  # ACL is 3, 0's based
    bench.wait(TIMEOUT * 2)
    assert len(bench.ended) == 12
    assert e.EIO in bench.ended.values()


def test_an_admin_command_that_never_ends_costs_a_reset() -> None:
    bench = started()
    bench.model.faults.append(Fault(Misdeed.HOLD, admin=True, opcode=0x02))
    answers: list[int] = []
    bench.controller.inquiry.smart(lambda errno, log: answers.append(errno))
    bench.wait(TIMEOUT * 1.5)
    assert answers == [e.EIO]
    assert bench.controller.counters.resets == 1
    assert works(bench)


def test_a_device_that_answers_nothing_any_more_is_given_up_and_the_driver_stays_answerable() -> (
    None
):
    bench = started(aborts=False)
    bench.model.faults.append(Fault(Misdeed.HOLD, admin=True, times=1 << 30))
    bench.model.faults.append(Fault(Misdeed.HOLD, times=1 << 30))
    for index in range(30):
        read_one(bench, index, index)
    bench.wait_until(State.FAILED, within=60.0)
    assert bench.ended == dict.fromkeys(range(30), e.EIO)
    assert not bench.slot.config.bus_master
    read_one(bench, "later")
    assert bench.ended["later"] == e.EIO
    assert bench.controller.counters.resets == MOST_RESETS + 1
    assert bench.controller.tick(bench.clock.now()) > bench.clock.now()
    bench.controller.stop()
    bench.model.faults.clear()
    bench.start()
    assert works(bench)


def test_resets_far_apart_do_not_add_up() -> None:
    bench = started()
    for _ in range(3 * MOST_RESETS):
        bench.model.registers.fatal = True
        bench.wait(RESET_WINDOW_S / 2)
        assert bench.controller.state is State.RUNNING
    assert works(bench)


# -- fatal states


def test_a_fatal_status_is_answered_by_a_reset_and_nobody_notices() -> None:
    bench = started()
    bench.model.faults.append(Fault(Misdeed.FATAL, opcode=READ))
    read_one(bench, "read", 7)
    bench.wait(TIMEOUT)
    assert bench.ended == {"read": 0}
    assert bench.controller.counters.resets == 1
    assert bench.model.violations == []


def test_a_controller_that_resets_itself_is_brought_up_again() -> None:
    bench = started()
    bench.model.faults.append(Fault(Misdeed.RESET, opcode=WRITE))
    disk = bench.controller.namespaces[0]
    chunk = disk.chunk(512)
    chunk.view[:] = BLOCK
    disk.write(1, 1, chunk, bench.done("write"))
    disk.flush_queue()
    bench.wait(TIMEOUT)
    assert bench.ended == {"write": 0}
    assert bench.model.media[1].read(1) == BLOCK


def test_a_reset_that_fails_is_tried_again() -> None:
    bench = started()
    bench.model.registers.never_ready = True
    bench.model.registers.fatal = True
    read_one(bench, "read")
    bench.wait(1.6)
    assert bench.controller.state is State.RECOVERING
    bench.model.registers.never_ready = False
    bench.wait_until(State.RUNNING)
    bench.deliver()
    assert bench.ended == {"read": 0}


def test_a_controller_that_never_comes_back_is_given_up() -> None:
    bench = started()
    bench.model.registers.never_ready = True
    bench.model.registers.fatal = True
    read_one(bench, "read")
    bench.wait_until(State.FAILED)
    bench.wait(0.01)
    assert bench.ended == {"read": e.EIO}
    with pytest.raises(DeviceError, match="did not come back"):
        bench.controller.reset()


def test_a_command_that_forced_a_reset_ends_as_soon_as_the_controller_is_off() -> None:
    bench = started(aborts=False)
    bench.model.faults.append(Fault(Misdeed.HOLD, opcode=READ))
    read_one(bench, "held")
    bench.wait(TIMEOUT * 1.2)
    bench.model.registers.never_ready = True
    bench.wait(TIMEOUT * 0.6)
    assert bench.controller.state is State.RECOVERING
    assert bench.ended == {"held": e.EIO}


def test_memory_is_not_given_back_while_the_controller_cannot_be_stopped() -> None:
    bench = started(aborts=False)
    bench.model.registers.never_idle = True
    bench.model.faults.append(Fault(Misdeed.HOLD, opcode=READ))
    read_one(bench, "held")
    while not bench.ended:
        assert bench.slot.config.bus_master == (bench.controller.state is not State.FAILED)
        bench.wait(0.05)
    # Its command ended only when the controller could not reach memory any more.
    assert not bench.slot.config.bus_master
    assert bench.ended == {"held": e.EIO}


def test_a_reset_on_request_keeps_commands() -> None:
    bench = started()
    bench.model.faults.append(Fault(Misdeed.HOLD, opcode=READ))
    read_one(bench, "held")
    bench.controller.reset()
    bench.deliver()
    assert bench.ended == {"held": 0}
    assert works(bench)


def test_fewer_queues_after_a_reset_are_not_enough() -> None:
    bench = started(driver={"queues": 2})
    bench.model.queues = 1
    bench.model.registers.fatal = True
    bench.wait_until(State.FAILED)
    assert bench.controller.counters.resets > 1


# -- nonsense


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Misdeed.WRONG_CID, 0x0005),
        Fault(Misdeed.WRONG_CID, 0x7FFF),
        Fault(Misdeed.WRONG_CID, 0xFFFF),
        Fault(Misdeed.DUPLICATE),
        Fault(Misdeed.WRONG_SQHD, 16),
        Fault(Misdeed.WRONG_SQHD, 0xFFFF),
        Fault(Misdeed.WRONG_SQID, 0),
        Fault(Misdeed.WRONG_SQID, 0xFFFF),
    ],
    ids=lambda fault: f"{fault.misdeed.name}-{fault.value:#x}",
)
def test_a_completion_that_cannot_be_is_answered_by_a_reset(fault: Fault) -> None:
    bench = started()
    bench.write(2, BLOCK)
    bench.model.faults.append(fault)
    disk = bench.controller.namespaces[0]
    chunk = disk.chunk(512)
    disk.read(2, 1, chunk, bench.done("read"))
    disk.flush_queue()
    bench.deliver()
    bench.wait(TIMEOUT)
    assert bench.ended["read"] == 0
    assert bytes(chunk.view) == BLOCK
    assert (bench.controller.counters.nonsense, bench.controller.counters.resets) == (1, 1)
    assert works(bench)
    assert bench.model.violations == []


@pytest.mark.parametrize("misdeed", [Misdeed.STALE_PHASE, Misdeed.SKIP_SLOT])
@pytest.mark.parametrize("skew", [0, 15])
def test_a_completion_that_cannot_be_seen_is_a_timeout(misdeed: Misdeed, skew: int) -> None:
    bench = started(aborts=True)
    for index in range(skew):  # so that the fault is at the wrap of the ring
        read_one(bench, ("before", index))
        bench.deliver()
    bench.model.faults.append(Fault(misdeed, opcode=READ))
    read_one(bench, "read", 3)
    bench.wait(4 * TIMEOUT)
    assert bench.ended["read"] in (0, e.EIO)
    assert bench.controller.counters.resets == 1
    assert works(bench)


@pytest.mark.parametrize("misdeed", [Misdeed.WRONG_CID, Misdeed.DUPLICATE, Misdeed.WRONG_SQHD])
def test_nonsense_in_the_admin_queue_costs_a_reset(misdeed: Misdeed) -> None:
    bench = started()
    bench.model.faults.append(Fault(misdeed, 0x1234, admin=True, opcode=0x02))
    answers: list[int] = []
    bench.controller.inquiry.smart(lambda errno, log: answers.append(errno))
    bench.deliver()
    bench.wait(TIMEOUT)
    assert len(answers) == 1
    assert bench.controller.counters.resets == 1
    assert works(bench)


@pytest.mark.parametrize("misdeed", [Misdeed.WRONG_CID, Misdeed.FATAL, Misdeed.RESET, Misdeed.HOLD])
@pytest.mark.parametrize("opcode", [IDENTIFY, SET_FEATURES, 0x05, 0x01])
def test_a_fault_during_start_is_an_error_with_an_end(misdeed: Misdeed, opcode: int) -> None:
    bench = Bench()
    bench.model.faults.append(Fault(misdeed, 0x77, admin=True, opcode=opcode))
    began = bench.clock.now()
    with pytest.raises(DeviceError):
        bench.controller.start()
    assert bench.clock.now() - began < 3 * TIMEOUT
    assert bench.slot.dma.allocated == 0
    assert not bench.slot.config.bus_master
    bench.model.faults.clear()
    bench.start()
    assert works(bench)


@pytest.mark.parametrize("opcode", [SET_FEATURES, 0x05, 0x01])
@pytest.mark.parametrize("misdeed", [Misdeed.STATUS, Misdeed.WRONG_CID, Misdeed.HOLD])
def test_a_fault_during_recovery_is_a_reason_to_try_again(misdeed: Misdeed, opcode: int) -> None:
    bench = started()
    bench.model.faults.append(Fault(misdeed, 6, admin=True, opcode=opcode))
    bench.model.registers.fatal = True
    read_one(bench, "read")
    bench.wait(6 * TIMEOUT)
    assert bench.ended == {"read": 0}
    assert bench.controller.counters.resets == 2
    assert works(bench)


# -- leaving


def test_a_device_that_vanishes_ends_every_command_at_the_next_tick() -> None:
    bench = started()
    bench.model.faults += [
        Fault(Misdeed.HOLD, times=20, opcode=WRITE),
        Fault(Misdeed.VANISH, opcode=READ),
    ]
    disk = bench.controller.namespaces[0]
    for index in range(20):  # more than the ring holds
        disk.write(index, 1, disk.chunk(512), bench.done(index))
    disk.flush_queue()
    bench.model.faults[0].times = 0
    answers: list[int] = []
    bench.model.faults.append(Fault(Misdeed.HOLD, admin=True))
    bench.controller.inquiry.smart(lambda errno, log: answers.append(errno))
    bench.slot.pull()
    bench.wait(TIMEOUT)
    assert bench.ended == dict.fromkeys(range(20), e.ENODEV)
    assert answers == [e.EIO]
    assert bench.controller.state is State.GONE
    read_one(bench, "later")
    assert bench.ended["later"] == e.ENODEV


def test_the_word_that_a_device_has_left_ends_commands_at_once() -> None:
    bench = started()
    bench.model.faults.append(Fault(Misdeed.HOLD, opcode=READ))
    read_one(bench, "read")
    bench.slot.pull()
    bench.controller.gone()
    bench.controller.gone()
    assert bench.ended == {"read": e.ENODEV}
    bench.controller.stop()
    assert bench.slot.dma.allocated == 512  # the test's own chunk


def test_a_device_that_leaves_while_it_is_reset_is_gone() -> None:
    bench = started()
    bench.model.registers.ready_after = 0.5
    bench.model.registers.fatal = True
    read_one(bench, "read")
    bench.wait(0.4)
    assert bench.controller.state is State.RECOVERING
    bench.slot.pull()
    bench.wait(0.1)
    assert bench.ended == {"read": e.ENODEV}
    assert bench.controller.state is State.GONE


def test_a_gone_device_is_not_asked_all_the_time() -> None:
    bench = started()
    bench.slot.pull()
    bench.wait(TIMEOUT)
    ticks = 0
    tick = bench.controller.tick

    def counted(now: float) -> float:
        nonlocal ticks
        ticks += 1
        return tick(now)

    bench.controller.tick = counted  # type: ignore[method-assign]
    bench.wait(10.0)
    assert ticks <= 41  # four a second, as its timeout of a second asks for


def test_a_client_that_tries_again_for_ever_does_not_hang_the_driver() -> None:
    bench = started()
    disk = bench.controller.namespaces[0]
    chunk = disk.chunk(512)
    tries = 0

    def again(errno: int) -> None:
        nonlocal tries
        tries += 1
        disk.read(0, 1, chunk, again)
        disk.flush_queue()

    bench.slot.pull()
    disk.read(0, 1, chunk, again)
    bench.wait(TIMEOUT)
    assert 1 <= tries <= 5


def test_identify_that_brings_nothing_is_not_answered_by_the_one_before() -> None:
    bench = Bench({1: Media(), 2: Media(), 3: Media()})
    execute, asked = bench.model.admin.execute, []

    def second_is_short(sqe: Sqe) -> tuple[int, int]:
        if sqe.opcode == IDENTIFY and sqe.nsid == 2 and not sqe.dwords[0]:
            asked.append(sqe)
            return 0, 0
        return execute(sqe)

    bench.model.admin.execute = second_is_short  # type: ignore[method-assign]
    bench.start()
    assert len(asked) == 1
    assert [it.number for it in bench.controller.namespaces] == [1, 3]


@pytest.mark.parametrize("change", ["block size", "blocks", "inactive", "another"])
def test_a_controller_that_comes_back_as_another_is_given_up(change: str) -> None:
    bench = started(media={1: Media(), 2: Media()})
    assert works(bench)
    if change == "another":
        bench.model.admin.serial = b"MODEL0002"
    elif change == "inactive":
        del bench.model.media[2]
    else:
        old = bench.model.media[2]
        bench.model.media[2] = (
            Media(blocks=old.blocks, shift=12) if change == "block size" else Media(blocks=1024)
        )
    bench.model.faults.append(Fault(Misdeed.FATAL, opcode=READ))
    read_one(bench, "caught")
    bench.wait(20)
    assert bench.controller.state is State.FAILED
    assert bench.ended["caught"] == e.EIO
    assert bench.read(0, 1)[0] == e.EIO
    assert bench.model.violations == []
