from __future__ import annotations

import os
import select
import socket

import pytest
from asked import Asked, Posted, errno_of, opened

from daemons.logd.lines import Lines
from daemons.logd.scheme import LogScheme
from daemons.logd.sinks import Sinks, open_file
from daemons.logd.store import LINE_MOST, Store
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import ConfigError
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Caller, Unheard
from redbear_host.scheme.scheme import ROOT

KEEP = 65536


class Rig:
    """A log, as logd's main puts it together; `again` is what its successor would have."""

    def __init__(self, path):
        self.path = path
        self.loop = Loop()
        self.store = Store.open(path, KEEP)
        self.sinks = Sinks(self.store, self.loop)
        self.scheme = LogScheme(self.store, self.sinks)

    def again(self):
        self.close()
        self.__init__(self.path)

    def close(self):
        self.sinks.close()
        self.store.close()
        self.loop.close()

    def write(self, handle, data, pid=1):
        return self.scheme.write(handle, memoryview(data), 0, 0, Asked(pid=pid))

    def read(self, handle, size=1 << 20):
        return bytes(self.scheme.read(handle, size, 0, 0, Asked()))

    def all(self):
        handle = opened(self.scheme, "all", f.O_RDONLY)
        try:
            return self.read(handle)
        finally:
            self.scheme.on_close(handle)


@pytest.fixture
def log(tmp_path):
    rig = Rig(tmp_path / "scratch" / "log")
    yield rig
    rig.close()


def test_lines_are_read_back_with_their_writers_name(log):
    for name in ("init", "nvmed"):
        log.write(opened(log.scheme, name, f.O_WRONLY, uid=1000), b"here\nis %b\n" % name.encode())
    assert log.all() == b"init: here\ninit: is init\nnvmed: here\nnvmed: is nvmed\n"
    assert log.read(opened(log.scheme, "nvmed", f.O_RDONLY)) == b"nvmed: here\nnvmed: is nvmed\n"


def test_the_root_is_a_writer_without_a_name_and_a_directory(log):
    log.write(opened(log.scheme, "", f.O_WRONLY), b"nobody\n")
    assert log.all() == b"nobody\n"
    folder = opened(log.scheme, "", f.O_RDONLY | f.O_DIRECTORY)
    assert {"all", "live", "add_sink"} == {x.name for x in log.scheme.getdents(folder, Asked())}
    log.write(opened(log.scheme, "sh", f.O_WRONLY), b"x\n")
    assert "sh" in {x.name for x in log.scheme.getdents(folder, Asked())}


def test_a_line_is_kept_when_it_is_whole_or_its_handle_is_closed(log):
    handle = opened(log.scheme, "a", f.O_WRONLY)
    log.write(handle, b"one")
    assert log.all() == b""
    log.write(handle, b" line\nand a bit")
    assert log.all() == b"a: one line\n"
    log.scheme.on_close(handle)
    assert log.all() == b"a: one line\na: and a bit\n"


def test_processes_that_share_a_handle_do_not_mix_their_lines(log):
    handle = opened(log.scheme, "sh", f.O_WRONLY)
    log.write(handle, b"par", pid=1)
    log.write(handle, b"chi", pid=2)
    log.write(handle, b"ent\n", pid=1)
    log.write(handle, b"ld\n", pid=2)
    assert log.all() == b"sh: parent\nsh: child\n"


def test_thousands_of_processes_with_unfinished_lines_are_bounded_and_lose_nothing(log):
    handle = opened(log.scheme, "sh", f.O_WRONLY)
    for pid in range(1, 1001):
        log.write(handle, b"%d" % pid, pid=pid)
    log.scheme.on_close(handle)
    assert sorted(log.all().split()[1::2], key=int) == [b"%d" % pid for pid in range(1, 1001)]


def test_long_unfinished_lines_at_one_handle_are_few_and_lose_nothing():
    lines = Lines()
    ended = [
        line for pid in range(64) for line in lines.take(pid, bytes([64 + pid]) * (LINE_MOST - 1))
    ]
    left = list(lines.finish())
    assert len(left) == 2, "a user may have thousands of handles"
    assert ended + left == [bytes([64 + pid]) * (LINE_MOST - 1) for pid in range(64)]
    assert list(lines.take(1, b"x" * LINE_MOST)) == [], "there is room again"


