"""DHCP messages as bytes.

Ref: RFC 2131 section 2 (the message), RFC 2132 (options), RFC 3396 (long options).

What a server sends is not trusted: `parse` returns a message or raises `ProtocolError`, whatever
the bytes are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from struct import Struct
from typing import Final

from redbear_host.errors import ProtocolError

SERVER_PORT: Final = 67
CLIENT_PORT: Final = 68
LEAST: Final = 300  # bytes: relays and servers of BOOTP's time drop shorter ones (RFC 1542, 2.1)

BOOTREQUEST: Final = 1
BOOTREPLY: Final = 2
ETHERNET: Final = 1  # htype
BROADCAST: Final = 0x8000  # flags

_HEADER: Final = Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE: Final = bytes((99, 130, 83, 99))
_OPTION_MOST: Final = 255  # bytes of one option's value; longer ones come in several
_NOWHERE: Final = IPv4Address(0)

_PAD: Final = 0
_END: Final = 255


class Option(IntEnum):
    """The options we send or read (RFC 2132; 121: RFC 3442)."""

    SUBNET_MASK = 1
    ROUTER = 3
    DOMAIN_NAME_SERVER = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    INTERFACE_MTU = 26
    BROADCAST_ADDRESS = 28
    REQUESTED_IP_ADDRESS = 50
    IP_ADDRESS_LEASE_TIME = 51
    OPTION_OVERLOAD = 52
    DHCP_MESSAGE_TYPE = 53
    SERVER_IDENTIFIER = 54
    PARAMETER_REQUEST_LIST = 55
    MESSAGE = 56
    MAXIMUM_DHCP_MESSAGE_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    VENDOR_CLASS_IDENTIFIER = 60
    CLIENT_IDENTIFIER = 61
    CLASSLESS_STATIC_ROUTE = 121


class Kind(IntEnum):
    """The message types of option 53."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


_KINDS: Final = frozenset(Kind)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message, without what only BOOTP used."""

    op: int
    kind: Kind
    xid: int  # chosen by the client; the answers to one question bear it
    chaddr: bytes  # the client's hardware address, 6 bytes
    secs: int = 0
    broadcast: bool = False
    ciaddr: IPv4Address = _NOWHERE  # the client's, when it can answer ARP
    yiaddr: IPv4Address = _NOWHERE  # "your": what the server gives
    options: Mapping[int, bytes]  # all but 52 and 53

    def pack(self) -> bytes:
        """Return the bytes, padded to LEAST."""
        head = _HEADER.pack(
            self.op,
            ETHERNET,
            len(self.chaddr),
            0,  # hops
            self.xid,
            min(self.secs, 0xFFFF),
            BROADCAST if self.broadcast else 0,
            self.ciaddr.packed,
            self.yiaddr.packed,
            _NOWHERE.packed,
            _NOWHERE.packed,
            self.chaddr,
            b"",
            b"",
            _COOKIE,
        )
        kind = (Option.DHCP_MESSAGE_TYPE, bytes((self.kind,)))
        options = b"".join(_option(code, value) for code, value in (kind, *self.options.items()))
        return (head + options + bytes((_END,))).ljust(LEAST, b"\0")

    def address(self, code: Option) -> IPv4Address | None:
        """Return an option that is one address; None when it is absent or has another length."""
        value = self.options.get(code, b"")
        return IPv4Address(value) if len(value) == 4 else None

    @property
    def text(self) -> str:
        """What a server says in words (option 56), fit for a log."""
        said = self.options.get(Option.MESSAGE, b"").rstrip(b"\0")
        return "".join(c if c.isprintable() else "?" for c in said.decode(errors="replace"))


def _option(code: int, value: bytes) -> bytes:
    parts = [value[at : at + _OPTION_MOST] for at in range(0, len(value), _OPTION_MOST)] or [b""]
    return b"".join(bytes((code, len(part))) + part for part in parts)


def parse(data: bytes) -> Message:
    """Read a message; `ProtocolError` says what is wrong with it."""
    if len(data) < _HEADER.size:
        raise ProtocolError(f"a message of {len(data)} bytes is too short for DHCP")
    (op, htype, hlen, _, xid, secs, flags, ciaddr, yiaddr, _, _, chaddr, sname, file, cookie) = (
        _HEADER.unpack_from(data)
    )
    if cookie != _COOKIE:
        raise ProtocolError(f"its cookie is {cookie.hex()}: BOOTP, or no DHCP at all")
    if htype != ETHERNET or hlen != 6:
        raise ProtocolError(f"it is for hardware of type {htype} with addresses of {hlen} bytes")
    options: dict[int, bytes] = {}
    _read(data[_HEADER.size :], "options", options)
    _read_overloaded(options, file, sname)
    kind = options.pop(Option.DHCP_MESSAGE_TYPE, b"")
    if len(kind) != 1 or kind[0] not in _KINDS:
        raise ProtocolError(f"its type is {kind.hex() or 'missing'}")
    return Message(
        op=op,
        kind=Kind(kind[0]),
        xid=xid,
        chaddr=chaddr[:hlen],
        secs=secs,
        broadcast=bool(flags & BROADCAST),
        ciaddr=IPv4Address(ciaddr),
        yiaddr=IPv4Address(yiaddr),
        options=options,
    )


def _read_overloaded(options: dict[int, bytes], file: bytes, sname: bytes) -> None:
    """Go on reading where option 52 says; in the order of RFC 3396, section 5."""
    overload = options.pop(Option.OPTION_OVERLOAD, None)
    if overload is None:
        return
    if len(overload) != 1 or not 1 <= overload[0] <= 3:
        raise ProtocolError(f"option 52 (overload) is {overload.hex() or 'empty'}")
    if overload[0] & 1:
        _read(file, "file", options)
    if overload[0] & 2:
        _read(sname, "sname", options)
    options.pop(Option.OPTION_OVERLOAD, None)  # it means nothing in there


def _read(data: bytes, where: str, options: dict[int, bytes]) -> None:
    """Read one field of options; what comes in several parts is put together."""
    at = 0
    while at < len(data):
        code = data[at]
        at += 1
        if code == _PAD:
            continue
        if code == _END:
            return
        if at == len(data):
            raise ProtocolError(f"option {code} in {where} has no length")
        end = at + 1 + data[at]
        if end > len(data):
            raise ProtocolError(
                f"option {code} in {where} has {data[at]} bytes, and only "
                f"{len(data) - at - 1} are there"
            )
        options[code] = options.get(code, b"") + data[at + 1 : end]
        at = end


def addresses(value: bytes) -> list[IPv4Address] | None:
    """Read a list of addresses; None when its length is none of a list's."""
    if not value or len(value) % 4:
        return None
    return [IPv4Address(value[at : at + 4]) for at in range(0, len(value), 4)]
