"""A scheme's meter."""

from __future__ import annotations

import os

import pytest

from redbear_host.errors import ProtocolError
from redbear_host.scheme.meter import RECORDS, SAMPLE, Meter, Record


@pytest.fixture
def meter():
    made = Meter.create()
    yield made
    made.close()


def record(number, result=0):
    return Record(
        when=number,
        latency=10,
        subject=1,
        offset=2,
        size=3,
        pid=4,
        opcode=15,
        result=result,
        door=0,
    )


def test_another_mapping_of_the_same_memory_sees_calls_and_records(meter):
    other = Meter(os.dup(meter.fd))
    meter.calls = 7
    meter.record(record(1))
    meter.record(record(2, result=-5))
    assert other.calls == 7
    assert (other.recorded, other.latency) == (2, 20)
    found, lost = other.since(0)
    assert [one.when for one in found] == [1, 2]
    assert found[1].result == -5
    assert lost == 0
    other.close()


def test_an_observer_says_how_many_calls_are_recorded(meter):
    assert meter.every == SAMPLE
    other = Meter(os.dup(meter.fd))
    other.every = 1
    assert meter.every == 1
    other.every = 0  # would be a division by nothing
    assert meter.every == 1
    other.close()


def test_who_comes_late_is_told_how_many_records_were_lost(meter):
    for number in range(RECORDS + 100):
        meter.record(record(number))
    found, lost = meter.since(0)
    assert lost + len(found) == RECORDS + 100
    assert lost >= 100
    assert [one.when for one in found] == list(range(lost, RECORDS + 100))


def test_a_result_that_does_not_fit_is_the_nearest_that_does(meter):
    meter.record(record(1, result=1 << 40))
    assert meter.since(0)[0][0].result == (1 << 31) - 1


def test_nobody_can_shorten_it(meter):
    with pytest.raises(PermissionError):
        os.ftruncate(meter.fd, 0)


def test_other_memory_is_no_meter(meter):
    fd = os.memfd_create("x")
    with pytest.raises(ProtocolError, match="bytes"):
        Meter(fd)
    os.ftruncate(fd, os.fstat(meter.fd).st_size)
    with pytest.raises(ProtocolError, match="not a meter"):
        Meter(fd)
    os.close(fd)
