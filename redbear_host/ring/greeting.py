"""The first words with a client: HELLO and WELCOME."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.ring import layout as lay
from redbear_host.ring.layout import Layout
from redbear_host.ring.memory import Memory
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Caller

PATIENCE: Final = 5.0  # seconds for a client to say HELLO

_UCRED: Final = Struct("=iii")  # pid, uid, gid: unix(7), SO_PEERCRED
_SO_PASSRIGHTS: Final = 83  # Linux 6.16, asm-generic/socket.h
_SEND_ROOM: Final = 32 << 10  # bytes; bounds descriptors on their way to one that does not read


class Greeting:
    """A connection that has not said HELLO yet; `heard` is called when it has, or hangs up."""

    def __init__(
        self, connection: socket.socket, loop: Loop, takes_fds: bool, heard: Callable[..., None]
    ) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_ROOM)
        if not takes_fds:
            _pass_no_rights(connection)
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        self.caller: Final = Caller(*_UCRED.unpack(raw))
        self.socket: Final = connection
        self._loop: Final = loop
        self._heard: Final = heard
        self.due: Final = loop.now() + PATIENCE  # when nobody waits for the HELLO any more
        loop.watch(connection.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        try:
            # No room for descriptors, so the kernel lets go of any that come with it.
            message = self.socket.recvmsg(lay.HELLO.size + 1)[0]
        except BlockingIOError:
            return
        except OSError:
            message = b""
        self._done()
        self._heard(self, message)

    def _done(self) -> None:
        self._loop.unwatch(self.socket.fileno())

    def welcome(self, memory: Memory) -> bool:
        """Hand the memory and the bell over; False when the client has hung up."""
        rights = array.array("i", (memory.fd, memory.bell))
        try:
            self.socket.sendmsg(
                [lay.WELCOME.pack(lay.MAGIC, lay.VERSION, 0, 0)],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)],
            )
        except OSError:
            return False
        memory.handed_over()
        return True

    def send_away(self, errno: int) -> None:
        """Say why not, and hang up."""
        with suppress(OSError):  # it may not have waited for that
            self.socket.sendmsg([lay.WELCOME.pack(lay.MAGIC, lay.VERSION, 0, -errno)])
        self.socket.close()

    def close(self) -> None:
        """Hang up without a word."""
        self._done()
        self.socket.close()


def _pass_no_rights(connection: socket.socket) -> None:
    """Let senders of descriptors fail, where the kernel can; else they are dropped on arrival."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
    except OSError:
        return


def read_hello(message: bytes) -> Layout:
    """Check a HELLO; raises `Refused` with the errno for the WELCOME."""
    if len(message) != lay.HELLO.size:
        raise Refused(e.EPROTO)
    magic, version, _, entries, _, arena = lay.HELLO.unpack(message)
    if magic != lay.MAGIC:
        raise Refused(e.EPROTO)
    if version != lay.VERSION:
        raise Refused(e.EPROTONOSUPPORT)
    layout = Layout(entries, arena)
    try:
        layout.check()
    except ValueError:
        raise Refused(e.EINVAL) from None
    return layout


def make_memory(layout: Layout) -> Memory:
    """Make a connection's memory, or refuse with the reason the kernel gives."""
    try:
        return Memory(layout)
    except OSError as error:
        raise Refused(error.errno if error.errno in (e.EMFILE, e.ENFILE) else e.ENOMEM) from error


def listener_of(fd: int) -> socket.socket:
    """Return a socket object of our own for a listener's descriptor."""
    listener = socket.socket(fileno=os.dup(fd))
    listener.setblocking(False)
    return listener
