"""The files of `netcfg`: what each shows, and what a line that is written to it means.

```
resolv/nameserver            addresses to ask, one a line
route/list                   `default via GW dev eth0 src IP`, `CIDR  dev eth0 src IP`
route/{add,rm}               `default|CIDR via IP`, `CIDR dev IF`; to remove, the first word
ifaces/IF/mac                52-54-00-12-34-56
ifaces/IF/{mtu,link}         bytes; up or down
ifaces/IF/addr/{list,set,add,rm}   CIDR
```
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from daemons.smolnetd import addresses as a
from daemons.smolnetd.resolv import SERVERS_MOST, Resolv
from daemons.smolnetd.stack import Adapter, Route, Stack
from redbear_host.abi import errno as e
from redbear_host.errors import Refused

UNSET: Final = "Not configured\n"
_MTU_LEAST, _MTU_MOST = 68, 65535  # RFC 791's least; what a packet's length can say
_DEFAULT: Final = "default"


class Node(NamedTuple):
    """One file."""

    show: Callable[[], str] | None = None
    parse: Callable[[str], Any] | None = None  # a line's value; `Refused` if it has none
    commit: Callable[[list[Any]], object] | None = None
    most: int = 1  # values of one writing

    @property
    def mode(self) -> int:
        """Permission bits: everyone reads, root writes."""
        return (0o444 if self.show else 0) | (0o200 if self.parse else 0)


class Tree:
    """All nodes there are now."""

    def __init__(self, stack: Stack, resolv: Resolv) -> None:
        self._stack: Final = stack
        self._resolv: Final = resolv

    def folder(self, path: str) -> list[str] | None:
        """List a directory; None for a path that is none."""
        match path.split("/") if path else []:
            case []:
                return ["ifaces", "resolv", "route"]
            case ["resolv"]:
                return ["nameserver"]
            case ["route"]:
                return ["add", "list", "rm"]
            case ["ifaces"]:
                return [adapter.name for adapter in self._stack.adapters()]
            case ["ifaces", name] if self._adapter(name):
                return ["addr", "link", "mac", "mtu"]
            case ["ifaces", name, "addr"] if self._adapter(name):
                return ["add", "list", "rm", "set"]
        return None

    def node(self, path: str) -> Node:
        """Return a file; EINVAL, as on Redox, for a path that is none."""
        match path.split("/"):
            case ["resolv", "nameserver"]:
                return Node(self._servers, _server, self._resolv.set, SERVERS_MOST)
            case ["route", "list"]:
                return Node(self._routes)
            case ["route", "add"]:
                return Node(parse=self._new_route, commit=self._add_route)
            case ["route", "rm"]:
                return Node(parse=self._old_route, commit=self._remove_route)
            case ["ifaces", name, *rest]:
                adapter = self._adapter(name)
                if adapter is not None:
                    return self._of_adapter(adapter, rest)
        raise Refused(e.EINVAL)

    def _of_adapter(self, adapter: Adapter, rest: Sequence[str]) -> Node:
        def one(action: Callable[[Adapter, Any], object]) -> Callable[[list[Any]], object]:
            return lambda values: action(adapter, values[0])

        now = partial(self._now, adapter.name)
        match rest:
            case ["mac"]:
                return Node(lambda: f"{a.mac_text(now().mac)}\n", a.mac, one(self._stack.set_mac))
            case ["mtu"]:
                return Node(lambda: f"{now().mtu}\n", _mtu, one(self._stack.set_mtu))
            case ["link"]:
                return Node(lambda: "up\n" if now().is_up else "down\n")
            case ["addr", "list"]:
                return Node(lambda: self._addresses(now()))
            case ["addr", "set"]:
                return Node(parse=_host, commit=one(self._set_address))
            case ["addr", "add"]:
                return Node(parse=_host, commit=one(self._stack.add_address))
            case ["addr", "rm"]:
                return Node(
                    parse=partial(self._present, adapter), commit=one(self._stack.remove_address)
                )
        raise Refused(e.EINVAL)

    def _adapter(self, name: str) -> Adapter | None:
        return next((one for one in self._stack.adapters() if one.name == name), None)

    def _now(self, name: str) -> Adapter:
        adapter = self._adapter(name)
        if adapter is None:
            raise Refused(e.ENODEV)
        return adapter

    # -- addresses ---------------------------------------------------------------------------------

    def _addresses(self, adapter: Adapter) -> str:
        return "".join(f"{one}\n" for one in self._stack.addresses(adapter)) or UNSET

    def _set_address(self, adapter: Adapter, wanted: a.Cidr) -> None:
        """Let this be the only address of its family; the new one comes before the old ones go."""
        had = [one for one in self._stack.addresses(adapter) if one.family == wanted.family]
        if wanted not in had:
            self._stack.add_address(adapter, wanted)
        for old in had:
            if old != wanted:
                self._stack.remove_address(adapter, old)

    def _present(self, adapter: Adapter, text: str) -> a.Cidr:
        found = a.cidr(text)
        if found not in self._stack.addresses(adapter):
            raise Refused(e.EADDRNOTAVAIL)
        return found

    # -- routes ------------------------------------------------------------------------------------

    def _routes(self) -> str:
        return "".join(f"{route_text(route)}\n" for route in self._stack.routes())

    def _new_route(self, text: str) -> tuple[a.Cidr, str, str]:
        network, gateway, device = parse_route(text)
        if device and self._adapter(device) is None:
            raise Refused(e.ENODEV)
        return network, gateway, device

    def _add_route(self, values: list[tuple[a.Cidr, str, str]]) -> None:
        self._stack.add_route(*values[0])

    def _old_route(self, text: str) -> a.Cidr:
        network = _network(text)
        name = network.network if network.bits else _DEFAULT
        if not any(
            route.network == name and route.family == network.family
            for route in self._stack.routes()
        ):
            raise Refused(e.ENOENT)
        return network

    def _remove_route(self, values: list[a.Cidr]) -> None:
        self._stack.remove_route(values[0])

    # -- name servers ------------------------------------------------------------------------------

    def _servers(self) -> str:
        return "".join(f"{server}\n" for server in self._resolv.servers)


def route_text(route: Route) -> str:
    """Write a route as Redox does, where the gateway's place stays empty without one."""
    via = f"via {route.gateway}" if route.gateway else ""
    return f"{route.network} {via} dev {route.device} src {route.source}"


