"""Ten thousand reads waiting in one scheme."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from schemefs_rig import Rig

from schemefs.view import pending

pytestmark = pytest.mark.timeout(180)

COUNT = 10_000
SOURCE = Path(__file__).with_name("many_readers.c")


@pytest.fixture
def channel(tmp_path):
    point = tmp_path / "mnt"
    point.mkdir()
    rig = Rig(point, "channel")
    rig.start()
    yield rig
    rig.close()


def wait_until(condition, within=60.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def idles(pid):
    """Whether a process used no time in a second: it may end what it was at in the first one."""
    before, began = cpu_ticks(pid), time.monotonic()
    wait_until(lambda: time.monotonic() > began + 1.0)
    return cpu_ticks(pid) == before


def resident_kib(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


def test_ten_thousand_reads_wait_and_leave_nothing_when_they_are_killed(channel, tmp_path):
    program = tmp_path / "many_readers"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", program, SOURCE], check=True, timeout=60)
    point = channel.point / "quiet"
    os.close(os.open(point, os.O_RDONLY))
    before = resident_kib(channel.server.pid)
    readers = subprocess.Popen([program, point, str(COUNT)], stdout=subprocess.PIPE)
    try:
        assert readers.stdout.readline() == b"reading\n"
        wait_until(lambda: len(pending(channel.journal)) == COUNT)
        began = time.monotonic()
        other = subprocess.run(["timeout", "1", "cat", point], check=False, timeout=20)
        assert other.returncode == 124
        assert 1.0 <= time.monotonic() - began < 5.0
        wait_until(lambda: len(pending(channel.journal)) == COUNT)
        assert any(idles(channel.server.pid) for _ in range(5)), "it is never at rest"
        assert resident_kib(channel.server.pid) - before < 32 << 10
    finally:
        readers.send_signal(signal.SIGKILL)
        readers.wait(60)
        readers.stdout.close()
    wait_until(lambda: pending(channel.journal) == [])
    assert channel.server.poll() is None
    with open(point, "r+b", buffering=0) as file:
        file.write(b"still there")
        assert file.read(100) == b"still there"
