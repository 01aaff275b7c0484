"""The kernel's schemes debug, itimer, pipe and time, mounted, under programs nobody here wrote."""

from __future__ import annotations

import os
import pty
import select
import selectors
import struct
import subprocess
import time

import pytest
from kernel_rig import KernelRig

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def rig(tmp_path):
    with KernelRig(tmp_path, "debug", "itimer", "memory", "pipe", "time") as rig:
        yield rig


def as_user(command, **more):
    argv = ["setpriv", "--reuid", "65534", "--clear-groups", "bash", "-c", command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, **more)


def spec(value, interval=0.0):
    numbers = (round(t * 1e9) for t in (interval, value))
    return b"".join(struct.pack("<qi4x", *divmod(n, 10**9)) for n in numbers)


def test_the_wall_clock_by_od_and_date(rig):
    clocks = rig.shell("date +%s; od -An -td8 -N16 time/1/gettime; date +%s").split()
    before, shown, _, after = map(int, clocks)
    assert before <= shown <= after
    assert rig.shell("ls time time/4") == b"time:\n1\n4\n\ntime/4:\ngetres\ngettime\ntimer\n"
    assert rig.shell("dd if=time/4/getres bs=16 count=1 status=none") == struct.pack("<qq", 0, 1)


@pytest.mark.parametrize("clock", ["1", "4"])
def test_a_timer_wakes_a_selector_within_five_milliseconds(rig, clock):
    read = {"1": time.time, "4": time.monotonic}[clock]
    fd = os.open(rig.mount / "time" / clock / "timer", os.O_RDWR)
    late = []
    for _ in range(10):
        due = read() + 0.03
        os.write(fd, struct.pack("<qi4x", *divmod(int(due * 1e9), 10**9)))
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            assert selector.select(5)
        late.append(read() - due)
        assert len(os.read(fd, 16)) == 16
        assert not select.select([fd], [], [], 0)[0]
    os.close(fd)
    assert min(late) >= 0
    assert min(late) < 0.005, late  # the others tell how busy the machine is


def test_an_interval_timer_by_poll(rig):
    fd = os.open(rig.mount / "itimer/4", os.O_RDWR)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    began = time.monotonic()
    os.write(fd, spec(0.02, 0.02))
    for _ in range(5):
        assert poll.poll(5000) == [(fd, select.POLLIN)]
        assert len(os.read(fd, 32)) == 32
    assert time.monotonic() - began >= 5 * 0.02
    os.close(fd)


def test_dd_through_a_pipe(rig):
    out = rig.shell(
        "dd if=pipe/a bs=64k status=none | sha256sum & "
        "head -c 5000000 /dev/zero | tee >(sha256sum >&2) | dd of=pipe/a bs=64k status=none; wait"
    )
    assert out.split()[0] == rig.shell("head -c 5000000 /dev/zero | sha256sum").split()[0]
    assert os.listdir(rig.mount / "pipe") == []


def test_a_pipe_says_when_it_is_full_empty_and_over(rig):
    reader = os.open(rig.mount / "pipe/b", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    writer = os.open(rig.mount / "pipe/b", os.O_WRONLY | os.O_NONBLOCK)
    assert os.write(writer, bytes(100_000)) == 65_536
    with pytest.raises(BlockingIOError):
        os.write(writer, b"x")
    assert not select.select([], [writer], [], 0)[1]
    assert os.read(reader, 100_000) == bytes(65_536)
    assert select.select([], [writer], [], 5)[1]
    assert not select.select([reader], [], [], 0)[0]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.open(rig.mount / "pipe/b", os.O_WRONLY)
    os.close(writer)
    assert select.select([reader], [], [], 5)[0]
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_writer_without_reader_gets_epipe(rig):
    writer = os.open(rig.mount / "pipe/c", os.O_WRONLY)
    os.close(os.open(rig.mount / "pipe/c", os.O_RDONLY))
    deadline = time.monotonic() + 10
    while True:  # the close reaches the scheme a little later
        try:
            os.write(writer, b"x")
        except BrokenPipeError:
            break
        assert time.monotonic() < deadline
    os.close(writer)


def test_a_reader_waits_for_nothing_and_without_processor_time(rig):
    before = rig.cpu_s()
    began = time.monotonic()
    for name in ("pipe/idle", "debug"):
        command = ["timeout", "1", "cat", str(rig.mount / name)]
        assert subprocess.run(command, timeout=20, check=False).returncode == 124
    assert time.monotonic() - began < 10
    assert rig.cpu_s() - before < 0.2


def test_echo_to_debug_goes_to_the_log(rig):
    rig.shell("echo hi > debug; echo there >> debug; dd if=/dev/null of=debug status=none")
    assert "hi" in rig.log.read_text()
    assert "there" in rig.log.read_text()


def test_debug_is_roots(rig):
    done = as_user("cat debug", cwd=rig.mount)
    assert "Operation not permitted" in done.stderr
    assert as_user("stat debug", cwd=rig.mount).returncode == 0


def test_the_console_shows_what_is_written_and_gives_what_is_typed(tmp_path):
    ours, theirs = pty.openpty()
    with KernelRig(tmp_path, "debug", console=os.ttyname(theirs)) as rig:
        rig.shell("echo hello > debug")
        seen = b""
        while b"\n" not in seen:  # the terminal may hand over a line in pieces
            assert select.select([ours], [], [], 10)[0], seen
            seen += os.read(ours, 100)
        assert seen == b"hello\r\n"
        with subprocess.Popen(["head", "-n1", rig.mount / "debug"], stdout=subprocess.PIPE) as head:
            os.write(ours, b"typed\n")
            assert head.communicate(timeout=10)[0] == b"typed\n"
    os.close(ours)
    os.close(theirs)


def test_a_user_may_use_what_is_everyones(rig):
    done = as_user("od -An -td8 -N16 time/1/gettime && echo x > pipe/u", cwd=rig.mount)
    assert done.returncode == 0, done.stderr


def test_df_tells_of_the_machines_memory(rig):
    shown = rig.shell("df --output=size -B1024 memory | tail -1; grep MemTotal /proc/meminfo")
    size, _, total, _ = shown.split()
    assert size == total


def test_memory_is_not_for_everyone(rig):
    assert rig.shell("ls memory") == b"physical\ntranslation\nzeroed\n"
    assert "Permission denied" in as_user("head -c1 memory/physical", cwd=rig.mount).stderr
    done = subprocess.run(["head", "-c1", "memory/physical"], cwd=rig.mount, capture_output=True)
    if done.returncode:
        assert "physical memory" in rig.log.read_text(), done.stderr