def test_of_very_many_lines_a_write_takes_some_and_the_next_goes_on(log):
    handle = opened(log.scheme, "x", f.O_WRONLY, uid=1000)
    data = b"".join(b"%d\n" % number for number in range(5000)) + b"end"
    taken = log.write(handle, data)
    assert data[:taken].endswith(b"\n4095\n"), "others are kept waiting for these only"
    assert log.write(handle, data[taken:] + b"\n") == len(data) - taken + 1
    assert log.all().endswith(
        b"x: 4095\nx: 4096\n"
        + b"".join(b"x: %d\n" % number for number in range(4097, 5000))
        + b"x: end\n"
    )


def test_any_bytes_but_the_newline_are_kept_as_they_are(log):
    every = bytes(range(256)).replace(b"\n", b"")
    log.write(opened(log.scheme, "bin", f.O_WRONLY), every + b"\n\n")
    assert log.all() == b"bin: " + every + b"\nbin: \n"


def test_a_very_long_line_is_cut_and_nothing_of_it_is_lost(log):
    handle = opened(log.scheme, "x", f.O_WRONLY)
    log.write(handle, b"y" * (2 * LINE_MOST + 5))
    log.write(handle, b"z\n")
    lines = log.all().splitlines()
    assert [len(line) for line in lines] == [LINE_MOST + 3, LINE_MOST + 3, 9]
    assert b"".join(line[3:] for line in lines) == b"y" * (2 * LINE_MOST + 5) + b"z"


def test_the_oldest_lines_go_first_and_a_slow_reader_is_told(log):
    slow = opened(log.scheme, "all", f.O_RDONLY)
    handle = opened(log.scheme, "w", f.O_WRONLY)
    for number in range(5000):
        log.write(handle, b"line %05d\n" % number)
    lines = log.read(slow).splitlines()
    assert lines[0].startswith(b"log: ")
    assert lines[0].endswith(b"bytes were dropped")
    assert lines[-1] == b"w: line 04999"
    numbers = [int(line.split()[-1]) for line in lines[1:]]
    assert numbers == list(range(numbers[0], 5000))
    assert KEEP * 0.9 < sum(len(b"w: line 00000") + 2 for _ in numbers) <= KEEP


def test_short_reads_lose_nothing(log):
    log.write(opened(log.scheme, "w", f.O_WRONLY), b"abc\ndef\n")
    handle = opened(log.scheme, "all", f.O_RDONLY)
    assert b"".join(log.read(handle, 3) for _ in range(8)) == b"w: abc\nw: def\n"


def test_a_follower_sees_the_last_thousand_lines_and_then_waits(log):
    writer = opened(log.scheme, "w", f.O_WRONLY)
    for number in range(1500):
        log.write(writer, b"%d\n" % number)
    live = opened(log.scheme, "live", f.O_RDONLY)
    posted = Posted(log.scheme)
    assert log.scheme.fevent(live, f.EVENT_READ) == f.EVENT_READ
    lines = log.read(live).splitlines()
    assert (lines[0], len(lines)) == (b"w: 500", 1000)
    assert errno_of(log.scheme.read, live, 10, 0, 0, Asked()) == e.EWOULDBLOCK
    assert log.scheme.fevent(live, f.EVENT_READ) == 0
    log.write(writer, b"more\n")
    assert posted.take() == [(live, f.EVENT_READ)]
    assert log.read(live) == b"w: more\n"


def test_a_successor_keeps_the_log_and_its_readers_go_on_with_what_comes(log):
    log.write(opened(log.scheme, "w", f.O_WRONLY), b"before\n")
    log.again()
    assert log.all() == b"w: before\n"
    reopened = Unheard(Caller(1, 0, 0))
    reader = log.scheme.openat(ROOT, "live", f.O_RDONLY, 0, reopened).handle
    log.write(opened(log.scheme, "w", f.O_WRONLY), b"after\n")
    assert log.read(reader) == b"w: after\n"
    folder = opened(log.scheme, "", f.O_RDONLY | f.O_DIRECTORY)
    assert "w" in {entry.name for entry in log.scheme.getdents(folder, Asked())}


