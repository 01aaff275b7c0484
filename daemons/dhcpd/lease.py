"""What a server grants: an address for a time, and how to use it.

Ref: RFC 2131 section 4.4; RFC 2132 sections 3.3, 3.5, 3.8, 3.17, 5.1, 5.3, 9.2, 9.11, 9.12;
RFC 3442.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final, Self

from daemons.dhcpd.message import Message, Option, addresses
from redbear_host.errors import ProtocolError

log = logging.getLogger(__name__)

FOREVER: Final = 0xFFFF_FFFF  # seconds: RFC 2131, 3.3
_LEAST_S: Final = 1.0  # a lease of no time would be asked for without end
_MTU_LEAST: Final = 68  # RFC 2132, 5.1
_T1: Final = 0.5  # of the lease: RFC 2131, 4.4.5
_T2: Final = 0.875
_ANY: Final = IPv4Network("0.0.0.0/0")
_ROUTES_MOST: Final = 64
_SERVERS_MOST: Final = 8
_NAME_MOST: Final = 253  # a domain's name, RFC 1035


@dataclass(frozen=True)
class Route:
    """One way: `gateway` 0.0.0.0 is the wire itself."""

    target: IPv4Network
    gateway: IPv4Address


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Times are on the clock of CLOCK_MONOTONIC, in seconds; infinite ones never come."""

    address: IPv4Address
    prefix: int  # bits of the network
    server: IPv4Address
    routes: tuple[Route, ...] = ()
    nameservers: tuple[IPv4Address, ...] = ()
    domain: str = ""
    mtu: int = 0  # bytes; 0 when the server says nothing
    broadcast: IPv4Address | None = None
    renew_at: float  # T1
    rebind_at: float  # T2
    ends_at: float

    def same_settings(self, other: Lease | None) -> bool:
        """Whether an adapter that has `other`'s settings has ours."""
        return other is not None and self._settings() == other._settings()

    def _settings(self) -> tuple[object, ...]:
        return (self.address, self.prefix, self.routes, self.nameservers)

    def to_wire(self) -> dict[str, Any]:
        """Return what `from_wire` takes, for JSON."""
        return {
            "address": str(self.address),
            "prefix": self.prefix,
            "server": str(self.server),
            "routes": [[str(route.target), str(route.gateway)] for route in self.routes],
            "nameservers": [str(server) for server in self.nameservers],
            "domain": self.domain,
            "mtu": self.mtu,
            "broadcast": None if self.broadcast is None else str(self.broadcast),
            "times": [self.renew_at, self.rebind_at, self.ends_at],
        }

    @classmethod
    def from_wire(cls, said: Mapping[str, Any]) -> Self:
        """Take what was remembered; `ValueError`, `TypeError`, `KeyError` if it makes no sense."""
        renew_at, rebind_at, ends_at = map(float, said["times"])
        broadcast = said["broadcast"]
        return cls(
            address=IPv4Address(said["address"]),
            prefix=int(said["prefix"]),
            server=IPv4Address(said["server"]),
            routes=tuple(
                Route(IPv4Network(target), IPv4Address(via)) for target, via in said["routes"]
            ),
            nameservers=tuple(map(IPv4Address, said["nameservers"])),
            domain=str(said["domain"]),
            mtu=int(said["mtu"]),
            broadcast=None if broadcast is None else IPv4Address(broadcast),
            renew_at=renew_at,
            rebind_at=rebind_at,
            ends_at=ends_at,
        )


def granted(message: Message, asked_at: float) -> Lease:
    """Read an OFFER or ACK that answers what was sent at `asked_at`; times count from then.

    `ProtocolError` when it grants nothing that can be used.  An option that makes no sense and can
    be done without is left out.
    """
    server = message.address(Option.SERVER_IDENTIFIER)
    if server is None or not _is_host(server):
        raise ProtocolError(f"its server identifier is {server or 'missing'}")
    if not _is_host(message.yiaddr):
        raise ProtocolError(f"it gives {message.yiaddr}, which is no host's address")
    prefix = _prefix(message)
    lasts = _seconds(message, Option.IP_ADDRESS_LEASE_TIME)
    if lasts is None:
        raise ProtocolError("it does not say how long the lease lasts")
    lasts = max(lasts, _LEAST_S)
    renew, rebind = _times(message, lasts)
    return Lease(
        address=message.yiaddr,
        prefix=prefix,
        server=server,
        routes=_routes(message),
        nameservers=_nameservers(message),
        domain=_domain(message),
        mtu=_mtu(message),
        broadcast=message.address(Option.BROADCAST_ADDRESS),
        renew_at=asked_at + renew,
        rebind_at=asked_at + rebind,
        ends_at=asked_at + lasts,
    )


