"""No user may leave the others without sockets, by whatever way he opens his."""

from __future__ import annotations

import socket
import time

import pytest
from asked import Asked, errno_of
from smolnetd_fakes import FakeStack

from daemons.smolnetd.poller import Poller
from daemons.smolnetd.quota import Quota
from daemons.smolnetd.tcp import TcpScheme
from daemons.smolnetd.udp import UdpScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import ROOT

ANY = "0.0.0.0:0"
ALICE, BOB = 1001, 1002


class Net:
    """Two schemes with room for three sockets of one user, and five of all."""

    def __init__(self):
        self.loop = Loop()
        self.poller = Poller(self.loop)
        self.quota = Quota(3, 5)
        stack = FakeStack("eth0")
        self.tcp = TcpScheme(stack, self.poller, 5.0, self.quota)
        self.udp = UdpScheme(stack, self.poller, self.quota)

    def open(self, scheme, path, uid, flags=f.O_RDWR):
        return scheme.openat(ROOT, path, flags, 0, Asked(uid))

    def refused(self, scheme, path, uid):
        return errno_of(scheme.openat, ROOT, path, f.O_RDWR, 0, Asked(uid))

    def wait(self, request):
        deadline = time.monotonic() + 10
        while request.pending:
            assert time.monotonic() < deadline
            self.loop.at(self.loop.now() + 0.01, lambda: None)
            self.loop.run_round()
        return request

    def close(self):
        for scheme in (self.tcp, self.udp):
            for handle in list(scheme.handles):
                scheme.on_close(handle)
        self.poller.close()
        self.loop.close()


@pytest.fixture
def net():
    made = Net()
    yield made
    made.close()


def test_all_schemes_of_one_user_count_and_nobody_else_minds(net):
    handles = [net.open(net.udp, ANY, ALICE).handle for _ in range(2)]
    net.open(net.tcp, ANY, ALICE)
    assert net.refused(net.tcp, ANY, ALICE) == e.EMFILE
    assert net.refused(net.udp, ANY, ALICE) == e.EMFILE
    net.open(net.udp, ANY, BOB)
    net.udp.on_close(handles[0])
    net.open(net.tcp, ANY, ALICE)


def test_root_has_what_there_is_and_no_more(net):
    for _ in range(5):
        net.open(net.udp, ANY, 0)
    assert net.refused(net.tcp, ANY, 0) == e.ENFILE
    assert net.refused(net.tcp, ANY, ALICE) == e.ENFILE


def test_a_connection_that_is_being_made_counts_until_it_fails(net):
    # A listener whose backlog is full answers nobody.
    with socket.socket() as deaf, socket.socket() as first:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        first.connect(deaf.getsockname())
        path = f"127.0.0.1:{deaf.getsockname()[1]}"
        asked = [Asked(ALICE) for _ in range(3)]
        for request in asked:
            assert net.tcp.openat(ROOT, path, f.O_RDWR, 0, request) is LATER
        assert net.refused(net.udp, ANY, ALICE) == e.EMFILE
        for request in asked:
            request.on_cancel(request)
            net.open(net.udp, ANY, ALICE)


def test_what_could_not_be_bound_does_not_count(net):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        path = f"127.0.0.1:9,127.0.0.1:{taken.getsockname()[1]}"
        for _ in range(6):
            assert net.refused(net.udp, path, ALICE) == e.EADDRINUSE
    net.open(net.udp, ANY, ALICE)


def test_what_a_listener_accepts_counts_as_its_owners(net):
    listener = net.open(net.tcp, ANY, ALICE).handle
    place = net.tcp.path_of(net.tcp.handles[listener])
    net.open(net.udp, ANY, ALICE)
    waiting = Asked(ALICE)
    assert net.tcp.openat(ROOT, f".listen/{place}", f.O_RDWR, 0, waiting) is LATER
    port = int(place.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        accepted = net.wait(waiting).result.handle
        with socket.create_connection(("127.0.0.1", port)):
            assert net.refused(net.tcp, f".listen/{place}", ALICE) == e.EMFILE
            net.tcp.on_close(accepted)
            net.open(net.tcp, f".listen/{place}", ALICE)
