"""A daemon that breaks the protocol cannot hurt its clients: they get an error."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import select
import socket
import struct
import subprocess
import threading
from contextlib import suppress

import pytest
from test_libredox import library  # noqa: F401 - a fixture

from redbear_host import client
from redbear_host.abi.cqe import Cqe, CqeOpcode, mux
from redbear_host.ring import layout as lay
from redbear_host.ring.layout import Layout

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class Liar(threading.Thread):
    """Welcomes one client and answers its first bell as `lie` does."""

    def __init__(self, folder, lie, sealed=True, welcome=None):
        super().__init__()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(folder / "liar"))
        self.listener.listen()
        self.lie, self.sealed, self.welcome = lie, sealed, welcome
        self.start()

    def run(self):
        self.peer, _ = self.listener.accept()
        _, _, _, entries, _, arena = lay.HELLO.unpack(self.peer.recv(lay.HELLO.size))
        self.layout = Layout(entries, arena)
        self.memory = os.memfd_create("liar", os.MFD_ALLOW_SEALING)
        os.ftruncate(self.memory, self.layout.size)
        if self.sealed:
            fcntl.fcntl(self.memory, fcntl.F_ADD_SEALS, SEALS)
        bell = os.eventfd(0)
        welcome = lay.WELCOME.pack(lay.MAGIC, lay.VERSION, 0, 0)
        socket.send_fds(self.peer, [self.welcome or welcome], [self.memory, bell])
        if bell in select.select([bell, self.peer], [], [], 20)[0]:
            os.pwrite(self.memory, struct.pack("I", 1), lay.SQ_HEAD)  # it has taken the call
            self.lie(self)
            with suppress(OSError):
                self.peer.send(lay.BELL)
        with suppress(OSError):
            self.peer.recv(1)  # until it hangs up, or its process ends
        os.close(bell)
        os.close(self.memory)
        self.peer.close()

    def answer(self, *cqes):
        at = self.layout.cq_at
        for cqe in cqes:
            os.pwrite(self.memory, bytes(cqe), at)
            at += 16
        self.tail(len(cqes))

    def tail(self, value):
        os.pwrite(self.memory, struct.pack("I", value), lay.CQ_TAIL)

    def asked(self):
        """The tag of the first call."""
        return struct.unpack("I", os.pread(self.memory, 4, self.layout.sq_at + 4))[0]

    def close(self):
        self.join(20)
        assert not self.is_alive()
        self.listener.close()


def an_fd(liar, tag, count):
    socket.send_fds(liar.peer, [lay.FDS.pack(tag, count)], [0])


def with_fd(liar):
    return Cqe(flags=CqeOpcode.RESPOND_WITH_FD, tag=liar.asked(), result=0)


def stranger(liar):
    an_fd(liar, liar.asked() ^ 1, 1)
    liar.answer(with_fd(liar))


def miscounted(liar):
    an_fd(liar, liar.asked(), 2)
    liar.answer(with_fd(liar))


LIES = {
    "more answers than places": lambda liar: liar.tail(5000),
    "answers before the first": lambda liar: liar.tail(0xFFFF_FFFF),
    "a call nobody made": lambda liar: liar.answer(Cqe(tag=liar.asked() ^ 3, result=1)),
    "a tag out of range": lambda liar: liar.answer(Cqe(tag=0xFFFF_FFFF, result=1)),
    "twice the same answer": lambda liar: liar.answer(
        Cqe(tag=liar.asked(), result=mux(-errno.ENOENT)), Cqe(tag=liar.asked(), result=1)
    ),
    "a descriptor that does not come": lambda liar: liar.answer(with_fd(liar)),
    "a descriptor of another call": stranger,
    "fewer descriptors than it says": miscounted,
    "the end": lambda liar: liar.peer.shutdown(socket.SHUT_RDWR),
}
WELCOMES = {
    "short": b"x",
    "wrong": lay.WELCOME.pack(1, 1, 0, 0),
    "newer": lay.WELCOME.pack(lay.MAGIC, 9, 0, 0),
    "nonsense": lay.WELCOME.pack(lay.MAGIC, lay.VERSION, 0, -5000),
}


@pytest.fixture
def rings(tmp_path, monkeypatch):
    monkeypatch.setenv("REDBEAR_RINGS", str(tmp_path))
    yield tmp_path
    client.forget()
    gc.collect()


def opened_by_c(library, rings):  # noqa: F811
    done = subprocess.run(
        [library / "probe", "liar"],
        env={**os.environ, "REDBEAR_RINGS": str(rings)},
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def opened_by_python():
    with client.deadline(3), pytest.raises(OSError) as caught:  # noqa: PT011 - all are looked at
        client.open("/scheme/liar/x")
    number = caught.value.errno
    client.forget()
    caught = None
    gc.collect()
    return number


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_answer_is_an_error(rings, library, lie):  # noqa: F811
    liar = Liar(rings, LIES[lie])
    assert opened_by_python() in (errno.EIO, errno.ENOENT)
    liar.close()
    (rings / "liar").unlink()
    liar = Liar(rings, LIES[lie])
    assert opened_by_c(library, rings) in (errno.EIO, errno.ENOENT)
    liar.close()


@pytest.mark.parametrize("welcome", WELCOMES)
def test_what_is_no_welcome_is_an_error(rings, library, welcome):  # noqa: F811
    liar = Liar(rings, lambda _: None, welcome=WELCOMES[welcome])
    assert opened_by_python() == errno.EPROTO
    liar.close()
    (rings / "liar").unlink()
    liar = Liar(rings, lambda _: None, welcome=WELCOMES[welcome])
    assert opened_by_c(library, rings) == errno.EPROTO
    liar.close()


def test_memory_that_could_shrink_is_not_taken(rings, library):  # noqa: F811
    liar = Liar(rings, lambda _: None, sealed=False)
    assert opened_by_python() == errno.EPROTO
    liar.close()
    (rings / "liar").unlink()
    liar = Liar(rings, lambda _: None, sealed=False)
    assert opened_by_c(library, rings) == errno.EPROTO
    liar.close()
