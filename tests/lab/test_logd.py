"""log through FUSE: shells write it, cat and selectors read it."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time

import pytest
from base_rig import NOBODY, base_instance


@pytest.fixture(scope="module")
def up():
    with base_instance() as up:
        yield up


def shell(script, **options):
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, timeout=30, check=False, **options
    )


def lines(up, name="all"):
    return (up.mount / "log" / name).read_bytes().splitlines()


def old_lines(fd):
    """Read what a follower is shown first."""
    seen = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            seen += os.read(fd, 1 << 20)
    return seen


def ticks(pid):
    """Return how much processor time a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_what_shells_write_is_read_back_by_name(up):
    done = shell(f"cd {up.mount}/log; echo one >backup; (echo two; echo three >&2) >>backup 2>&1")
    assert done.stderr == b""
    assert lines(up, "backup") == [b"backup: one", b"backup: two", b"backup: three"]
    assert b"backup: two" in lines(up)
    assert "backup" in os.listdir(up.mount / "log")


def test_many_writers_at_once_lose_and_tear_nothing(up):
    script = 'for i in $(seq 50); do echo "$0 line $i $0"; done >$1/log/crowd'
    writers = [
        subprocess.Popen(["bash", "-c", script, f"writer{number}", up.mount])
        for number in range(20)
    ]
    for writer in writers:
        assert writer.wait(60) == 0
    found = lines(up, "crowd")
    assert sorted(found) == sorted(
        f"crowd: writer{w} line {i} writer{w}".encode() for w in range(20) for i in range(1, 51)
    )


def test_live_wakes_a_selector_and_costs_nothing_while_idle(up):
    fd = os.open(up.mount / "log/live", os.O_RDONLY | os.O_NONBLOCK)
    old_lines(fd)
    with pytest.raises(BlockingIOError):
        os.read(fd, 100)
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        pid = up.daemon("logd")["pid"]
        before = ticks(pid)
        assert selector.select(0.5) == []
        assert ticks(pid) - before <= 1  # of 10 ms
        (up.mount / "log/waker").write_bytes(b"wake up\n")
        assert selector.select(10)
    assert b"waker: wake up\n" in os.read(fd, 65536)
    os.close(fd)


def test_a_blocking_follower_gets_lines_as_they_come_and_can_be_interrupted(up):
    follower = subprocess.Popen(
        ["timeout", "20", "cat", up.mount / "log/live"], stdout=subprocess.PIPE
    )
    (up.mount / "log/first").write_bytes(b"now\n")
    while follower.stdout.readline() != b"first: now\n":
        pass
    (up.mount / "log/second").write_bytes(b"then\n")
    while follower.stdout.readline() != b"second: then\n":
        pass
    follower.terminate()
    follower.stdout.close()
    follower.wait(10)


def test_users_write_and_only_root_reads(up):
    assert shell(f"echo hello > {up.mount}/log/nobody", **NOBODY).returncode == 0
    assert b"Permission denied" in shell(f"cat {up.mount}/log/all", **NOBODY).stderr
    assert b"Permission denied" in shell(f"cat {up.mount}/log/nobody", **NOBODY).stderr
    assert lines(up, "nobody") == [b"nobody: hello"]


def test_the_log_and_its_users_outlive_the_daemon(up):
    script = f'exec >{up.mount}/log/survivor; for i in 1 2 3; do read x; echo "$x"; done'
    writer = subprocess.Popen(["bash", "-c", script], stdin=subprocess.PIPE)
    follower = os.open(up.mount / "log/live", os.O_RDONLY)
    writer.stdin.write(b"before\n")
    writer.stdin.flush()
    deadline = time.monotonic() + 20
    while lines(up, "survivor") != [b"survivor: before"]:
        assert time.monotonic() < deadline
    up.kill("logd")
    assert lines(up, "survivor") == [b"survivor: before"]
    writer.stdin.write(b"after\nlast\n")
    writer.stdin.close()
    assert writer.wait(20) == 0
    assert lines(up, "survivor") == [b"survivor: before", b"survivor: after", b"survivor: last"]
    seen = b""
    while b"survivor: last\n" not in seen:
        seen += os.read(follower, 65536)
    os.close(follower)
