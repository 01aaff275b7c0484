"""What the calls of internet sockets carry: SocketCall's verbs, with endpoints for names.

A name is `/scheme/tcp/A.B.C.D:PORT`, or the endpoint alone.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from daemons.smolnetd.addresses import Endpoint, endpoint
from redbear_host.abi import errno as e
from redbear_host.classes.socket_calls import (
    NUMBER,
    ROOMS,
    SO_RCVBUF,
    SO_SNDBUF,
    Outgoing,
    parse,
)
from redbear_host.errors import Refused

_WORD: Final = Struct("=Q")
_NAME_MOST: Final = 256
_OPTIONS: Final = {  # Redox's number, which is Linux's: what is asked
    SO_SNDBUF: socket.SO_SNDBUF,
    SO_RCVBUF: socket.SO_RCVBUF,
    socket.SO_TYPE: socket.SO_TYPE,
    socket.SO_ERROR: socket.SO_ERROR,
}


class Rooms(NamedTuple):
    """What a receiver has room for, in bytes."""

    name: int
    payload: int


def name(payload: memoryview, scheme: str) -> Endpoint:
    """Read the endpoint a call names."""
    if len(payload) > _NAME_MOST:
        raise Refused(e.EINVAL)
    text = bytes(payload).rstrip(b"\0").decode("utf-8", "surrogateescape")
    return endpoint(text.removeprefix(f"/scheme/{scheme}/").strip("/"))


def path(scheme: str, found: Endpoint) -> bytes:
    """Spell a peer as calls do."""
    return f"/scheme/{scheme}/{found}".encode()


def outgoing(payload: memoryview) -> Outgoing:
    """Read a message to send; descriptors travel by no internet socket."""
    message = parse(payload)
    if message.fds:
        raise Refused(e.EINVAL)
    return message


def rooms(payload: memoryview) -> Rooms:
    """Read what a receiver has room for; the whole answer must fit into the payload."""
    if len(payload) < ROOMS.size:
        raise Refused(e.EINVAL)
    name_most, most, _ = ROOMS.unpack_from(payload)
    name_most = min(name_most, len(payload))
    room = len(payload) - 2 * _WORD.size - name_most
    if room < 0:
        raise Refused(e.EINVAL)
    return Rooms(name_most, min(most, room))


def deliver(payload: memoryview, room: Rooms, peer: bytes, data: memoryview) -> int:
    """Put a received message into a call's payload; return how many bytes it takes there."""
    who = peer[: room.name]
    head = _WORD.pack(len(who)) + who + _WORD.pack(len(data))
    payload[: len(head)] = head
    end = len(head) + len(data)
    payload[len(head) : end] = data
    return end


def put(payload: memoryview, result: bytes) -> int:
    """Put a result into a call's payload, as far as there is room; return how much that was."""
    count = min(len(payload), len(result))
    payload[:count] = result[:count]
    return count


def option(payload: memoryview, metadata: Sequence[int], sock: socket.socket | None) -> int:
    """Answer GetSockOpt: a number."""
    asked = _OPTIONS.get(metadata[1] if len(metadata) > 1 else -1)
    if asked is None:
        raise Refused(e.ENOPROTOOPT)
    if sock is None:
        raise Refused(e.ENOTCONN)
    return put(payload, NUMBER.pack(sock.getsockopt(socket.SOL_SOCKET, asked)))


def shut(sock: socket.socket, metadata: Sequence[int]) -> int:
    """Answer Shutdown: 0 for reading, 1 for writing, 2 for both."""
    how = metadata[1] if len(metadata) > 1 else -1
    if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
        raise Refused(e.EINVAL)
    sock.shutdown(how)
    return 0
