"""Addresses and routes of the machine, by rtnetlink."""

from __future__ import annotations

import ipaddress
import socket
from collections import defaultdict
from typing import Any, Final

from pyroute2 import IPRoute

from kernel_shim.host import Uses

_RT_TABLE_LOCAL: Final = 255  # what follows from the addresses (linux/rtnetlink.h)
_ANY: Final = {socket.AF_INET: "0.0.0.0/0", socket.AF_INET6: "::/0"}


def uses() -> dict[str, Uses]:
    """Return addresses and routes by interface, in all tables, of IPv4 and IPv6."""
    addresses: dict[int, list[str]] = defaultdict(list)
    routes: dict[int, list[str]] = defaultdict(list)
    with IPRoute() as netlink:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in netlink.get_links()}
        for entry in netlink.get_addr():
            text = f"{entry.get_attr('IFA_ADDRESS')}/{entry['prefixlen']}"
            if not _by_itself(text):
                addresses[entry["index"]].append(text)
        for family in (socket.AF_INET, socket.AF_INET6):
            for route in netlink.get_routes(family=family):
                target = route.get_attr("RTA_DST")
                text = f"{target}/{route['dst_len']}" if target else _ANY[family]
                if route["table"] == _RT_TABLE_LOCAL or _by_itself(text):
                    continue
                for index in _interfaces(route):
                    routes[index].append("default" if text in _ANY.values() else text)
    return {
        name: Uses(tuple(addresses[index]), tuple(dict.fromkeys(routes[index])))
        for index, name in names.items()
    }


def _by_itself(text: str) -> bool:
    network = ipaddress.ip_network(text, strict=False)
    return network.version == 6 and (network.is_link_local or network.is_multicast)


def _interfaces(route: Any) -> list[int]:
    hops = route.get_attr("RTA_MULTIPATH") or []
    found = [hop["oif"] for hop in hops]
    single = route.get_attr("RTA_OIF")
    return found if single is None else [*found, single]
