from __future__ import annotations

import os
import struct

import pytest
from asked import Asked, Posted, errno_of, opened
from descriptors import descriptors

from daemons.ipcd.datagrams import MOST, DatagramScheme
from daemons.ipcd.inbox import FDS
from daemons.ipcd.uds import UdsStreamScheme
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes import socket_calls as c
from redbear_host.scheme.scheme import ROOT

MAKE = f.O_CREAT | f.O_RDWR


def call(scheme, handle, payload, verb, *words, uid=0, pid=1):
    buffer = bytearray(payload)
    count = scheme.call(handle, memoryview(buffer), (verb, *words), Asked(uid, pid))
    return bytes(buffer[:count]) if verb not in (c.SocketVerb.SEND_MSG,) else count


def outgoing(data, name=b"", fds=0):
    control = struct.pack("=iiQQ", 1, 1, 8, fds) if fds else b""
    return b"".join(
        (struct.pack("=Q", len(name)), name, struct.pack("=Q", len(data)), data, control)
    )


def received(scheme, handle, room=256, controls=128):
    """Receive a message; return its name, payload, and control records."""
    buffer = struct.pack("=QQQ", 64, room, controls).ljust(64 + room + controls + 16, b"\0")
    data = call(scheme, handle, buffer, c.SocketVerb.RECV_MSG)
    (size,) = struct.unpack_from("=Q", data)
    name, at = data[8 : 8 + size], 8 + size
    (size,) = struct.unpack_from("=Q", data, at)
    payload, at = data[at + 8 : at + 8 + size], at + 8 + size
    records = {}
    while at < len(data):
        level, kind, size = struct.unpack_from("=iiQ", data, at)
        records[level, kind] = data[at + 16 : at + 16 + size]
        at += 16 + size
    return name, payload, records


@pytest.fixture
def stream():
    return UdsStreamScheme()


@pytest.fixture
def dgram():
    return DatagramScheme()


def pair(scheme, uid=0):
    one = opened(scheme, "", MAKE, uid)
    return one, scheme.dup(one, b"connect", Asked(uid)).handle


@pytest.mark.parametrize("kind", [UdsStreamScheme, DatagramScheme])
def test_a_pair_talks_both_ways(kind):
    scheme = kind()
    one, other = pair(scheme)
    scheme.write(one, memoryview(b"ping"), 0, 0, Asked())
    assert bytes(scheme.read(other, 99, 0, 0, Asked())) == b"ping"
    scheme.write(other, memoryview(b"pong"), 0, 0, Asked())
    assert bytes(scheme.read(one, 99, 0, 0, Asked())) == b"pong"
    assert errno_of(scheme.dup, one, b"connect", Asked()) == e.EISCONN


def test_a_stream_is_bound_connected_by_its_token_and_accepted(stream):
    server = opened(stream, "", MAKE)
    call(stream, server, b"/run/x".replace(b"/", b"-"), c.SocketVerb.BIND)
    token = call(stream, server, bytes(8), c.SocketVerb.GET_TOKEN)
    client = opened(stream, "", MAKE)
    assert call(stream, client, token, c.SocketVerb.CONNECT) == b""
    accepted = stream.dup(server, b"listen", Asked()).handle
    stream.write(client, memoryview(b"hi"), 0, 0, Asked())
    assert bytes(stream.read(accepted, 9, 0, 0, Asked())) == b"hi"
    peer = call(stream, accepted, bytes(64), c.SocketVerb.GET_PEER_NAME)
    assert peer == b"/scheme/uds_stream/-run-x"
    call(stream, server, b"", c.SocketVerb.UNBIND)
    third = opened(stream, "", MAKE)
    assert errno_of(call, stream, third, token, c.SocketVerb.CONNECT) == e.ECONNREFUSED


@pytest.mark.parametrize("kind", [UdsStreamScheme, DatagramScheme])
def test_wrong_tokens_connect_to_nobody(kind):
    scheme = kind()
    client = opened(scheme, "", MAKE)
    assert errno_of(call, scheme, client, bytes(8), c.SocketVerb.CONNECT) == e.ECONNREFUSED
    assert errno_of(call, scheme, client, bytes(7), c.SocketVerb.CONNECT) == e.EINVAL
    assert errno_of(call, scheme, client, bytes(8), c.SocketVerb.GET_TOKEN) == e.ENOTCONN


@pytest.mark.parametrize("kind", [UdsStreamScheme, DatagramScheme])
def test_a_message_brings_descriptors_and_true_credentials(kind):
    scheme = kind()
    one, other = pair(scheme)
    ours, theirs = os.pipe()
    assert scheme.on_sendfd(one, [theirs], 0, 0, Asked()) == 1
    sent = outgoing(b"take this", fds=1)
    assert call(scheme, one, sent, c.SocketVerb.SEND_MSG, uid=7, pid=99) == 9
    _, payload, records = received(scheme, other)
    assert payload == b"take this"
    assert struct.unpack("=Q", records[1, 1]) == (1,)
    assert struct.unpack("=iii", records[1, 2]) == (99, 7, 7)
    (fd,) = scheme.on_recvfd(other, 4, 0, (), Asked())
    os.write(fd, b"through")
    assert os.read(ours, 9) == b"through"
    assert errno_of(scheme.on_recvfd, other, 1, 0, (), Asked()) == e.EAGAIN
    os.close(fd)
    os.close(ours)


