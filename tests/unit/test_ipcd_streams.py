from __future__ import annotations

import pytest
from asked import Asked, Posted, errno_of, opened
from descriptors import descriptors

from daemons.ipcd.ends import BACKLOG
from daemons.ipcd.inbox import ROOM
from daemons.ipcd.streams import ChanScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import ROOT

MAKE = f.O_CREAT | f.O_RDWR
BOTH = f.EVENT_READ | f.EVENT_WRITE


@pytest.fixture
def chan():
    return ChanScheme()


def read(scheme, handle, size=1 << 20):
    return bytes(scheme.read(handle, size, 0, 0, Asked()))


def write(scheme, handle, data):
    return scheme.write(handle, memoryview(data), 0, 0, Asked())


def connected(scheme, name="x"):
    """Return a listener, its client, and the accepted end."""
    listener = opened(scheme, name, MAKE)
    client = opened(scheme, name, f.O_RDWR)
    return listener, client, scheme.dup(listener, b"listen", Asked()).handle


def test_bytes_go_both_ways_and_end_when_the_other_closes(chan):
    _, client, server = connected(chan)
    assert write(chan, client, b"question") == 8
    assert write(chan, server, b"answer") == 6
    assert read(chan, server, 4) == b"ques"
    assert read(chan, server) == b"tion"
    assert read(chan, client) == b"answer"
    write(chan, server, b"last words")
    chan.on_close(server)
    assert read(chan, client) == b"last words"
    assert read(chan, client) == b""
    assert errno_of(write, chan, client, b"x") == e.EPIPE


def test_opening_creates_connects_or_says_why_not(chan):
    assert errno_of(chan.openat, ROOT, "x", f.O_RDWR, 0, Asked()) == e.ENOENT
    listener = opened(chan, "x", MAKE)
    assert errno_of(chan.openat, ROOT, "x", MAKE | f.O_EXCL, 0, Asked()) == e.EEXIST
    client = opened(chan, "x", MAKE)  # it exists: this connects
    accepted = chan.dup(listener, b"listen", Asked()).handle
    write(chan, client, b"hi")
    assert read(chan, accepted) == b"hi"
    chan.on_close(listener)
    assert errno_of(chan.openat, ROOT, "x", f.O_RDWR, 0, Asked()) == e.ENOENT
    write(chan, client, b"still")  # a connection outlives its listener
    assert read(chan, accepted) == b"still"


def test_a_write_waits_until_it_is_accepted(chan):
    posted = Posted(chan)
    listener = opened(chan, "x", MAKE)
    client = opened(chan, "x", f.O_RDWR)
    assert posted.take() == [(listener, BOTH)]
    assert chan.fevent(client, BOTH) == 0
    assert errno_of(write, chan, client, b"x") == e.EWOULDBLOCK
    chan.dup(listener, b"listen", Asked())
    assert posted.take() == [(client, f.EVENT_WRITE)]
    assert write(chan, client, b"x") == 1


def test_accepting_waits_for_a_client_unless_it_must_not(chan):
    listener = opened(chan, "x", MAKE)
    request = Asked()
    assert chan.dup(listener, b"listen", request) is LATER
    client = opened(chan, "x", f.O_RDWR)
    server = request.result.handle
    write(chan, server, b"first")
    assert read(chan, client) == b"first"
    hurried = opened(chan, "y", MAKE | f.O_NONBLOCK)
    assert errno_of(chan.dup, hurried, b"listen", Asked()) == e.EAGAIN
    assert chan.fcntl(listener, 4, f.O_NONBLOCK, Asked()) == 0
    assert chan.fcntl(listener, 3, 0, Asked()) & f.O_NONBLOCK
    assert errno_of(chan.dup, listener, b"listen", Asked()) == e.EAGAIN


def test_who_gives_up_accepting_takes_no_client_away(chan):
    listener = opened(chan, "x", MAKE)
    request = Asked()
    chan.dup(listener, b"listen", request)
    request.on_cancel(request)
    assert request.errno == e.ECANCELED
    opened(chan, "x", f.O_RDWR)
    assert isinstance(chan.dup(listener, b"listen", Asked()).handle, int)


def test_whoever_waits_to_accept_hears_that_the_listener_is_closed(chan):
    listener = opened(chan, "x", MAKE)
    request = Asked()
    chan.openat(ROOT, ".listen/x", f.O_RDWR, 0, request)
    chan.on_close(listener)
    assert request.errno == e.ECONNABORTED


def test_clients_nobody_accepted_hear_that_the_listener_is_closed(chan):
    listener = opened(chan, "x", MAKE)
    client = opened(chan, "x", f.O_RDWR)
    posted = Posted(chan)
    chan.on_close(listener)
    assert posted.take() == [(client, BOTH)]
    assert read(chan, client) == b""
    assert errno_of(write, chan, client, b"x") == e.EPIPE


def test_a_listener_takes_a_bounded_number_of_clients(chan):
    listener = opened(chan, "x", MAKE)
    for _ in range(BACKLOG):
        opened(chan, "x", f.O_RDWR)
    assert errno_of(chan.openat, ROOT, "x", f.O_RDWR, 0, Asked()) == e.ECONNREFUSED
    chan.dup(listener, b"listen", Asked())
    assert errno_of(chan.openat, ROOT, "x", f.O_RDWR, 0, Asked()) == 0


