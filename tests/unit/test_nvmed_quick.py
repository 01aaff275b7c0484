from __future__ import annotations

from nvmed_bench import Bench

from daemons.nvmed.quick import AGAIN_S, SHALLOW, SKIP_LEAST
from daemons.nvmed.state import State
from redbear_host.models.nvme import Fault, Misdeed


def bench(**model: object) -> Bench:
    made = Bench(driver={"quick": True}, **model)
    made.start()
    made.controller.linger()
    return made


def read(it: Bench, tag: str, lba: int = 0) -> None:
    disk = it.controller.namespaces[0]
    disk.read(lba, 1, disk.chunk(512), it.done(tag))
    disk.flush_queue()


def test_what_ends_in_time_is_found_without_an_interrupt() -> None:
    it = bench()
    read(it, "a")
    it.deliver()
    assert it.ended == {}
    assert it.controller.linger() is None
    assert it.ended == {"a": 0}


def test_a_slow_command_is_looked_after_and_others_go_where_interrupts_are() -> None:
    it = bench()
    it.model.faults.append(Fault(Misdeed.HOLD, lba=3))
    read(it, "slow", 3)
    assert it.controller.linger() == AGAIN_S
    for number in range(SKIP_LEAST):
        read(it, f"{number}")
        assert it.controller.linger() == AGAIN_S
        it.deliver()
        assert it.ended[f"{number}"] == 0
    it.model.release()
    assert it.controller.linger() is None
    assert it.ended["slow"] == 0


def test_after_a_while_the_device_gets_another_chance() -> None:
    it = bench()
    it.model.faults.append(Fault(Misdeed.HOLD, lba=3))
    read(it, "slow", 3)
    it.controller.linger()
    it.model.release()
    it.controller.linger()
    quick = it.controller._lanes.quick
    turns = 0
    while it.controller.lane is not quick:
        read(it, f"{turns}")
        it.controller.lane.ring()
        it.controller.linger()
        it.deliver()
        turns += 1
        assert turns < 100
    read(it, "again")
    it.deliver()
    assert "again" not in it.ended
    it.controller.linger()
    assert it.ended["again"] == 0


def test_many_at_once_go_where_interrupts_are() -> None:
    it = bench()
    it.model.faults.append(Fault(Misdeed.HOLD, lba=3, times=SHALLOW + 1))
    for number in range(SHALLOW + 1):
        read(it, f"held {number}", 3)
    read(it, "first")
    it.controller.linger()
    assert it.ended == {"first": 0}
    read(it, "second")
    it.deliver()
    assert it.ended == {"first": 0, "second": 0}
    it.model.release()
    it.controller.linger()
    assert len(it.ended) == SHALLOW + 3


def test_commands_of_the_quick_queue_outlive_a_reset() -> None:
    it = bench()
    it.model.faults.append(Fault(Misdeed.HOLD, lba=3))
    read(it, "held", 3)
    assert it.controller.linger() == AGAIN_S
    it.controller.reset()
    assert it.controller.state is State.RUNNING
    for _ in range(10):
        it.controller.linger()
        it.deliver()
    assert it.ended == {"held": 0}
    assert it.model.violations == []


def test_nonsense_in_the_quick_queue_resets_the_controller_too() -> None:
    it = bench()
    it.model.faults.append(Fault(Misdeed.WRONG_CID, 9, lba=3))
    read(it, "a", 3)
    assert it.controller.linger() is None
    assert it.controller.counters.nonsense == 1
    it.wait_until(State.RUNNING)


def test_what_a_timer_finds_there_is_no_late_interrupt() -> None:
    it = bench()
    it.model.faults.append(Fault(Misdeed.HOLD, lba=3))
    read(it, "slow", 3)
    it.controller.linger()
    it.controller.tick(it.clock.now())
    it.model.release()
    it.controller.tick(it.clock.now())
    assert it.ended == {"slow": 0}
    assert it.controller.counters.late_interrupts == 0


def test_a_controller_with_a_single_queue_has_it_interrupt() -> None:
    it = Bench(driver={"quick": True}, queues=1)
    it.start()
    read(it, "a")
    it.deliver()
    assert it.ended == {"a": 0}
    assert it.controller.linger() is None
