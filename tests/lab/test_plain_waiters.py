"""Plain Linux programs wait for scheme files: select, poll, epoll, from C and Python."""

from __future__ import annotations

import os
import selectors
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
import up_rig

WAITER = Path(__file__).with_name("plain_waiter.c")
WAYS = ("epoll", "edge", "poll", "select")
IDLE_S = 1.0
IDLE_MOST = 0.05  # seconds of processor in that time: what polling in a loop would exceed at once


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    with up_rig.Up(tmp_path_factory.mktemp("waiters")) as up:
        yield up


@pytest.fixture(scope="module")
def waiter(tmp_path_factory):
    program = tmp_path_factory.mktemp("waiter") / "plain_waiter"
    command = ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O", "-o", program, WAITER]
    subprocess.run(command, check=True, timeout=60)
    return program


@pytest.fixture
def channel(up, request):
    """A connection of `chan`: its server's end, and the path its client opens."""
    name = request.node.name.replace("/", "")
    path = up.mount / "chan" / name
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    yield fd, path
    os.close(fd)


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("way", WAYS)
def test_a_c_program_sleeps_until_there_is_data_and_costs_nothing(up, waiter, channel, way):
    server, path = channel
    program = subprocess.Popen(
        [waiter, way, path, "30000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert program.stdout.readline() == b"waiting\n"
        daemon = up.daemon("ipcd")["pid"]
        before = processor_seconds(daemon)
        time.sleep(IDLE_S)  # what is measured is that nothing happens
        assert program.poll() is None
        assert processor_seconds(daemon) - before < IDLE_MOST
        assert processor_seconds(program.pid) < IDLE_MOST
        assert os.write(server, b"data for you") == 12
        said, errors = program.communicate(timeout=20)
        assert (program.returncode, said, errors) == (0, b"data for you", b"")
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("way", WAYS)
def test_a_c_program_is_told_when_its_time_is_over(up, waiter, channel, way):
    done = subprocess.run(
        [waiter, way, channel[1], "50"], capture_output=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (3, b"waiting\n")


@pytest.mark.parametrize("kind", ["EpollSelector", "PollSelector", "SelectSelector"])
def test_python_waits_for_files_of_several_schemes_at_once(up, channel, kind):
    server, path = channel
    client = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    timer = os.open(up.mount / "time" / "4" / "timer", os.O_RDWR | os.O_NONBLOCK)
    pipe = os.open(up.mount / "pipe" / kind, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(up.mount / "pipe" / kind, os.O_WRONLY)
    try:
        with getattr(selectors, kind)() as selector:
            for fd in (client, timer, pipe):
                selector.register(fd, selectors.EVENT_READ)
            assert selector.select(0.05) == []
            threading.Timer(0.05, os.write, (server, b"x")).start()
            assert [key.fd for key, _ in selector.select(20)] == [client]
            assert os.read(client, 9) == b"x"
            threading.Timer(0.05, os.write, (writer, b"y")).start()
            assert [key.fd for key, _ in selector.select(20)] == [pipe]
            assert os.read(pipe, 9) == b"y"
            due = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 50_000_000
            os.write(timer, struct.pack("<qi4x", *divmod(due, 10**9)))
            assert [key.fd for key, _ in selector.select(20)] == [timer]
            assert time.clock_gettime_ns(time.CLOCK_MONOTONIC) >= due
            os.read(timer, 16)
            assert selector.select(0) == []
    finally:
        for fd in (client, timer, pipe, writer):
            os.close(fd)
