"""SOCKS 5, the server's side of the conversation.

Ref: RFC 1928.  Clients are strangers: each step takes what it needs and no more, and says what is
wrong in the protocol's own words.
"""

from __future__ import annotations

import socket
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

VERSION: Final = 5
NO_AUTHENTICATION: Final = 0
NO_METHOD: Final = 0xFF
CONNECT: Final = 1
BYTES_MOST: Final = 262 + 258  # of a greeting with all methods, and the longest request

_PORT: Final = Struct(">H")
_V4, _NAME, _V6 = 1, 3, 4


class Reply(IntEnum):
    """Why a request is answered as it is."""

    SUCCEEDED = 0
    FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    REFUSED = 5
    TTL_EXPIRED = 6
    NO_COMMAND = 7
    NO_ADDRESS_TYPE = 8


class Malformed(ValueError):
    """The client does not speak SOCKS 5."""


class Wanted(NamedTuple):
    """A request: where to, and whether that is a name."""

    command: int
    host: str
    is_name: bool
    port: int
    size: int  # bytes the request took


def greeting(data: bytes | bytearray) -> tuple[int, int] | None:
    """Read a greeting; return its size and the method chosen, or None before it is whole."""
    if data and data[0] != VERSION:
        raise Malformed(f"version {data[0]}")
    if len(data) < 2 or len(data) < 2 + data[1]:
        return None
    size = 2 + data[1]
    return size, NO_AUTHENTICATION if NO_AUTHENTICATION in data[2:size] else NO_METHOD


def method(chosen: int) -> bytes:
    """Answer a greeting."""
    return bytes((VERSION, chosen))


def request(data: bytes | bytearray) -> Wanted | None:
    """Read a request; None before it is whole, `Malformed` for what is none.

    A kind of address that RFC 1928 does not know has no length: its port is 0 and its host empty.
    """
    if data and data[0] != VERSION:
        raise Malformed(f"version {data[0]}")
    if len(data) < 5:
        return None
    command, kind = data[1], data[3]
    start, length = 4, 0
    if kind == _V4:
        length = 4
    elif kind == _V6:
        length = 16
    elif kind == _NAME:
        start, length = 5, data[4]
    else:
        return Wanted(command, "", False, 0, len(data))
    end = start + length
    if len(data) < end + _PORT.size:
        return None
    (port,) = _PORT.unpack_from(data, end)
    raw = bytes(data[start:end])
    if kind == _NAME:
        host = raw.decode("ascii", "replace")
    else:
        host = socket.inet_ntop(socket.AF_INET if kind == _V4 else socket.AF_INET6, raw)
    return Wanted(command, host, kind == _NAME, port, end + _PORT.size)


def answer(
    reply: Reply, family: int = socket.AF_INET, host: str = "0.0.0.0", port: int = 0
) -> bytes:
    """Answer a request; the address is the one the connection comes from."""
    kind = _V6 if family == socket.AF_INET6 else _V4
    packed = socket.inet_pton(family, host)
    return bytes((VERSION, reply, 0, kind)) + packed + _PORT.pack(port)
