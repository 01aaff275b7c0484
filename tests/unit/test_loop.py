"""A daemon's event loop."""

from __future__ import annotations

import os
import sys

import pytest

from redbear_host.scheme import loop as module
from redbear_host.scheme.loop import Loop


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def test_a_readable_descriptor_calls_back_until_it_is_read(loop, pipe):
    seen = []

    def on_readable():
        seen.append(len(seen))
        if len(seen) == 2:
            os.read(pipe[0], 1)
            loop.stop()

    loop.watch(pipe[0], on_readable)
    os.write(pipe[1], b"x")
    loop.run()
    assert seen == [0, 1]


def test_timers_run_in_order_and_not_when_cancelled(loop):
    seen = []
    now = loop.now()
    loop.at(now + 0.002, lambda: (seen.append("late"), loop.stop()))
    loop.at(now + 0.001, lambda: seen.append("early"))
    loop.at(now, lambda: seen.append("never")).cancel()
    loop.run()
    assert seen == ["early", "late"]


def test_cancelled_timers_do_not_pile_up_until_their_time(loop):
    """A client may set and end a deadline that is a year off as often as it likes."""
    ran = []
    kept = [loop.at(0.0, lambda number=number: ran.append(number)) for number in range(100)]

    def far_off():
        pytest.fail("it was cancelled")

    before = sys.getrefcount(far_off)
    for _ in range(20_000):
        loop.at(loop.now() + 1e6, far_off).cancel()
    assert len(loop._timers) < 500
    assert sys.getrefcount(far_off) == before
    kept[50].cancel()
    loop.run_round()
    assert ran == [number for number in range(100) if number != 50]


def test_soon_runs_in_this_round_before_the_round_ends(loop):
    seen = []
    loop.at_round_end(lambda: seen.append("end"))
    loop.soon(lambda: (seen.append("soon"), loop.soon(lambda: seen.append("sooner"))))
    loop.soon(loop.stop)
    loop.run()
    assert seen == ["end", "soon", "sooner", "end"]


def test_what_was_begun_before_the_loop_runs_is_ended_before_it_sleeps(loop):
    order = []
    loop.at_round_end(lambda: order.append("end"))

    def wake():
        order.append("woken")
        loop.stop()

    loop.at(loop.now() + 0.01, wake)
    loop.run()
    assert order == ["end", "woken", "end"]


def test_a_descriptor_dropped_by_an_earlier_callback_is_not_called(loop):
    first, second = os.eventfd(1), os.eventfd(1)
    seen = []

    def drop_other(own, other):
        seen.append(own)
        loop.unwatch(own)
        loop.unwatch(other)
        loop.stop()

    try:
        loop.watch(first, lambda: drop_other(first, second))
        loop.watch(second, lambda: drop_other(second, first))
        loop.run()
        assert len(seen) == 1
        loop.unwatch(first)
    finally:
        os.close(first)
        os.close(second)


def test_an_exception_in_a_callback_ends_the_loop(loop):
    def bug():
        raise ZeroDivisionError

    loop.soon(bug)
    with pytest.raises(ZeroDivisionError):
        loop.run()


def test_signals_of_an_eventfd_are_seen_without_reading_it(loop):
    fd = os.eventfd(1)  # signalled before it is watched
    seen = []

    def on_signal():
        seen.append(len(seen))
        if len(seen) < 3:
            os.eventfd_write(fd, 1)  # while it still counts the first
        else:
            loop.at(loop.now() + 0.005, loop.stop)  # no further call without a further signal

    try:
        loop.watch_signals(fd, on_signal)
        loop.run()
        assert seen == [0, 1, 2]
    finally:
        os.close(fd)


class Ready:
    """Plays epoll: says what it was told to, and notes how long it was asked to wait."""

    def __init__(self):
        self.waits = []
        self.answers = {}  # number of the call: what it says

    def poll(self, wait, most):
        self.waits.append(wait)
        return self.answers.get(len(self.waits), [])

    def close(self):
        pass


@pytest.fixture
def ready(monkeypatch):
    made = Ready()
    monkeypatch.setattr(module.select, "epoll", lambda: made)
    return made


def test_before_it_sleeps_the_loop_looks_and_gives_that_up_where_it_is_in_vain(ready):
    loop = Loop()
    slept = []
    for _ in range(40):
        ready.waits.clear()
        loop.run_round()
        assert ready.waits.pop() == -1.0  # it slept in the end
        slept.append(len(ready.waits))
    looked = [number for number, looks in enumerate(slept) if looks]
    assert looked == [0, 2, 6, 14, 30]  # after ever longer pauses
    assert set(slept) == {0, 1 + module._LOOKS}


def test_what_comes_while_it_looks_keeps_it_looking(ready):
    loop = Loop()
    called = []
    loop._watched[5] = lambda: called.append(len(ready.waits))
    for _ in range(10):
        ready.waits.clear()
        ready.answers = {20: [(5, 1)]}
        loop.run_round()
    assert called == [20] * 10
    assert -1.0 not in ready.waits


def test_events_are_served_until_something_holds_or_time_is_up(loop):
    seen = []
    for number in range(3):
        loop.at(loop.now() + 0.01 * number, lambda number=number: seen.append(number))
    loop.run_until(lambda: len(seen) == 2, 10)
    assert seen == [0, 1]
    loop.run_until(lambda: False, 0.05)
    assert seen == [0, 1, 2]
