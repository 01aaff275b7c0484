"""What a socket's calls carry: Redox's SocketCall verbs and the shape of a message.

A message is, with every length a 64-bit word: the length of a name and the name, the length of the
payload and the payload, then any number of control records: level (i32), type (i32), length, data.
(Redox's relibc and ipcd; reference for the records: SCM_RIGHTS holds how many descriptors go with
the message, SCM_CREDENTIALS three i32: pid, uid, gid.)
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from redbear_host.abi import errno as e
from redbear_host.bits import SpecEnum
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller

SOL_SOCKET: Final = 1
SCM_RIGHTS: Final = 1
SCM_CREDENTIALS: Final = 2

SO_SNDBUF: Final = 7
SO_RCVBUF: Final = 8
SO_PEERCRED: Final = 17

NUMBER: Final = Struct("=i")
WORD: Final = Struct("=Q")
CREDENTIALS: Final = Struct("=iii")  # pid, uid, gid
ROOMS: Final = Struct("=QQQ")  # what a receiver has room for: name, payload, control records
_CONTROL: Final = Struct("=iiQ")  # level, type, length of the data


class SocketVerb(SpecEnum):
    """First metadata word of a call on a socket."""

    BIND = 0
    CONNECT = 1
    SET_SOCK_OPT = 2
    GET_SOCK_OPT = 3
    SEND_MSG = 4
    RECV_MSG = 5
    UNBIND = 6
    GET_TOKEN = 7
    GET_PEER_NAME = 8
    SHUTDOWN = 9


class Outgoing(NamedTuple):
    """A message as a client sends it."""

    name: bytes
    payload: memoryview
    fds: int  # how many of the descriptors it sent before go with this


def parse(data: memoryview) -> Outgoing:
    """Take a client's message apart; `Refused` (EINVAL) for one that is not whole."""
    name, at = _piece(data, 0)
    payload, at = _piece(data, at)
    fds = 0
    for level, kind, record in _records(data, at):
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            if len(record) != WORD.size:
                raise Refused(e.EINVAL)
            fds += WORD.unpack(record)[0]
    return Outgoing(bytes(name), payload, fds)


def pack(name: bytes, payload: memoryview, fds: int, sender: Caller, room: int) -> bytes:
    """Make what a receiver reads; control records as far as it has `room` for them."""
    controls = b""
    if fds:
        controls += _CONTROL.pack(SOL_SOCKET, SCM_RIGHTS, WORD.size) + WORD.pack(fds)
    who = CREDENTIALS.pack(*(min(number, 0x7FFF_FFFF) for number in sender))
    credentials = _CONTROL.pack(SOL_SOCKET, SCM_CREDENTIALS, len(who)) + who
    if len(controls) + len(credentials) <= room:
        controls += credentials
    return b"".join((WORD.pack(len(name)), name, WORD.pack(len(payload)), bytes(payload), controls))


def overhead(name: bytes, controls: int) -> int:
    """Return how much longer than its payload a received message may be."""
    return 2 * WORD.size + len(name) + controls


def _piece(data: memoryview, at: int) -> tuple[memoryview, int]:
    if len(data) - at < WORD.size:
        raise Refused(e.EINVAL)
    (length,) = WORD.unpack_from(data, at)
    at += WORD.size
    if length > len(data) - at:
        raise Refused(e.EINVAL)
    return data[at : at + length], at + length


def _records(data: memoryview, at: int) -> Iterator[tuple[int, int, memoryview]]:
    while at < len(data):
        if len(data) - at < _CONTROL.size:
            raise Refused(e.EINVAL)
        level, kind, length = _CONTROL.unpack_from(data, at)
        at += _CONTROL.size
        if length > len(data) - at:
            raise Refused(e.EINVAL)
        yield level, kind, data[at : at + length]
        at += length
