"""The everyday schemes through the ring: what files cannot carry."""

from __future__ import annotations

import os
import struct

import pytest
from base_rig import base_instance

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.client.connection import connect

BIND, CONNECT, SEND, RECEIVE, TOKEN = 0, 1, 4, 5, 7
SCHEMES = ("chan", "log", "null", "pty", "rand", "shm", "uds_dgram", "uds_stream", "zero")


@pytest.fixture(scope="module")
def up():
    with base_instance() as up:
        yield up


@pytest.fixture(autouse=True)
def rings(up, monkeypatch):
    """This process's libredox speaks to the instance of these tests."""
    monkeypatch.setenv("REDBEAR_RINGS", str(up.run_dir / "ring"))
    monkeypatch.setenv("REDBEAR_SCHEME", str(up.mount))
    with client.deadline(20):
        yield
        for name in SCHEMES:
            connect(name).hang_up()


def message(data, fds=0):
    control = struct.pack("=iiQQ", 1, 1, 8, fds) if fds else b""
    return bytes(8) + struct.pack("=Q", len(data)) + data + control


def received(socket):
    """Receive a message; return its payload, how many descriptors came, and the sender."""
    room = bytearray(struct.pack("=QQQ", 64, 256, 128).ljust(512, b"\0"))
    count = socket.call_rw(room, 0, (RECEIVE,))
    (name,) = struct.unpack_from("=Q", room)
    (size,) = struct.unpack_from("=Q", room, 8 + name)
    at = 16 + name
    payload, at = bytes(room[at : at + size]), at + size
    fds, who = 0, ()
    while at < count:
        _, kind, length = struct.unpack_from("=iiQ", room, at)
        if kind == 1:
            (fds,) = struct.unpack_from("=Q", room, at + 16)
        else:
            who = struct.unpack_from("=iii", room, at + 16)
        at += 16 + length
    return payload, fds, who


def test_rand_zero_and_null():
    assert len(client.open("/scheme/rand").read(4096)) == 4096
    assert len(set(client.open("rand:urandom").read(4096))) == 256
    assert client.open("/scheme/zero").read(100_000) == bytes(100_000)
    null = client.open("/scheme/null", f.O_RDWR)
    assert null.write(b"gone") == 4
    assert null.read(10) == b""
    assert null.fpath() == "/scheme/null"


def test_zero_is_mapped_afresh_each_time():
    zero = client.open("/scheme/zero", f.O_RDWR)
    with client.fmap(zero, 8192) as one, client.fmap(zero, 8192) as two:
        one.memory[:4] = b"mine"
        assert two.memory[:] == bytes(8192)


def test_a_channel_is_listened_to_accepted_and_read():
    listener = client.open("/scheme/chan/ring", f.O_RDWR | f.O_CREAT | f.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        listener.dup(b"listen")
    talker = client.open("/scheme/chan/ring", f.O_RDWR)
    accepted = listener.dup(b"listen")
    assert talker.write(b"question") == 8
    assert accepted.read(100) == b"question"
    accepted.write(b"answer")
    assert talker.read(100) == b"answer"
    assert talker.fpath() == "/scheme/chan/ring"
    accepted.close()
    assert talker.read(100) == b""


def test_a_channel_joins_both_doors(up):
    with open(up.mount / "chan/both", "x+b", buffering=0) as file:
        talker = client.open("/scheme/chan/both", f.O_RDWR)
        file.write(b"from a file")
        assert talker.read(100) == b"from a file"
        talker.write(b"from a ring")
        assert file.read(100) == b"from a ring"


def test_events_of_a_channel_reach_a_queue():
    listener = client.open("/scheme/chan/events", f.O_RDWR | f.O_CREAT)
    with client.EventQueue() as queue:
        queue.subscribe(listener, f.EVENT_READ, 7)
        talker = client.open("/scheme/chan/events", f.O_RDWR)
        assert next(iter(queue)).user_data == 7
        accepted = listener.dup(b"listen")
        queue.subscribe(accepted, f.EVENT_READ, 8)
        talker.write(b"x")
        assert next(event for event in queue if event.user_data == 8)


@pytest.mark.parametrize("scheme", ["uds_stream", "uds_dgram"])
def test_a_unix_socket_carries_descriptors_and_who_sent_them(scheme):
    one = client.open(f"/scheme/{scheme}", f.O_RDWR | f.O_CREAT)
    other = one.dup(b"connect")
    ours, theirs = os.pipe()
    one.sendfd([theirs])
    os.close(theirs)
    assert one.call_wo(message(b"take it", fds=1), 0, (SEND,)) == 7
    assert received(other) == (b"take it", 1, (os.getpid(), os.getuid(), os.getgid()))
    (fd,) = other.recvfd()
    os.write(fd, b"through the pipe")
    os.close(fd)
    assert os.read(ours, 100) == b"through the pipe"
    assert os.read(ours, 100) == b""  # nobody else holds the other end
    os.close(ours)


def test_a_unix_socket_is_connected_by_its_token():
    server = client.open("/scheme/uds_stream", f.O_RDWR | f.O_CREAT)
    server.call_wo(b"by-token", 0, (BIND,))
    token = bytearray(8)
    assert server.call_ro(token, 0, (TOKEN,)) == 8
    talker = client.open("/scheme/uds_stream", f.O_RDWR | f.O_CREAT)
    talker.call_wo(bytes(token), 0, (CONNECT,))
    accepted = server.dup(b"listen")
    talker.write(b"hello")
    assert accepted.read(10) == b"hello"


def test_shared_memory_is_one_for_rings_and_files(up):
    shared = client.open("/scheme/shm/both", f.O_RDWR | f.O_CREAT, 0o600)
    shared.ftruncate(4096)
    with client.fmap(shared, 4096) as mapping:
        with open(up.mount / "shm/both", "r+b", buffering=0) as file:
            file.write(b"from a file")
        assert mapping.memory[:11] == b"from a file"
        mapping.memory[:4] = b"FROM"
        with open(up.mount / "shm/both", "rb", buffering=0) as file:
            assert file.read(11) == b"FROM a file"
        with pytest.raises(OSError, match="Device or resource busy"):
            shared.ftruncate(0)
    os.unlink(up.mount / "shm/both")


def test_a_sink_gets_the_log(up):
    ours, theirs = os.pipe()
    client.open("/scheme/log/add_sink", f.O_WRONLY).sendfd([theirs])
    os.close(theirs)
    client.open("/scheme/log/ring", f.O_WRONLY).write(b"over the ring\n")
    (up.mount / "log/file").write_bytes(b"over a file\n")
    seen = b""
    while b"file: over a file\n" not in seen:
        seen += os.read(ours, 65536)
    assert b"ring: over the ring\n" in seen
    os.close(ours)


def test_the_log_itself_is_a_writer_without_a_name(up):
    client.open("/scheme/log", f.O_WRONLY).write(b"nobody said this\n")
    assert b"nobody said this" in (up.mount / "log/all").read_bytes().splitlines()


def test_a_slave_is_a_terminal_and_settings_are_duped():
    master = client.open("/scheme/pty/ptmx", f.O_RDWR)
    name = master.dup(b"ptsname").read(100).decode()
    master.dup(b"winsize").write(struct.pack("=HH", 25, 81))
    slave = client.open(f"/scheme/pty/{name.rsplit('/', 1)[1]}", f.O_RDWR)
    assert os.isatty(slave.fileno())
    assert os.get_terminal_size(slave.fileno()) == (81, 25)
    os.write(slave.fileno(), b"out")
    assert master.read(100) == b"\0out"
    assert master.fpath() == "/scheme/pty/ptmx"
