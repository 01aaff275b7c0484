"""Linux's addresses, routes and interfaces, by rtnetlink: messages, and the sockets they travel on.

Ref: rtnetlink(7), netlink(7); uapi linux/netlink.h, linux/rtnetlink.h, linux/if_link.h,
linux/if_addr.h.

pyroute2 does all of this and more, and takes 130 ms to import, twice what a daemon takes to start;
so this is the small part of it that is needed here.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Final, NamedTuple

from redbear_host.abi import errno as e
from redbear_host.errors import Refused

NLMSG: Final = Struct("=IHHII")  # length, type, flags, sequence, port
RTATTR: Final = Struct("=HH")  # length, type
IFINFO: Final = Struct("=BxHiII")  # family, type, index, flags, which flags change
IFADDR: Final = Struct("=BBBBI")  # family, bits, flags, scope, index
RTMSG: Final = Struct("=BBBBBBBBI")  # family, dst, src, tos, table, protocol, scope, type, flags

ERROR, DONE = 2, 3
NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_IFALIAS, IFLA_CARRIER = 1, 3, 4, 20, 33
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
IFA_F_NODAD: Final = 0x02  # usable at once: there is no second host that could have taken it
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 6, 7, 15

TABLE_MAIN: Final = 254
PROTOCOL_STATIC: Final = 4
SCOPE_UNIVERSE, SCOPE_LINK = 0, 253
UNICAST: Final = 1
IFF_UP: Final = 1

_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # LINK, IPV4_IFADDR, _ROUTE, IPV6_IFADDR, _ROUTE
_ANSWER_MOST: Final = 1 << 16
_ROUNDS_MOST: Final = 4096  # datagrams of one answer


class Message(NamedTuple):
    """One message: its kind, its fixed part, and its attributes by number."""

    kind: int
    sequence: int
    head: bytes
    attributes: Mapping[int, bytes]


_HEADS: Final = {
    NEWLINK: IFINFO.size,
    DELLINK: IFINFO.size,
    NEWADDR: IFADDR.size,
    DELADDR: IFADDR.size,
    NEWROUTE: RTMSG.size,
    DELROUTE: RTMSG.size,
    ERROR: 4,  # the errno, negated; what follows it is what was asked
    DONE: 4,
}


def pack(
    kind: int, flags: int, sequence: int, head: bytes, attributes: Mapping[int, bytes]
) -> bytes:
    """Make a request."""
    body = bytearray(head)
    for number, value in attributes.items():
        body += RTATTR.pack(RTATTR.size + len(value), number) + value
        body += bytes(-len(value) % 4)
    return NLMSG.pack(NLMSG.size + len(body), kind, flags | REQUEST, sequence, 0) + body


def unpack(data: bytes) -> Iterator[Message]:
    """Take a datagram apart; what is not whole ends it."""
    at = 0
    while at + NLMSG.size <= len(data):
        length, kind, _, sequence, _ = NLMSG.unpack_from(data, at)
        if not NLMSG.size <= length <= len(data) - at:
            return
        start = at + NLMSG.size
        size = _HEADS.get(kind, length)
        if size <= length - NLMSG.size:
            rest = data[start + size : at + length] if kind not in (ERROR, DONE) else b""
            yield Message(kind, sequence, data[start : start + size], dict(_attributes(rest)))
        at += -(-length // 4) * 4


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + RTATTR.size <= len(data):
        length, number = RTATTR.unpack_from(data, at)
        if not RTATTR.size <= length <= len(data) - at:
            return
        yield number & 0x3FFF, data[at + RTATTR.size : at + length]  # without NLA_F_NESTED, …
        at += -(-length // 4) * 4


class Rtnetlink:
    """Asks and is answered at once: Linux works on a request while it is being sent."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket: Final = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._sequence = 0

    def change(self, kind: int, flags: int, head: bytes, attributes: Mapping[int, bytes]) -> None:
        """Change something; `OSError` says why Linux does not."""
        for _ in self._ask(kind, flags | ACK, head, attributes):
            pass  # an acknowledgement has no content

    def dump(self, kind: int, head: bytes) -> list[Message]:
        """List all there are of a kind; `Refused` in the unlikely case that Linux cannot."""
        try:
            return list(self._ask(kind, DUMP, head, {}))
        except OSError as error:
            raise Refused(error.errno or e.EIO) from error

    def _ask(
        self, kind: int, flags: int, head: bytes, attributes: Mapping[int, bytes]
    ) -> Iterator[Message]:
        self._sequence += 1
        self._socket.send(pack(kind, flags, self._sequence, head, attributes))
        for _ in range(_ROUNDS_MOST):
            for message in unpack(self._socket.recv(_ANSWER_MOST)):
                if message.sequence != self._sequence:
                    continue  # of a question that failed half way
                if message.kind == ERROR:
                    number = -int.from_bytes(message.head, "little", signed=True)
                    if number:
                        raise OSError(number, os.strerror(number))
                    return
                if message.kind == DONE:
                    return
                yield message
        raise OSError(errno.EMSGSIZE, "rtnetlink does not come to an end")

    def close(self) -> None:
        """Let the socket go."""
        self._socket.close()


class Monitor:
    """Hears of every change of interfaces, addresses and routes."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket: Final = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, _GROUPS))

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def drain(self) -> set[int]:
        """Return what kinds of messages have come; all kinds if some were lost."""
        kinds: set[int] = set()
        for _ in range(_ROUNDS_MOST):
            try:
                kinds.update(message.kind for message in unpack(self._socket.recv(_ANSWER_MOST)))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                kinds.update(_HEADS)
        return kinds

    def close(self) -> None:
        """Let the socket go."""
        self._socket.close()