def test_a_damaged_store_is_forgotten_not_believed(log):
    log.write(opened(log.scheme, "w", f.O_WRONLY), b"before\n")
    with open(log.path, "r+b") as file:
        file.seek(4096)
        file.write(b"\0" * 4)
    log.again()
    assert log.all() == b""
    log.write(opened(log.scheme, "w", f.O_WRONLY), b"after\n")
    assert log.all() == b"w: after\n"


def test_everyone_writes_and_root_reads(log):
    for path in ("all", "live", "name"):
        assert errno_of(log.scheme.openat, ROOT, path, f.O_RDONLY, 0, Asked(uid=1000)) == e.EACCES
    assert errno_of(log.scheme.openat, ROOT, "all", f.O_WRONLY, 0, Asked()) == e.EACCES
    assert errno_of(log.scheme.openat, ROOT, "add_sink", f.O_WRONLY, 0, Asked(1000)) == e.EACCES
    assert errno_of(log.scheme.openat, ROOT, "name", f.O_WRONLY, 0, Asked(uid=1000)) == 0


@pytest.mark.parametrize(
    ("path", "errno"),
    [("a/b", e.ENOTDIR), ("a\nb", e.EINVAL), ("x" * 256, e.ENAMETOOLONG), ("\0", e.EINVAL)],
)
def test_names_that_would_break_a_line_are_refused(log, path, errno):
    assert errno_of(log.scheme.openat, ROOT, path, f.O_WRONLY, 0, Asked()) == errno


def test_a_sink_gets_recent_lines_and_then_new_ones(log):
    writer = opened(log.scheme, "w", f.O_WRONLY)
    log.write(writer, b"old\n")
    ours, theirs = os.pipe()
    sink = opened(log.scheme, "add_sink", f.O_WRONLY)
    assert log.scheme.on_sendfd(sink, [theirs], 0, 0, Asked()) == 0
    log.write(writer, b"new\n")
    assert os.read(ours, 100) == b"w: old\nw: new\n"
    os.close(ours)
    log.write(writer, b"nobody hears\n")
    assert len(log.sinks) == 0


def test_a_full_sink_holds_nobody_up_and_catches_up_without_loss(log):
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    log.scheme.on_sendfd(opened(log.scheme, "add_sink", f.O_RDWR), [theirs.detach()], 0, 0, Asked())
    writer = opened(log.scheme, "w", f.O_WRONLY)
    for number in range(1000):
        log.write(writer, b"a line that takes some room %d\n" % number)
    got = b""
    while got.count(b"\n") < 1000:
        ready, _, _ = select.select([ours], [], [], 0)
        if ready:
            got += ours.recv(65536)
        else:
            log.loop.run_round()
    assert got == b"".join(b"w: a line that takes some room %d\n" % n for n in range(1000))
    ours.close()


def test_a_sink_is_a_pipe_or_a_socket(log, tmp_path):
    sink = opened(log.scheme, "add_sink", f.O_WRONLY)
    with open(tmp_path / "file", "wb") as file:
        assert errno_of(log.scheme.on_sendfd, sink, [file.fileno()], 0, 0, Asked()) == e.EINVAL
    assert errno_of(log.write, sink, b"/path") == e.EOPNOTSUPP
    writer = opened(log.scheme, "w", f.O_WRONLY)
    assert errno_of(log.scheme.on_sendfd, writer, [0], 0, 0, Asked()) == e.EOPNOTSUPP
    assert errno_of(log.scheme.on_sendfd, sink, [], 0, 0, Asked()) == e.EINVAL


def test_the_configured_file_gets_every_line_from_now_on(log, tmp_path):
    path = tmp_path / "copy"
    writer = opened(log.scheme, "w", f.O_WRONLY)
    log.write(writer, b"before\n")
    log.sinks.add_file(open_file(path))
    log.write(writer, b"after\n")
    assert path.read_bytes() == b"w: after\n"
    with pytest.raises(ConfigError, match="cannot be copied"):
        open_file(tmp_path / "no" / "folder")
