"""How long a daemon is waited for: sleep counts, work does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from kernel_shim import patience


@pytest.fixture
def process():
    """Return what starts a Python program; it is ended with the test."""
    begun = []

    def start(program):
        one = subprocess.Popen([sys.executable, "-S", "-c", program], stdout=subprocess.PIPE)
        begun.append(one)
        assert one.stdout.readline() == b"here\n"
        return one.pid

    yield start
    for one in begun:
        one.kill()
        one.communicate()


def worked(pid):
    return patience._at_work(pid)


def until(done):
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_that_sleeps_has_its_seconds_and_no_more(process):
    pid = process("import time; print('here', flush=True); time.sleep(60)")
    before = time.monotonic()
    assert 0 < patience.left(pid, before, 10.0) <= 10.0 + worked(pid)
    assert patience.left(pid, before - 10.0 - worked(pid) - 0.01, 10.0) == 0


def test_one_that_works_has_more_but_not_for_ever(process):
    pid = process("print('here', flush=True)\nwhile True: pass")
    until(lambda: worked(pid) > 0.5)
    begun = time.monotonic() - 1.2
    assert patience.left(pid, begun, 1.0) > 0  # half a second of it was work
    assert patience.left(pid, time.monotonic() - 4.1, 1.0) == 0


def test_one_that_has_ended_has_only_the_plain_limit(process):
    one = subprocess.Popen([sys.executable, "-S", "-c", ""])
    one.wait(20)
    assert patience.left(one.pid, time.monotonic() - 0.9, 1.0) > 0
    assert patience.left(one.pid, time.monotonic() - 1.1, 1.0) == 0


def test_waiting_for_a_processor_is_no_sleep(process):
    """Two that never end their work, on one processor: each stands in the queue half the time."""
    busy = "import os; os.sched_setaffinity(0, {%d}); print('here', flush=True)\nwhile True: pass"
    cpu = min(os.sched_getaffinity(0))
    first, second = process(busy % cpu), process(busy % cpu)
    begun, before = time.monotonic(), worked(first) + worked(second)

    def both_count():  # without the queue they had together no more than the time that passed
        passed = time.monotonic() - begun
        return passed > 0.3 and worked(first) + worked(second) - before > 1.3 * passed

    until(both_count)