def test_a_path_accepts_for_the_listeners_owner_and_root(chan):
    opened(chan, "x", MAKE, uid=1000)
    client = opened(chan, "x", f.O_RDWR, uid=1001)
    assert errno_of(chan.openat, ROOT, ".listen/x", f.O_RDWR, 0, Asked(uid=1001)) == e.EACCES
    server = opened(chan, ".listen/x", f.O_RDWR, uid=1000)
    write(chan, client, b"hi")
    assert read(chan, server) == b"hi"
    assert errno_of(chan.openat, ROOT, ".listen/x", f.O_NONBLOCK, 0, Asked()) == e.EAGAIN
    assert errno_of(chan.openat, ROOT, ".listen/no", f.O_RDWR, 0, Asked()) == e.ENOENT


def test_a_listener_that_is_read_becomes_the_connection_to_its_first_client(chan):
    listener = opened(chan, "x", MAKE)
    assert errno_of(read, chan, listener) == e.EWOULDBLOCK
    assert chan.fevent(listener, BOTH) == 0
    client = opened(chan, "x", f.O_RDWR)
    assert chan.fevent(listener, f.EVENT_READ) == f.EVENT_READ  # it could accept
    assert chan.fevent(listener, BOTH) == f.EVENT_WRITE  # it is connected now
    assert errno_of(read, chan, listener) == e.EWOULDBLOCK
    write(chan, listener, b"hello")
    assert read(chan, client) == b"hello"
    other = opened(chan, "x", f.O_RDWR)
    accepted = chan.dup(listener, b"listen", Asked()).handle
    write(chan, accepted, b"you are second")
    assert read(chan, other) == b"you are second"
    chan.on_close(client)
    assert read(chan, listener) == b""


def test_a_writer_waits_for_a_slow_reader_and_hears_of_room(chan):
    _, client, server = connected(chan)
    assert write(chan, client, bytes(ROOM + 5)) == ROOM
    assert errno_of(write, chan, client, b"x") == e.EWOULDBLOCK
    assert chan.fevent(client, f.EVENT_WRITE) == 0
    posted = Posted(chan)
    assert len(read(chan, server, 4096)) == 4096
    assert posted.take() == [(client, f.EVENT_WRITE)]
    assert write(chan, client, bytes(8192)) == 4096
    assert sum(len(read(chan, server, 100_000)) for _ in range(11)) == ROOM
    assert errno_of(read, chan, server) == e.EWOULDBLOCK


def test_events_say_what_would_not_wait(chan):
    _, client, server = connected(chan)
    posted = Posted(chan)
    write(chan, client, b"x")
    assert posted.take() == [(server, f.EVENT_READ)]
    assert chan.fevent(server, BOTH) == BOTH
    read(chan, server)
    assert chan.fevent(server, BOTH) == f.EVENT_WRITE
    chan.on_close(client)
    assert posted.take() == [(server, BOTH)]
    assert chan.fevent(server, BOTH) == BOTH


def test_listeners_without_a_name_are_connected_to_and_named_by_dup(chan):
    listener = opened(chan, "", MAKE)
    client = chan.dup(listener, b"connect", Asked()).handle
    server = chan.dup(listener, b"listen", Asked()).handle
    write(chan, client, b"hi")
    assert read(chan, server) == b"hi"
    again = chan.dup(listener, b"name", Asked()).handle
    assert chan.fpath(listener) == "/scheme/chan/name"
    chan.on_close(again)
    assert errno_of(chan.openat, ROOT, "name", f.O_RDWR, 0, Asked()) == 0
    assert errno_of(chan.dup, client, b"listen", Asked()) == e.EINVAL


def test_names_are_listed_and_looked_at_without_connecting(chan):
    listener = opened(chan, "x", MAKE, uid=1000)
    folder = opened(chan, "", f.O_RDONLY | f.O_DIRECTORY)
    assert [entry.name for entry in chan.getdents(folder, Asked())] == [".listen", "x"]
    inner = opened(chan, ".listen", f.O_RDONLY | f.O_DIRECTORY)
    assert [entry.name for entry in chan.getdents(inner, Asked())] == ["x"]
    look = opened(chan, "x", f.O_STAT)
    assert chan.fstat(look).st_uid == 1000
    chan.on_close(look)
    assert chan.fevent(listener, BOTH) == 0
    for path, errno in (("a/b", e.ENOENT), ("y" * 256, e.ENAMETOOLONG), ("y", e.ENOENT)):
        assert errno_of(chan.openat, ROOT, path, f.O_STAT, 0, Asked()) == errno
    assert errno_of(chan.openat, ROOT, "x", f.O_DIRECTORY, 0, Asked()) == e.ENOTDIR


def test_nothing_is_kept_of_what_is_closed(chan):
    before = descriptors()
    for _ in range(50):
        for handle in connected(chan):
            chan.on_close(handle)
    assert not chan._handles
    assert not chan._listeners
    assert descriptors() == before
