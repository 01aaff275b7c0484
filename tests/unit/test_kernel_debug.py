"""The scheme `debug`, on a pseudo-terminal of the test's own."""

from __future__ import annotations

import logging
import os

import pytest
from asked import Asked, Posted, errno_of, opened

from kernel_shim.schemes.debug import Console, DebugScheme
from kernel_shim.schemes.ring_log import RingLog
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.scheme.loop import Loop


class Bench:
    def __init__(self):
        self.loop = Loop()
        self.ours, theirs = os.openpty()
        self.kept = RingLog(16)
        self.scheme = DebugScheme(self.loop, self.kept, Console(os.ttyname(theirs)))
        os.close(theirs)

    def write(self, handle, data):
        return self.scheme.write(handle, memoryview(data), 0, 0, Asked())

    def read(self, handle, size=100):
        return self.scheme.read(handle, size, 0, 0, Asked())


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.scheme.close()
    bench.loop.close()
    os.close(bench.ours)


def test_a_write_goes_to_the_console_the_log_and_the_daemons_log(bench, caplog):
    caplog.set_level(logging.INFO)
    handle = opened(bench.scheme, "", f.O_RDWR)
    assert bench.write(handle, b"hi \x1b[2J") == 7
    assert bench.write(handle, b"there\nrest") == 10
    assert os.read(bench.ours, 100) == b"hi \x1b[2Jthere\r\nrest"
    assert bench.kept.read() == b"hi \x1b[2Jthere\nrest"[-16:]
    assert caplog.messages == ["hi �[2Jthere"]


def test_no_preserve_is_shown_and_not_kept(bench):
    handle = opened(bench.scheme, "no-preserve", f.O_WRONLY)
    bench.write(handle, b"x")
    assert os.read(bench.ours, 100) == b"x"
    assert bench.kept.read() == b""
    assert bench.scheme.fpath(handle) == "debug:no-preserve"


def test_disabling_the_screen_takes_nothing(bench):
    handle = opened(bench.scheme, "disable-graphical-debug", f.O_WRONLY)
    assert bench.write(handle, b"x") == 0


def test_what_is_typed_is_read(bench):
    handle, other = (opened(bench.scheme, "", f.O_RDWR) for _ in range(2))
    assert errno_of(bench.read, handle) == e.EWOULDBLOCK
    posted = Posted(bench.scheme)
    os.write(bench.ours, b"line\n")
    bench.loop.run_round()
    assert posted.take() == [(handle, f.EVENT_READ), (other, f.EVENT_READ)]
    assert bench.scheme.fevent(handle, f.EVENT_READ) == f.EVENT_READ
    assert bench.read(handle, 2) == b"li"
    assert bench.read(other) == b"ne\n"
    assert bench.scheme.fevent(handle, f.EVENT_READ | f.EVENT_WRITE) == f.EVENT_WRITE


def test_the_terminal_is_left_alone_while_nobody_reads(bench):
    opened(bench.scheme, "", f.O_WRONLY)
    os.write(bench.ours, b"for the shell\n")
    bench.loop.at(bench.loop.now() + 0.05, lambda: None)
    bench.loop.run_round()
    shell = os.open(_peer(bench), os.O_RDONLY | os.O_NOCTTY)
    assert os.read(shell, 100) == b"for the shell\n"
    os.close(shell)


def _peer(bench):
    return os.ttyname(bench.scheme._console.fd)


def test_without_a_console_a_read_waits_and_a_write_is_kept():
    kept = RingLog()
    scheme = DebugScheme(Loop(), kept, Console(""))
    handle = opened(scheme, "", f.O_RDWR)
    assert errno_of(scheme.read, handle, 1, 0, 0, Asked()) == e.EWOULDBLOCK
    assert scheme.write(handle, memoryview(b"kept"), 0, 0, Asked()) == 4
    assert kept.read() == b"kept"


def test_a_console_that_is_none_is_logged(caplog):
    Console("/nonexistent/tty").close()
    assert "/nonexistent/tty cannot be opened" in caplog.text


def test_only_root_may_open_it_and_anyone_look(bench):
    assert errno_of(opened, bench.scheme, "", f.O_WRONLY, 1000) == e.EPERM
    look = opened(bench.scheme, "", f.O_STAT, 1000)
    assert bench.scheme.fstat(look).st_mode & 0o777 == 0o600
    assert errno_of(bench.write, look, b"x") == e.EBADF
    assert errno_of(bench.read, look) == e.EBADF
    assert errno_of(opened, bench.scheme, "other", f.O_RDONLY) == e.ENOENT
    assert errno_of(bench.scheme.openat, look, "", f.O_RDONLY, 0, Asked()) == e.EACCES


def test_the_log_keeps_the_last_bytes():
    kept = RingLog(8)
    for piece in (b"abc", b"defgh", b"ij", b"0123456789"):
        kept.append(memoryview(piece))
    assert kept.read() == b"23456789"
