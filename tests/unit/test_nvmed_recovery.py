"""nvmed's watchdog: who is late, by a clock that only tests move."""

from __future__ import annotations

from collections.abc import Iterator

from daemons.nvmed.recovery import MOST_RESETS, RESET_WINDOW_S, ResetBudget, Watchdog

TIMEOUT, GRACE = 1.0, 0.5


class Ring:
    """As much of a ring as a watchdog looks at."""

    def __init__(self, qid: int = 1) -> None:
        self.qid = qid
        self.table: dict[int, object] = {}

    def in_flight(self) -> Iterator[tuple[int, object]]:
        return iter(self.table.items())


def inspect(dog: Watchdog, now: float, *rings: Ring) -> tuple[list[object], list[object]]:
    late, lost = dog.inspect(now, rings)  # type: ignore[arg-type]
    return [it.command for it in late], [it.command for it in lost]


def test_a_timeout_is_never_early_and_late_by_one_tick_at_most() -> None:
    dog, ring = Watchdog(TIMEOUT, GRACE), Ring()
    ring.table[3] = "slow"
    assert inspect(dog, 10.0, ring) == ([], [])
    assert inspect(dog, 10.9, ring) == ([], [])
    assert inspect(dog, 11.0, ring) == (["slow"], [])


def test_a_new_command_with_an_old_identifier_is_a_new_command() -> None:
    dog, ring = Watchdog(TIMEOUT, GRACE), Ring()
    for tick in range(40):
        ring.table[3] = f"command {tick}"
        assert inspect(dog, tick * 0.4, ring) == ([], [])


def test_what_was_aborted_gets_its_grace_and_no_more() -> None:
    dog, ring = Watchdog(TIMEOUT, GRACE), Ring()
    ring.table[3] = "slow"
    inspect(dog, 0.0, ring)
    (late,), _ = dog.inspect(1.0, [ring])  # type: ignore[list-item]
    dog.aborting(late, 1.0)
    assert inspect(dog, 1.4, ring) == ([], [])
    assert inspect(dog, 1.5, ring) == ([], ["slow"])


def test_who_gets_no_abort_waits_no_longer_than_twice_the_grace() -> None:
    dog, ring = Watchdog(TIMEOUT, GRACE), Ring()
    ring.table[3] = "slow"
    inspect(dog, 0.0, ring)
    assert inspect(dog, 1.9, ring) == (["slow"], [])
    assert inspect(dog, 2.0, ring) == ([], ["slow"])


def test_admin_commands_are_never_aborted() -> None:
    dog, admin = Watchdog(TIMEOUT, GRACE), Ring(0)
    admin.table[0] = "identify"
    inspect(dog, 0.0, admin)
    assert inspect(dog, 1.0, admin) == ([], ["identify"])


def test_the_oldest_is_aborted_first() -> None:
    dog, one, two = Watchdog(TIMEOUT, GRACE), Ring(1), Ring(2)
    two.table[7] = "oldest"
    inspect(dog, 0.0, one, two)
    one.table[7] = "younger"
    inspect(dog, 0.3, one, two)
    assert inspect(dog, 1.5, one, two) == (["oldest", "younger"], [])


def test_what_ended_since_the_last_tick_is_counted() -> None:
    dog, ring = Watchdog(TIMEOUT, GRACE), Ring()
    ring.table = {0: "a", 1: "b", 2: "c"}
    inspect(dog, 0.0, ring)
    ring.table = {0: "a", 1: "another b", 5: "d"}
    assert dog.waiting([ring]) == 1  # type: ignore[list-item]


def test_a_few_resets_are_granted_per_minute() -> None:
    budget = ResetBudget()
    assert [budget.spend(float(n)) for n in range(MOST_RESETS + 1)] == [True] * MOST_RESETS + [
        False
    ]
    assert budget.spend(RESET_WINDOW_S * 3)
