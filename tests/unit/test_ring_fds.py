"""Descriptors and memory that travel beside a ring."""

from __future__ import annotations

import gc
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from descriptors import descriptors
from ring_rig import RawClient, Rig
from ring_scheme import Toy

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.sqe import Opcode as Op
from redbear_host.scheme.scheme import Opened, Scheme

WITH_FD, WITH_FDS = 1, 4


def open_fds() -> int:
    gc.collect()  # other tests' mappings hold descriptors too
    return len(descriptors())


def send(client: RawClient, tag: int, count: int, announced: int | None = None) -> None:
    fds = [os.memfd_create(f"sent {number}") for number in range(count)]
    try:
        client.send_fds(tag, fds, announced)
    finally:
        for fd in fds:
            os.close(fd)


def test_an_open_may_give_a_descriptor_of_linuxs(rig: Rig, client: RawClient) -> None:
    answer = rig.full(client, Op.OPEN_AT, 0, *client.place(0, b"foreign"), 0, 0, tag=9)
    assert answer == (WITH_FD, 0, 9, 0)
    assert os.read(client.fds[9][0], 64) == b"through a pipe"


def test_descriptors_go_in_and_come_out(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"fds")
    reader, writer = os.pipe()
    client.send_fds(3, [writer, reader])
    os.close(reader)
    os.close(writer)
    assert rig.call(client, Op.SENDFD, handle, 2, 77, 2, tag=3) == 2
    assert toy.log[-1] == ("sendfd", 2, 2, 77)
    assert rig.full(client, Op.RECVFD, handle, 4, 5, 11, 12, tag=4) == (WITH_FDS, 0, 4, 2)
    assert toy.log[-1] == ("recvfd", 5, 4, (11, 12))
    writer, reader = client.fds[4]
    os.write(writer, b"there and back")
    assert os.read(reader, 64) == b"there and back"


def test_none_is_a_number_of_descriptors_too(rig: Rig, client: RawClient) -> None:
    handle = rig.open(client, b"fds")
    assert rig.full(client, Op.RECVFD, handle, 0, 5) == (WITH_FDS, 0, 1, 0)
    assert client.fds == {1: []}
    assert rig.call(client, Op.RECVFD, handle, 0, 0) == -e.EINVAL
    assert rig.call(client, Op.RECVFD, handle, 0, 65) == -e.EINVAL
    assert rig.call(client, Op.RECVFD, handle, 8, 1) == -e.EINVAL


def test_descriptors_nobody_takes_are_closed(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"fds")
    before = open_fds()
    send(client, 1, 2)
    assert rig.call(client, Op.SENDFD, handle, 0, 0, 1) == -e.EINVAL  # not as many as came
    send(client, 1, 1)
    assert rig.call(client, Op.SENDFD, handle, 0, 13, 1) == -e.EPERM  # the scheme will not
    send(client, 1, 1)
    assert rig.call(client, Op.SENDFD, 99, 0, 0, 1) == -e.EBADF
    send(client, 1, 1)
    assert rig.call(client, Op.SENDFD, handle, 4, 0, 1) == -e.EINVAL  # flags
    assert rig.call(client, Op.SENDFD, handle, 0, 0, 1) == -e.EINVAL  # none came
    assert open_fds() == before
    assert rig.door.allowance is not None
    assert rig.door.allowance.left == 256


def test_what_a_client_leaves_behind_is_closed(rig: Rig, client: RawClient) -> None:
    rig.open(client, b"fds")
    before = open_fds()
    for tag in range(16):
        send(client, tag, 3)
    rig.turn(20)
    assert open_fds() == before + 48
    client.socket.close()
    rig.turn()
    # The socket's two ends are gone too, the daemon's mapping and bell, and what watches us.
    assert open_fds() == before - 5


@pytest.mark.parametrize("kind", ["too many calls", "twice", "not as announced", "no message"])
def test_descriptors_against_the_rules_end_the_connection(
    rig: Rig, client: RawClient, kind: str
) -> None:
    before = open_fds()
    if kind == "too many calls":
        for tag in range(17):
            send(client, tag, 1)
    elif kind == "twice":
        send(client, 1, 1)
        send(client, 1, 1)
    elif kind == "not as announced":
        send(client, 1, 1, 2)
    else:
        client.socket.send(b"xyz")
    rig.turn(20)
    assert client.is_dropped()
    assert open_fds() == before - 4


def test_all_clients_together_may_leave_only_so_many(rig: Rig) -> None:
    clients = [rig.connect() for _ in range(3)]
    for client in clients:
        for tag in range(16):
            send(client, tag, 8)
        rig.turn(20)
    assert [client.is_dropped() for client in clients] == [False, False, True]


class Plain(Scheme):
    """A scheme that wants no descriptors."""

    def openat(self, parent, path, flags, fcntl_flags, request):
        return Opened(1)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, Plain())
    yield made
    made.close()


def test_a_scheme_that_wants_no_descriptors_gets_none(plain: Rig) -> None:
    client = plain.connect()
    plain.open(client, b"")
    before = open_fds()
    with suppress(PermissionError):  # Linux 6.16 lets us tell the sender
        send(client, 1, 3)
    assert plain.call(client, Op.SENDFD, 1, 0, 0, 3) == -e.EOPNOTSUPP
    assert open_fds() == before
    assert not client.is_dropped()


def test_memory_is_mapped_and_unmapped(rig: Rig, client: RawClient, toy: Toy) -> None:
    handle = rig.open(client, b"map")
    flags = f.PROT_READ | f.PROT_WRITE | f.MAP_SHARED
    answer = rig.full(client, Op.MMAP_PREP, handle, 4096, flags, 4096, tag=6)
    assert answer == (WITH_FD, 0, 6, 4096)
    with mmap.mmap(client.fds[6][0], 4096, offset=4096) as mapped:
        mapped[:5] = b"hello"
    assert os.pread(toy.memory, 5, 4096) == b"hello"
    assert rig.call(client, Op.MUNMAP, handle, 4096, 1, 4096) == 0
    assert toy.log[-1] == ("munmap", 4096, 4096, 1)
    assert rig.call(client, Op.MUNMAP, handle, 4096, 0, 4096) == -e.EINVAL  # not mapped


@pytest.mark.parametrize(
    ("size", "flags", "offset"),
    [(0, 1, 0), (4096, 0x20, 0), (4096, 1, 5), (4096, 1, 1 << 63), ((1 << 63) - 4096, 1, 8192)],
)
def test_a_mapping_that_cannot_be_is_refused(
    rig: Rig, client: RawClient, size: int, flags: int, offset: int
) -> None:
    handle = rig.open(client, b"map")
    assert rig.call(client, Op.MMAP_PREP, handle, size, flags, offset) == -e.EINVAL


def test_a_client_that_does_not_read_gets_no_more_descriptors(rig: Rig, client: RawClient) -> None:
    handle = rig.open(client, b"map")
    before = open_fds()
    results = []
    for _ in range(400):
        client.put(Op.MMAP_PREP, 1, handle, 4096, f.MAP_SHARED, 0)
        client.ring()
        results += rig.until(client.taken)
    assert results[0] == (WITH_FD, 0, 1, 0)
    assert results[-1] == (0, 0, 1, -e.ENOBUFS)
    assert open_fds() == before
    client.listen()
    for fds in client.fds.values():
        os.close(fds[0])
    client.fds.clear()
