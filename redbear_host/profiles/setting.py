"""How an adapter is to be set up, and what is written to the scheme `netcfg` for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)
from typing import Final, NamedTuple, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Interface: TypeAlias = IPv4Interface | IPv6Interface

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")  # IFNAMSIZ is 16


class How(StrEnum):
    """Red Bear's values of `IP=`."""

    DHCP = "dhcp"
    STATIC = "static"
    BOUNDED = "bounded"  # nobody touches its addresses


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One adapter's; the addresses only where `how` is static."""

    how: How
    addresses: tuple[Interface, ...] = ()
    gateways: tuple[Address, ...] = ()  # at most one of each family
    nameservers: tuple[Address, ...] = ()
    source: str = ""  # who says so: "profile home", "/etc/…"


class Write(NamedTuple):
    """One value, for one file below netcfg, committed before the next."""

    path: str
    value: str


def writes(adapter: str, setting: Setting) -> list[Write]:
    """Say what to write, in this order."""
    found = []
    for number, address in enumerate(setting.addresses):
        verb = "add" if number else "set"
        found.append(Write(f"ifaces/{adapter}/addr/{verb}", str(address)))
    found += [Write("route/add", f"default via {gateway}") for gateway in setting.gateways]
    found += nameserver_writes(setting.nameservers)
    return found


def nameserver_writes(servers: tuple[Address, ...]) -> list[Write]:
    """Say what to write for nameservers: one a line, the best one first."""
    return [Write("resolv/nameserver", "\n".join(map(str, servers)))] if servers else []


def is_adapter(name: str) -> bool:
    """Whether a text can be the name of an adapter: it becomes a part of paths."""
    return _NAME.fullmatch(name) is not None


def is_ipv4(line: str) -> bool:
    """Whether a line of netcfg's `addr/list` is an IPv4 address, with its network."""
    return "." in line and ":" not in line


def host_address(text: str) -> Address:
    """Read the address of one host; `ValueError` for one that is nobody's."""
    address = ip_address(text)
    _check(address)
    return address


def host_interface(text: str) -> Interface:
    """Read an address with its network, `10.0.0.2/24`; `ValueError`."""
    if "/" not in text:
        raise ValueError(f"{text!r} has no network: write it as {text}/24")
    interface = ip_interface(text)
    _check(interface.ip)
    network = interface.network
    if isinstance(interface, IPv4Interface) and network.prefixlen < 31:
        if interface.ip == network.network_address:
            raise ValueError(f"{text} is the network's own address")
        if interface.ip == network.broadcast_address:
            raise ValueError(f"{text} is the network's broadcast address")
    return interface


def check_gateway(gateway: Address, addresses: tuple[Interface, ...]) -> None:
    """Raise `ValueError` for a gateway that cannot be reached from any of the addresses."""
    if gateway.is_link_local:
        return
    if not any(gateway in interface.network for interface in addresses):
        raise ValueError(f"{gateway} is in none of its networks")
    if any(gateway == interface.ip for interface in addresses):
        raise ValueError(f"{gateway} is its own address")


def _check(address: Address) -> None:
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        raise ValueError(f"{address} is no host's address")
