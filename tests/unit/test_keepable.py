"""What the shim holds for daemons, and that it waits for nobody when it lets go of something."""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress

import pytest

from kernel_shim import keepable


def listening(family):
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")  # "": a name of Linux's
    made.listen()
    return made.detach()


def connected():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


def is_open(fd):
    with suppress(OSError):
        os.readlink(f"/proc/self/fd/{fd}")
        return True
    return False


@pytest.mark.parametrize(
    "make",
    [
        lambda: os.memfd_create("name servers"),
        lambda: os.open("/proc/self/ns/net", os.O_RDONLY),
        lambda: listening(socket.AF_INET),
        lambda: listening(socket.AF_UNIX),
    ],
)
def test_what_services_keep_is_known_and_closed_at_once(make):
    fd = make()
    assert keepable.is_known(fd)
    assert keepable.let_go([fd])
    assert not is_open(fd)


def test_a_tap_is_known():
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"/dev/net/tun: {error.strerror}")
    assert keepable.is_known(fd)
    assert keepable.let_go([fd])


def odd_file(tmp_path):
    # Its path reads like the name of memory.
    (tmp_path / "memfd:x (deleted)").touch()
    return os.open(tmp_path / "memfd:x (deleted)", os.O_RDWR)


def an_epoll(_):
    with select.epoll() as made:
        return os.dup(made.fileno())


@pytest.mark.parametrize(
    "make",
    [
        odd_file,
        lambda _: os.open("/dev/null", os.O_RDWR),
        lambda folder: os.open(folder, os.O_PATH),
        an_epoll,
        lambda _: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).detach(),
        lambda _: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach(),
        lambda _: os.pidfd_open(os.getpid()),
        lambda _: os.open("/proc/self/ns/mnt", os.O_RDONLY),
    ],
)
def test_all_else_is_not_known(make, tmp_path):
    fd = make(tmp_path)
    assert not keepable.is_known(fd)
    assert not keepable.let_go([fd])


def lingering():
    """Return a connection with unsent bytes, which close(2) waits for, and its other end."""
    one, other = connected()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, keepable._LINGER.pack(1, 5))
    one.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            one.send(bytes(1 << 20))
    return one, other


def test_what_lingers_stops_nobody():
    one, other = lingering()
    with other:
        began = time.monotonic()
        assert not keepable.let_go([one.detach()])
        assert time.monotonic() - began < 2


def test_what_was_known_when_it_came_does_not_linger_at_the_end():
    one, other = lingering()
    with other:
        began = time.monotonic()
        keepable.close(one.detach())
        assert time.monotonic() - began < 2