def _is_host(address: IPv4Address) -> bool:
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_reserved  # 240.0.0.0/4 and the broadcast address
    )


def _ignored(code: Option, value: bytes) -> None:
    log.info("option %d makes no sense: %.64s", code, value.hex())


def _prefix(message: Message) -> int:
    """Return the length of the network's prefix; without option 1, that of the address's class."""
    value = message.options.get(Option.SUBNET_MASK)
    if value is not None:
        mask = int.from_bytes(value, "big")
        hosts = ~mask & 0xFFFF_FFFF
        if len(value) == 4 and mask and not hosts & hosts + 1:
            return 32 - hosts.bit_length()
        _ignored(Option.SUBNET_MASK, value)
    first = message.yiaddr.packed[0]
    return 8 if first < 128 else 16 if first < 192 else 24


def _seconds(message: Message, code: Option) -> float | None:
    value = message.options.get(code)
    if value is None:
        return None
    if len(value) != 4:
        _ignored(code, value)
        return None
    seconds = int.from_bytes(value, "big")
    return float("inf") if seconds == FOREVER else float(seconds)


def _times(message: Message, lasts: float) -> tuple[float, float]:
    """Return T1 and T2, which stand in their order or are our own."""
    renew = _seconds(message, Option.RENEWAL_TIME)
    rebind = _seconds(message, Option.REBINDING_TIME)
    if rebind is None or not 0 < rebind <= lasts:
        rebind = lasts * _T2
    if renew is None or not 0 < renew <= rebind:
        renew = min(lasts * _T1, rebind)
    return renew, rebind


def _routes(message: Message) -> tuple[Route, ...]:
    """Return the routes: those of option 121, and only without it those of option 3 (RFC 3442)."""
    value = message.options.get(Option.CLASSLESS_STATIC_ROUTE)
    if value is not None:
        routes = _classless(value)
        if routes is not None:
            return routes
        _ignored(Option.CLASSLESS_STATIC_ROUTE, value)
    value = message.options.get(Option.ROUTER)
    if value is None:
        return ()
    routers = addresses(value)
    if routers is None or not _is_host(routers[0]):
        _ignored(Option.ROUTER, value)
        return ()
    return (Route(_ANY, routers[0]),)  # in the order of preference; one default is enough


def _classless(value: bytes) -> tuple[Route, ...] | None:
    """Read option 121: the prefix's length, as many of its bytes as count, and a router, each."""
    found = []
    at = 0
    while at < len(value):
        width = value[at]
        size = (width + 7) // 8
        end = at + 1 + size + 4
        if width > 32 or end > len(value):
            return None
        address = value[at + 1 : at + 1 + size].ljust(4, b"\0")
        gateway = IPv4Address(value[end - 4 : end])
        if not gateway.is_unspecified and not _is_host(gateway):
            return None
        # Bits below the prefix should be zero, and are taken for zero.
        target = IPv4Network((address, width), strict=False)
        if target.is_multicast or (target.is_loopback and width):
            return None
        found.append(Route(target, gateway))
        at = end
    return tuple(found[:_ROUTES_MOST]) or None


def _nameservers(message: Message) -> tuple[IPv4Address, ...]:
    value = message.options.get(Option.DOMAIN_NAME_SERVER)
    if value is None:
        return ()
    servers = addresses(value)
    if servers is None:
        _ignored(Option.DOMAIN_NAME_SERVER, value)
        return ()
    kept = (one for one in servers if _is_host(one) or one.is_loopback)
    return tuple(dict.fromkeys(kept))[:_SERVERS_MOST]


def _domain(message: Message) -> str:
    """Return option 15; only what can be a name, since it is shown and may be written to files."""
    value = message.options.get(Option.DOMAIN_NAME, b"").rstrip(b"\0")
    name = value.decode("ascii", "replace")
    if all(c.isalnum() or c in "-._" for c in name) and name.isascii() and len(name) <= _NAME_MOST:
        return name
    _ignored(Option.DOMAIN_NAME, value)
    return ""


def _mtu(message: Message) -> int:
    value = message.options.get(Option.INTERFACE_MTU)
    if value is None:
        return 0
    mtu = int.from_bytes(value, "big")
    if len(value) == 2 and mtu >= _MTU_LEAST:
        return mtu
    _ignored(Option.INTERFACE_MTU, value)
    return 0