@pytest.mark.parametrize("kind", [UdsStreamScheme, DatagramScheme])
def test_descriptors_nobody_fetched_are_closed(kind):
    scheme = kind()
    before = descriptors()
    one, other = pair(scheme)
    for count in range(1, 4):
        for fd in os.pipe():
            scheme.on_sendfd(one, [fd], 0, 0, Asked())
        call(scheme, one, outgoing(b"%d" % count, fds=1), c.SocketVerb.SEND_MSG)
    received(scheme, other)  # its descriptor is not fetched
    scheme.read(other, 1, 0, 0, Asked())  # a plain read drops the descriptor
    scheme.on_close(one)
    scheme.on_close(other)
    assert descriptors() == before


@pytest.mark.parametrize("kind", [UdsStreamScheme, DatagramScheme])
def test_nobody_sends_descriptors_he_does_not_have(kind):
    scheme = kind()
    one, _ = pair(scheme)
    assert errno_of(call, scheme, one, outgoing(b"x", fds=1), c.SocketVerb.SEND_MSG) == e.EBADF
    huge = outgoing(b"x", fds=1 << 63)
    assert errno_of(call, scheme, one, huge, c.SocketVerb.SEND_MSG) == e.EBADF
    assert errno_of(scheme.on_sendfd, one, [0] * (FDS + 1), 0, 0, Asked()) == e.ETOOMANYREFS


@pytest.mark.parametrize("kind", [UdsStreamScheme, DatagramScheme])
@pytest.mark.parametrize("cut", range(1, 60))
def test_no_piece_of_a_message_is_believed_to_be_one(kind, cut):
    scheme = kind()
    one, _ = pair(scheme)
    whole = outgoing(b"data", b"name", 1)
    assert len(whole) == 48
    bad = whole[:-cut] if cut < 48 else struct.pack("=Q", (1 << 64) - cut) + whole[8:]
    errno = errno_of(call, scheme, one, bad, c.SocketVerb.SEND_MSG)
    # Without its control record it is a message, to nobody or to the peer.
    assert errno == e.EINVAL or cut == 24


def test_a_stream_reads_across_messages_but_not_across_senders(stream):
    one, other = pair(stream)
    for pid, data in ((1, b"ab"), (1, b"cd"), (2, b"ef")):
        stream.write(one, memoryview(data), 0, 0, Asked(pid=pid))
    _, payload, records = received(stream, other)
    assert payload == b"abcd"
    assert struct.unpack("=iii", records[1, 2])[0] == 1
    assert received(stream, other)[1] == b"ef"


def test_shutdown_ends_one_direction(stream):
    one, other = pair(stream)
    call(stream, one, b"", c.SocketVerb.SHUTDOWN, 1)
    assert bytes(stream.read(other, 9, 0, 0, Asked())) == b""
    assert errno_of(stream.write, one, memoryview(b"x"), 0, 0, Asked()) == e.EPIPE
    stream.write(other, memoryview(b"back"), 0, 0, Asked())
    assert bytes(stream.read(one, 9, 0, 0, Asked())) == b"back"
    call(stream, one, b"", c.SocketVerb.SHUTDOWN, 0)
    assert errno_of(stream.write, other, memoryview(b"x"), 0, 0, Asked()) == e.EPIPE
    assert errno_of(call, stream, one, b"", c.SocketVerb.SHUTDOWN, 3) == e.EINVAL


@pytest.mark.parametrize("kind", [UdsStreamScheme, DatagramScheme])
def test_socket_options(kind):
    scheme = kind()
    one, _ = pair(scheme, uid=5)
    peer = call(scheme, one, bytes(12), c.SocketVerb.GET_SOCK_OPT, c.SO_PEERCRED)
    assert struct.unpack("=iii", peer) == (1, 5, 5)
    size = call(scheme, one, bytes(4), c.SocketVerb.GET_SOCK_OPT, c.SO_RCVBUF)
    assert struct.unpack("=i", size) == (1 << 20,)
    assert errno_of(call, scheme, one, bytes(4), c.SocketVerb.GET_SOCK_OPT, 99) == e.ENOPROTOOPT
    assert errno_of(call, scheme, one, b"", 77) == e.EOPNOTSUPP
    assert errno_of(scheme.call, one, memoryview(b""), (), Asked()) == e.EOPNOTSUPP


