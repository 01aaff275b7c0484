"""Clients that break the rules: they are shown the door, and nobody else notices."""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import socket

import pytest
from descriptors import descriptors
from ring_rig import CQ_HEAD, CQ_TAIL, NO_OFFSET, SQ_HEAD, SQ_TAIL, RawClient, Rig
from ring_scheme import Toy

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.sqe import Opcode as Op
from redbear_host.ring import door as door_module
from redbear_host.ring import greeting, peer
from redbear_host.scheme.request import Caller


def stranger(rig: Rig, **hello: int) -> RawClient:
    client = RawClient(rig.path, hello.pop("entries", 64), hello.pop("arena", 4096))
    rig.clients.append(client)
    client.hello(**hello)
    rig.turn()
    return client


# -- whose connection it is ------------------------------------------------------------------------


def test_a_connection_ends_with_the_process_that_made_it_whoever_holds_it(rig: Rig) -> None:
    """Its pid may soon be another's, and schemes look descriptors and groups up by it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    maker = os.fork()
    if maker == 0:
        made = RawClient(rig.path)
        made.hello()
        socket.send_fds(theirs, [b"here"], [made.socket.fileno()])
        theirs.recv(1)
        os._exit(0)
    before = len(descriptors())
    with ours, theirs:
        _, fds, _, _ = socket.recv_fds(ours, 16, 1)
        with socket.socket(fileno=fds[0]) as inherited:
            rig.until(lambda: rig.door._clients)
            rig.turn()
            assert inherited.recv(64, socket.MSG_DONTWAIT)  # WELCOME
            ours.send(b"!")
            os.waitpid(maker, 0)
            rig.until(lambda: not rig.door._clients)
            assert not inherited.recv(64)
        assert len(descriptors()) == before


def test_the_same_before_linux_6_5(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_SO_PEERPIDFD", 9999)  # as before 6.5
    test_a_connection_ends_with_the_process_that_made_it_whoever_holds_it(rig)


# -- the first words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hello", "error"),
    [
        ({"magic": 0}, e.EPROTO),
        ({"version": 2}, e.EPROTONOSUPPORT),
        ({"entries": 0}, e.EINVAL),
        ({"entries": 3}, e.EINVAL),
        ({"entries": 8192}, e.EINVAL),
        ({"arena": 0}, e.EINVAL),
        ({"arena": 4097}, e.EINVAL),
        ({"arena": 1 << 63}, e.EINVAL),
    ],
)
def test_a_hello_that_cannot_be_is_told_why(rig: Rig, hello: dict[str, int], error: int) -> None:
    client = stranger(rig, **hello)
    assert client.welcome() == error
    assert client.is_dropped()
    assert len(rig.door._clients) == 0


@pytest.mark.parametrize("message", [b"x", b"x" * 23, b"x" * 25, b"x" * 4096])
def test_what_is_no_hello_is_told_so(rig: Rig, message: bytes) -> None:
    client = RawClient(rig.path)
    rig.clients.append(client)
    client.socket.send(message)
    rig.turn()
    assert client.welcome() == e.EPROTO


def test_who_says_nothing_is_hung_up_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greeting, "PATIENCE", 0.0)
    client = RawClient(rig.path)
    rig.clients.append(client)
    rig.turn()
    assert client.is_dropped()


def test_who_hangs_up_at_once_is_no_trouble(rig: Rig, client: RawClient) -> None:
    for say_hello in (False, True) * 10:
        caller = RawClient(rig.path)
        if say_hello:
            caller.hello()
        caller.close()
    rig.turn(5)
    assert len(rig.door._clients) == 1
    assert rig.open(client, b"file") == 1


def test_callers_who_say_nothing_make_room_for_others(rig: Rig) -> None:
    silent = []
    for _ in range(80):
        silent.append(RawClient(rig.path))
        rig.turn(1)
    client = rig.connect()
    assert rig.open(client, b"file") == 1
    assert sum(one.is_dropped() for one in silent) >= 80 - 64
    for one in silent:
        one.close()


def test_there_are_bounds_on_clients_and_on_memory(
    rig: Rig, client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "CLIENTS_MOST", 2)
    second = rig.connect()
    refused = stranger(rig)
    assert refused.welcome() == e.ENFILE
    second.socket.close()
    rig.turn()
    assert stranger(rig).welcome() == 0
    monkeypatch.setattr(door_module, "CLIENTS_MOST", 200)
    monkeypatch.setattr(door_module, "MEMORY_MOST", 1 << 20)
    assert stranger(rig, arena=1 << 20).welcome() == e.ENOMEM
    assert rig.open(client, b"file") == 1


def test_one_user_may_not_take_every_handle(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "HANDLES_OF_ONE", door_module.HANDLES_MOST + 1)
    root = rig.connect()
    monkeypatch.setattr(greeting, "Caller", lambda pid, uid, gid: Caller(pid, 1000, 1000))
    ours = [rig.connect() for _ in range(2)]
    for _ in range(door_module.HANDLES_MOST):
        handle = rig.open(ours[0], b"file")
    assert rig.open(ours[1], b"file") == 1
    assert rig.open(ours[1], b"file") == -e.EMFILE
    assert rig.open(root, b"file") == 1
    assert rig.call(ours[0], Op.CLOSE, handle) == 0
    assert rig.open(ours[1], b"file") == 2


def test_one_user_may_not_take_every_place(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "CLIENTS_OF_ONE", 2)
    os.chmod(rig.path.parent, 0o755)
    os.chmod(rig.path, 0o666)
    children = []
    ready, wait = os.pipe(), os.pipe()
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            os.close(wait[1])
            os.chdir(rig.path.parent)
            os.setuid(12345)
            caller = RawClient("ring")
            caller.hello()
            caller.socket.settimeout(5)
            os.write(ready[1], bytes([caller.welcome()]))
            os.read(wait[0], 1)
            os._exit(0)
        children.append(pid)
    os.close(wait[0])
    found = b""
    os.set_blocking(ready[0], False)

    def heard() -> bool:
        nonlocal found
        try:
            found += os.read(ready[0], 8)
        except BlockingIOError:
            return False
        return len(found) == 3

    rig.until(heard)
    os.close(wait[1])
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    for end in ready:
        os.close(end)
    assert sorted(found) == [0, 0, e.EMFILE]
    assert rig.connect() is not None  # root may


# -- indexes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [65, 1 << 16, (1 << 32) - 1])
def test_a_tail_that_jumps_ends_the_connection(rig: Rig, client: RawClient, ahead: int) -> None:
    witness = rig.connect()
    handle = rig.open(witness, b"file")
    client.words[SQ_TAIL] = ahead
    client.ring()
    rig.turn()
    assert client.is_dropped()
    assert rig.call(witness, Op.FSIZE, handle) == 19


@pytest.mark.parametrize("head", [1, 129, (1 << 32) - 129])
def test_a_head_that_jumps_ends_the_connection(rig: Rig, client: RawClient, head: int) -> None:
    client.words[CQ_HEAD] = head
    client.put(Op.FSIZE, 1, 1)
    client.ring()
    rig.turn()
    assert client.is_dropped()


def test_the_daemons_indexes_are_its_own(rig: Rig, client: RawClient) -> None:
    handle = rig.open(client, b"file")
    tail = client.words[CQ_TAIL]
    client.words[SQ_HEAD] = 12345
    client.words[CQ_TAIL] = 54321
    client.put(Op.FSIZE, 1, handle)
    client.ring()
    rig.turn()
    assert client.words[SQ_HEAD] == client.tail
    assert client.words[CQ_TAIL] == tail + 1
    assert client.taken() == [(0, 0, 1, 19)]


def test_indexes_wrap(rig: Rig, client: RawClient, toy: Toy) -> None:
    """Entries of several rounds of the ring, in batches that straddle its end."""
    handle = rig.open(client, b"file")
    for start in range(0, 1000, 50):
        for tag in range(start, start + 50):
            client.put(Op.FCNTL, tag, handle, tag, 1)
        client.ring()
        rig.turn()
        client.listen()
        assert client.taken() == [(0, 0, tag, tag + 1) for tag in range(start, start + 50)]


def test_indexes_wrap_at_two_to_the_thirty_two(rig: Rig, client: RawClient) -> None:
    handle = rig.open(client, b"file")
    ours = next(iter(rig.door._clients))
    start = (1 << 32) - 8
    ours._head = client.tail = start
    ours._tail = client.seen = start
    for word in (SQ_HEAD, SQ_TAIL, CQ_HEAD, CQ_TAIL):
        client.words[word] = start
    for tag in range(20):
        client.put(Op.FCNTL, tag, handle, tag, 1)
    client.ring()
    rig.turn()
    assert client.words[SQ_HEAD] == 12
    assert client.taken() == [(0, 0, tag, tag + 1) for tag in range(20)]


def test_the_memory_stays_as_it_is(rig: Rig, client: RawClient) -> None:
    """A page that is gone would end the daemon with SIGBUS."""
    handle = rig.open(client, b"file")
    size = len(client.map)
    for length in (0, 4096, size + 4096):
        with pytest.raises(PermissionError):
            os.ftruncate(client.memory_fd, length)
    with pytest.raises(PermissionError):
        fcntl.fcntl(client.memory_fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    # A hole punched into it reads as zeroes, and may be written.
    libc = ctypes.CDLL(None, use_errno=True)
    where = (ctypes.c_long(client.arena_at), ctypes.c_long(client.arena))
    assert libc.fallocate(client.memory_fd, 0x3, *where) == 0
    client.put(Op.READ, 1, handle, 4096, 4, 0, 0)
    client.ring()
    assert rig.until(client.taken) == [(0, 0, 1, 4)]
    assert client.payload(4095, 6) == b"\0what\0"


# -- greed -------------------------------------------------------------------------------------


def test_a_client_that_reads_no_answers_gets_no_more_work_done(rig: Rig, toy: Toy) -> None:
    client = rig.connect(entries=8)
    handle = rig.open(client, b"file")
    del toy.log[:]
    for _ in range(5):
        for tag in range(8):
            if (client.tail - client.words[SQ_HEAD]) % (1 << 32) < 8:
                client.put(Op.FTRUNCATE, tag, handle, 1)
        client.ring()
        rig.turn()
    assert len(toy.log) == 16  # as many as there is room for answers
    assert (client.words[CQ_TAIL] - client.seen) % (1 << 32) == 16
    assert len(client.taken()) == 16
    client.ring()
    rig.turn()
    assert len(toy.log) == 24


def test_a_cancel_gets_through_when_nothing_else_does(rig: Rig, toy: Toy) -> None:
    client = rig.connect(entries=2)
    handle = rig.open(client, b"queue")
    for tag in range(4):
        client.put(Op.READ, tag, handle, 0, 1, NO_OFFSET, 0)
        client.ring()
        rig.turn()
    client.put(Op.CANCEL, 2)
    client.put(Op.CLOSE_MSG, 0, 99)
    client.ring()
    rig.turn()
    assert client.taken() == [(0, 0, 2, -e.ECANCELED)]


def test_a_flood_of_one_client_does_not_keep_another_waiting(rig: Rig, toy: Toy) -> None:
    greedy, modest = rig.connect(entries=4096), rig.connect(entries=2)
    first, second = rig.open(greedy, b"file"), rig.open(modest, b"file")
    for tag in range(4096):
        greedy.put(Op.FSIZE, tag, first)
    greedy.ring()
    modest.put(Op.FSIZE, 1, second)
    modest.ring()
    rig.turn(1)
    done = (greedy.words[CQ_TAIL] - greedy.seen) % (1 << 32)
    assert 0 < done <= 128
    assert modest.taken() == [(0, 0, 1, 19)]
    rig.turn(80)
    assert len(greedy.taken()) == 4096


def test_large_transfers_count_for_more(rig: Rig, toy: Toy) -> None:
    greedy = rig.connect(entries=4096, arena=1 << 20)
    handle = rig.open(greedy, b"file")
    toy.data = bytearray(1 << 20)
    for turns, at_most in ((1, 64), (1, 4), (1, 4)):
        before = greedy.words[CQ_TAIL]
        for tag in range(100):
            greedy.put(Op.READ, tag, handle, 0, 1 << 20, 0, 0)
        greedy.ring()
        rig.turn(turns)
        done = (greedy.words[CQ_TAIL] - before) % (1 << 32)
        assert 0 < done <= at_most
        rig.until(lambda: greedy.words[SQ_HEAD] == greedy.tail)
        assert len(greedy.taken()) == 100
    for _ in range(100):  # small ones again
        assert rig.call(greedy, Op.FSIZE, handle) == 1 << 20
    greedy.put(Op.FSIZE, 1, handle)
    assert next(iter(rig.door._clients))._turn == 64


def test_bells_without_entries_are_nothing(rig: Rig, client: RawClient) -> None:
    for _ in range(1000):
        client.ring()
    rig.turn()
    calls = rig.door.calls
    os.set_blocking(client.bell, False)
    os.write(client.bell, (0xFFFF_FFFF_FFFF_FFFE - 1000).to_bytes(8, "little"))  # full
    rig.turn()
    assert rig.door.calls == calls
    os.read(client.bell, 8)
    assert rig.open(client, b"file") == 1


def test_a_bell_that_blocks_hurts_only_who_rings_it(rig: Rig, client: RawClient) -> None:
    os.set_blocking(client.bell, True)
    handle = rig.open(client, b"file")
    for _ in range(600):  # far more bells than the socket holds, and none of them is read
        client.put(Op.FSIZE, 1, handle)
        client.ring()
        assert rig.until(client.taken) == [(0, 0, 1, 19)]
    assert not client.is_dropped()


def test_handles_are_counted(rig: Rig, client: RawClient, toy: Toy) -> None:
    for number in range(1, 1025):
        assert rig.open(client, b"file") == number
    assert rig.open(client, b"file") == -e.EMFILE
    assert len(toy.open) == 1024
    assert rig.call(client, Op.CLOSE, 1) == 0
    assert rig.open(client, b"file") == 1025


def test_events_for_a_client_that_never_reads_take_no_room(rig: Rig, toy: Toy) -> None:
    client = rig.connect(entries=2)
    handle = rig.open(client, b"queue")
    rig.call(client, Op.FEVENT, handle, 3)
    ours = next(iter(rig.door._clients))
    for _ in range(1000):
        toy.post_fevent(1, f.EVENT_READ)
        rig.turn(1)
    assert len(ours._late) == 1
    assert len(client.taken()) == 4


def test_a_client_that_leaves_in_the_middle_of_a_batch_is_no_trouble(
    rig: Rig, client: RawClient, toy: Toy
) -> None:
    victim = rig.connect()
    handle = rig.open(victim, b"file")
    for tag in range(60):
        victim.put(Op.FSIZE, tag, handle)
    victim.ring()
    victim.socket.shutdown(socket.SHUT_RDWR)
    rig.turn(5)
    assert toy.open == {}
    assert rig.open(client, b"file") == 1


def test_the_log_does_not_grow_with_what_clients_do(
    rig: Rig, client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            one = rig.connect(entries=2, arena=4096)
            one.words[SQ_TAIL] = 1000
            one.ring()
            rig.turn()
            assert one.is_dropped()
    lines = [record.message for record in caplog.records]
    assert len(lines) <= 4
    assert f"client of pid {os.getpid()}, uid 0: indexes jumped: 1000 entries" in lines[0]
