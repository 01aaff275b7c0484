"""nvmed's questions to a running controller, and what the controller says unasked."""

from __future__ import annotations

import logging

import pytest
from nvmed_bench import Bench

from daemons.nvmed.regs import AsyncEvent, AsyncEventType, Feature
from redbear_host.abi import errno as e


def test_logs_are_read() -> None:
    bench = Bench()
    bench.start()
    bench.model.admin.errors.append((1, 7, 0x281 << 1))
    before = bench.slot.dma.allocated
    answers: list[object] = []
    bench.controller.inquiry.smart(lambda errno, log: answers.append(log.COMPOSITE_TEMPERATURE))
    bench.controller.inquiry.firmware(lambda errno, log: answers.append(log.FRS1))
    bench.controller.inquiry.errors(
        lambda errno, log: answers.append([(it.SQID, it.CID) for it in log])
    )
    bench.deliver()
    assert answers == [300, b"0.1     ", [(1, 7)]]
    assert bench.slot.dma.allocated == before


def test_features_are_read_and_set() -> None:
    bench = Bench()
    bench.start()
    answers: list[tuple[int, int]] = []
    ask = bench.controller.inquiry
    note = lambda errno, value: answers.append((errno, value))  # noqa: E731
    ask.get_feature(Feature.VOLATILE_WRITE_CACHE, note)
    ask.set_feature(Feature.VOLATILE_WRITE_CACHE, 0, note)
    ask.get_feature(Feature.VOLATILE_WRITE_CACHE, note)
    ask.get_feature(Feature.TIMESTAMP, note)
    bench.deliver()
    assert answers == [(0, 1), (0, 0), (0, 0), (e.EINVAL, 0)]


def test_more_questions_than_the_admin_queue_holds_are_all_answered() -> None:
    bench = Bench()
    bench.start()
    answers: list[int] = []
    for _ in range(100):
        bench.controller.inquiry.smart(lambda errno, log: answers.append(errno))
    bench.deliver()
    assert answers == [0] * 100
    assert bench.model.violations == []


def test_a_log_longer_than_a_page_is_refused() -> None:
    bench = Bench()
    bench.start()
    for size in (0, 3, 8192):
        with pytest.raises(ValueError, match="4096"):
            bench.controller.inquiry.log(2, size, lambda errno, raw: None)


def test_events_are_reported_each_time(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.start()
    seen: list[AsyncEvent] = []
    bench.controller.on_event = seen.append
    bench.model.admin.critical_warning = 4
    for _ in range(3):
        bench.model.warn(0x02_01_01)
        bench.wait(1.0)
    assert [event.AET for event in seen] == [AsyncEventType.SMART_HEALTH] * 3
    assert "RELIABILITY=True" in caplog.text
    bench.model.warn(0x04_00_02)  # namespaces changed
    bench.model.warn(0x01_00_00)  # an error
    bench.wait(2.0)
    assert [event.AET for event in seen[3:]] == [AsyncEventType.NOTICE, AsyncEventType.ERROR]
    assert bench.model.violations == []


def test_events_are_heard_after_a_reset_too() -> None:
    bench = Bench()
    bench.start()
    seen: list[AsyncEvent] = []
    bench.controller.on_event = seen.append
    for count in (1, 2, 3):
        bench.controller.reset()
        bench.wait(1.0)
        bench.model.warn(0x02_01_01)
        bench.wait(1.0)
        assert len(seen) == count


def test_a_storm_of_events_costs_one_command_per_tick() -> None:
    bench = Bench()
    bench.start()
    seen: list[AsyncEvent] = []
    bench.controller.on_event = seen.append
    for _ in range(1000):
        bench.model.warn(0x02_01_01)
    bench.wait(5.0)
    assert 3 <= len(seen) <= 25


def test_a_healthy_start_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Bench().start()
    assert len(caplog.records) == 1
    assert "MODEL0001" in caplog.text