def parse_route(text: str) -> tuple[a.Cidr, str, str]:
    """Read `default|CIDR [via IP] [dev IF]`, with one of the two; return network, IP, IF."""
    target, *rest = text.split()
    words = dict(zip(rest[::2], rest[1::2], strict=False))
    if not words or 2 * len(words) != len(rest) or not words.keys() <= {"via", "dev"}:
        raise Refused(e.EINVAL)
    family, gateway = a.address(words["via"]) if "via" in words else (0, "")
    device = words.get("dev", "")
    if target == _DEFAULT and gateway:
        return a.Cidr(family, a.ANY[family], 0), gateway, device
    network = _network(target)
    if gateway and family != network.family:
        raise Refused(e.EINVAL)
    return network, gateway, device


def _network(text: str) -> a.Cidr:
    return a.cidr("0.0.0.0/0") if text == _DEFAULT else a.cidr(text)


def _host(text: str) -> a.Cidr:
    """Read the address of an interface: of one host."""
    found = a.cidr(text)
    if not a.Endpoint(found.family, found.address, 0).is_one:
        raise Refused(e.EINVAL)
    return found


def _server(text: str) -> str:
    family, found = a.address(text)
    if not a.Endpoint(family, found, 0).is_one:
        raise Refused(e.EINVAL)
    return found


def _mtu(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(_MTU_MOST)):
        raise Refused(e.EINVAL)
    if not _MTU_LEAST <= int(text) <= _MTU_MOST:
        raise Refused(e.EINVAL)
    return int(text)
