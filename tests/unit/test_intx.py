"""An INTx line that is up for good must not take the whole processor."""

from __future__ import annotations

import logging

import pytest

from redbear_host.hw.intx import REST_S, VAIN_MOST, IntxLine


class Device:
    """Holds its line up; `work` is what each interrupt has to tell."""

    def __init__(self) -> None:
        self.work = 0
        self.masked = False
        self.heard = 0
        self.time = 0.0
        self.timers: list[tuple[float, object]] = []
        self.line = IntxLine(self.handle, self.unmask, self)

    def handle(self) -> int:
        assert self.masked
        self.heard += 1
        return self.work

    def unmask(self) -> None:
        self.masked = False

    def now(self) -> float:
        return self.time

    def at(self, when: float, callback: object) -> object:
        self.timers.append((when, callback))
        return callback

    def storm(self, seconds: float) -> int:
        """Let it interrupt whenever it may, a microsecond apart; return how often it did."""
        before, end = self.heard, self.time + seconds
        while self.time < end:
            self.time += 1e-6
            for when, callback in list(self.timers):
                if when <= self.time:
                    self.timers.remove((when, callback))
                    callback()  # type: ignore[operator]
            if not self.masked:
                self.masked = True  # as VFIO does, before it tells
                self.line()
        return self.heard - before


def test_a_line_that_is_stuck_is_left_to_rest(caplog: pytest.LogCaptureFixture) -> None:
    device = Device()
    with caplog.at_level(logging.WARNING):
        most = VAIN_MOST + 1 + 0.1 / REST_S
        assert 90 < device.storm(0.1) <= most
    assert [record.message for record in caplog.records] == [
        "the device interrupts for nothing: its line is left to rest"
    ]


def test_a_busy_device_is_never_left_to_rest() -> None:
    device = Device()
    device.work = 1
    assert device.storm(0.01) == pytest.approx(10_000, abs=2)
    assert not device.timers


def test_a_line_is_as_quick_as_before_when_there_is_something_to_do_again() -> None:
    device = Device()
    device.storm(0.01)
    device.work = 3
    device.storm(2 * REST_S)
    assert device.storm(0.001) == pytest.approx(1000, abs=2)
    device.work = 0
    assert device.storm(0.0001) == VAIN_MOST + 1, "it is given as much patience as at first"
