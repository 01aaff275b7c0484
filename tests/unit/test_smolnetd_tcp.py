"""The scheme tcp, called as doors call it, over the loopback."""

from __future__ import annotations

import socket
import time

import pytest
from asked import Asked, Posted, errno_of, opened
from smolnetd_fakes import FakeStack

from daemons.smolnetd.poller import Poller
from daemons.smolnetd.tcp import TcpScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import TimeSpec
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import ROOT

BIND, CONNECT = 0, 1


class Tcp:
    def __init__(self, patience=5.0):
        self.loop = Loop()
        self.poller = Poller(self.loop)
        self.scheme = TcpScheme(FakeStack("eth0"), self.poller, patience)
        self.posted = Posted(self.scheme)
        self.far = socket.create_server(("127.0.0.1", 0))
        self.far.settimeout(10)
        self.path = f"127.0.0.1:{self.far.getsockname()[1]}"

    def wait(self, request):
        deadline = time.monotonic() + 10
        while request.pending:
            assert time.monotonic() < deadline
            self.loop.at(self.loop.now() + 0.01, lambda: None)
            self.loop.run_round()
        return request

    def open(self, path, flags=f.O_RDWR, uid=0):
        request = Asked(uid)
        found = self.scheme.openat(ROOT, path, flags, 0, request)
        return self.wait(request).result.handle if found is LATER else found.handle

    def close(self):
        for handle in list(self.scheme.handles):
            self.scheme.on_close(handle)
        self.far.close()
        self.poller.close()
        self.loop.close()


@pytest.fixture
def tcp():
    made = Tcp()
    yield made
    made.close()


def test_bytes_go_both_ways_and_end(tcp):
    handle = tcp.open(tcp.path)
    there, _ = tcp.far.accept()
    with there:
        assert errno_of(tcp.scheme.read, handle, 10, 0, 0, Asked()) == e.EWOULDBLOCK
        assert tcp.scheme.write(handle, memoryview(b"hello"), 0, 0, Asked()) == 5
        assert there.recv(10) == b"hello"
        tcp.posted.take()
        there.sendall(b"you")
        while (handle, f.EVENT_READ) not in [(h, fl & f.EVENT_READ) for h, fl in tcp.posted.take()]:
            tcp.loop.run_round()
        assert tcp.scheme.read(handle, 10, 0, 0, Asked()) == b"you"
        assert tcp.scheme.fevent(handle, 3) == f.EVENT_WRITE
    while not tcp.scheme.fevent(handle, f.EVENT_READ):
        time.sleep(0.001)
    assert tcp.scheme.read(handle, 10, 0, 0, Asked()) == b""


def filled(scheme, handle):
    """Write until it is refused; return how many bytes were taken, and the errno."""
    sent = 0
    while True:
        try:
            sent += scheme.write(handle, memoryview(bytes(1 << 20)), 0, 0, Asked())
        except Refused as refusal:
            return sent, refusal.errno


def test_a_full_buffer_holds_the_writer_up(tcp):
    handle = tcp.open(tcp.path)
    there, _ = tcp.far.accept()
    with there:
        sent, errno = filled(tcp.scheme, handle)
        assert errno == e.EWOULDBLOCK
        for _ in range(100):  # Linux may carry something on to the other end meanwhile
            if not tcp.scheme.fevent(handle, f.EVENT_WRITE):
                break
            sent += filled(tcp.scheme, handle)[0]
        assert not tcp.scheme.fevent(handle, f.EVENT_WRITE)
        got = 0
        while got < sent:
            got += len(there.recv(1 << 20))
        while not tcp.scheme.fevent(handle, f.EVENT_WRITE):
            time.sleep(0.001)


def test_a_timeout_ends_a_read_and_bytes_end_it_earlier(tcp):
    handle = tcp.open(tcp.path)
    there, _ = tcp.far.accept()
    with there:
        setting = tcp.scheme.dup(handle, b"read_timeout", Asked()).handle
        short = bytes(TimeSpec(tv_sec=0, tv_nsec=30_000_000))
        tcp.scheme.write(setting, memoryview(short), 0, 0, Asked())
        request = Asked()
        assert tcp.scheme.read(handle, 10, 0, 0, request) is LATER
        assert tcp.wait(request).errno == e.ETIMEDOUT
        assert errno_of(tcp.scheme.read, handle, 10, 0, f.O_NONBLOCK, Asked()) == e.EAGAIN
        long = bytes(TimeSpec(tv_sec=9, tv_nsec=0))
        tcp.scheme.write(setting, memoryview(long), 0, 0, Asked())
        request = Asked()
        assert tcp.scheme.read(handle, 10, 0, 0, request) is LATER
        there.sendall(b"now")
        assert tcp.wait(request).result == b"now"
        request = Asked()
        assert tcp.scheme.read(handle, 10, 0, 0, request) is LATER
        request.on_cancel(request)
        assert request.errno == e.ECANCELED
        tcp.scheme.on_close(setting)


def test_a_second_connect_while_one_is_on_its_way_is_ealready(tcp):
    handle = tcp.open("")
    payload = bytearray(tcp.path.encode())
    first = Asked()
    assert tcp.scheme.call(handle, memoryview(payload), (CONNECT,), first) is LATER
    assert errno_of(tcp.scheme.call, handle, memoryview(payload), (CONNECT,), Asked()) == e.EALREADY
    assert errno_of(tcp.scheme.call, handle, memoryview(payload), (BIND,), Asked()) == e.EALREADY
    first.on_cancel(first)
    assert first.errno == e.ECANCELED
    assert errno_of(tcp.scheme.read, handle, 1, 0, 0, Asked()) == e.ENOTCONN


def test_who_accepts_must_own_the_listener(tcp):
    listener = tcp.open("0.0.0.0:0", uid=1000)
    name = tcp.scheme.fpath(listener).removeprefix("/scheme/tcp/")
    stranger = Asked(1001)
    assert errno_of(tcp.scheme.openat, ROOT, f".listen/{name}", f.O_RDWR, 0, stranger) == e.EACCES
    owner = Asked(1000)
    assert tcp.scheme.openat(ROOT, f".listen/{name}", f.O_RDWR, 0, owner) is LATER
    root = Asked(0)
    assert tcp.scheme.openat(ROOT, f".listen/{name}", f.O_RDWR, 0, root) is LATER
    tcp.scheme.on_close(listener)
    assert (owner.errno, root.errno) == (e.ECONNABORTED, e.ECONNABORTED)


def test_looking_at_a_name_connects_to_nobody(tcp):
    look = opened(tcp.scheme, tcp.path, f.O_STAT | f.O_RDONLY)
    tcp.far.settimeout(0.05)
    with pytest.raises(TimeoutError):
        tcp.far.accept()
    tcp.scheme.on_close(look)