def test_opening_a_name_works_as_in_chan(stream):
    listener = opened(stream, "x", MAKE)
    client = opened(stream, "x", f.O_RDWR)
    stream.write(listener, memoryview(b"hi"), 0, 0, Asked())
    assert bytes(stream.read(client, 9, 0, 0, Asked())) == b"hi"
    second = opened(stream, "", MAKE)
    assert errno_of(call, stream, second, b"x", c.SocketVerb.BIND) == e.EADDRINUSE


def test_datagrams_keep_their_boundaries(dgram):
    server = opened(dgram, "x", MAKE)
    client = opened(dgram, "x", f.O_WRONLY)
    for data in (b"one", b"", b"three"):
        dgram.write(client, memoryview(data), 0, 0, Asked())
    assert [bytes(dgram.read(server, 4, 0, 0, Asked())) for _ in range(3)] == [b"one", b"", b"thre"]
    assert errno_of(dgram.read, server, 4, 0, 0, Asked()) == e.EWOULDBLOCK


def test_datagrams_have_bounds(dgram):
    server = opened(dgram, "x", MAKE)
    client = opened(dgram, "x", f.O_RDWR)
    big = memoryview(bytes(MOST + 1))
    assert errno_of(dgram.write, client, big, 0, 0, Asked()) == e.EMSGSIZE
    for _ in range(16):
        dgram.write(client, big[:MOST], 0, 0, Asked())
    assert errno_of(dgram.write, client, big[:1], 0, 0, Asked()) == e.EWOULDBLOCK
    assert dgram.fevent(client, f.EVENT_WRITE) == 0
    posted = Posted(dgram)
    dgram.read(server, MOST, 0, 0, Asked())
    assert (client, f.EVENT_WRITE) in posted.take()
    dgram.on_close(server)
    assert errno_of(dgram.write, client, big[:1], 0, 0, Asked()) == e.ECONNREFUSED


def test_empty_datagrams_are_bounded_too(dgram):
    opened(dgram, "x", MAKE)
    client = opened(dgram, "x", f.O_RDWR)
    empty = memoryview(b"")
    refusals = [errno_of(dgram.write, client, empty, 0, 0, Asked()) for _ in range(4097)]
    assert refusals == [0] * 4096 + [e.EWOULDBLOCK]


def test_a_datagram_tells_its_senders_name_and_can_be_answered(dgram):
    server, client = opened(dgram, "server", MAKE), opened(dgram, "", MAKE)
    call(dgram, client, b"client", c.SocketVerb.BIND)
    call(dgram, client, outgoing(b"hi", b"/scheme/uds_dgram/server"), c.SocketVerb.SEND_MSG)
    name, payload, _ = received(dgram, server)
    assert (name, payload) == (b"/scheme/uds_dgram/client", b"hi")
    call(dgram, server, outgoing(b"yo", name), c.SocketVerb.SEND_MSG)
    assert received(dgram, client)[1] == b"yo"
    lost = outgoing(b"x", b"nobody")
    assert errno_of(call, dgram, server, lost, c.SocketVerb.SEND_MSG) == e.ECONNREFUSED


def test_a_datagram_socket_that_sends_nowhere_says_so(dgram):
    one = opened(dgram, "", MAKE)
    assert errno_of(dgram.write, one, memoryview(b"x"), 0, 0, Asked()) == e.EDESTADDRREQ
    assert errno_of(dgram.openat, ROOT, "no", f.O_RDWR, 0, Asked()) == e.ENOENT
    opened(dgram, "x", MAKE)
    assert errno_of(dgram.openat, ROOT, "x", MAKE | f.O_EXCL, 0, Asked()) == e.EEXIST


@pytest.mark.parametrize("kind", [UdsStreamScheme, DatagramScheme])
def test_names_may_be_any_bytes(kind):
    scheme = kind()
    server = opened(scheme, "caf\udce9", MAKE)
    client = opened(scheme, "caf\udce9", f.O_RDWR)
    if kind is UdsStreamScheme:
        scheme.dup(server, b"listen", Asked())
    call(scheme, client, outgoing(b"x"), c.SocketVerb.SEND_MSG)
    peer = call(scheme, client, bytes(64), c.SocketVerb.GET_PEER_NAME)
    assert peer.endswith(b"/caf\xe9")


@pytest.mark.parametrize("kind", [UdsStreamScheme, DatagramScheme])
def test_descriptors_that_pile_up_are_closed_from_the_oldest(kind):
    scheme = kind()
    before = descriptors()
    one, other = pair(scheme)
    for _ in range(FDS + 10):
        scheme.on_sendfd(one, [os.open(os.devnull, os.O_RDONLY)], 0, 0, Asked())
        call(scheme, one, outgoing(b"x", fds=1), c.SocketVerb.SEND_MSG)
        received(scheme, other)
    assert len(descriptors() - before) == FDS
    scheme.on_close(other)
    assert descriptors() == before
