"""What the schemes ask of a TCP/IP stack: Linux's (`linuxstack.py`), or another in its place."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from daemons.smolnetd.addresses import Cidr


class Adapter(NamedTuple):
    """One interface: the wire to a scheme `network.*`."""

    name: str  # eth0, …
    number: int  # Linux's
    scheme: str
    mac: bytes
    mtu: int
    is_up: bool  # there is a link


class Route(NamedTuple):
    """Where packets for a network go."""

    network: str  # ADDRESS/BITS, or "default"
    family: int
    gateway: str  # or ""
    device: str
    source: str  # the address they carry, or ""
    metric: int = 0


class Stack(Protocol):
    """A TCP/IP stack of this process's own.

    Its sockets are Linux's, or objects that behave as they do: they never block, have a descriptor
    for epoll, and raise `OSError`.  So do changes that cannot be.
    """

    on_change: Callable[[], object]
    """Called after addresses, routes or links have changed, whoever changed them."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Make a socket that does not block."""
        ...

    def adapters(self) -> Sequence[Adapter]:
        """List the interfaces, the loopback aside."""
        ...

    def addresses(self, adapter: Adapter) -> Sequence[Cidr]:
        """List an interface's addresses, but for those of IPv6 that Linux makes for the link."""
        ...

    def add_address(self, adapter: Adapter, wanted: Cidr) -> None:
        """Give an interface one more address."""
        ...

    def remove_address(self, adapter: Adapter, gone: Cidr) -> None:
        """Take an address back."""
        ...

    def routes(self) -> Sequence[Route]:
        """List the routes."""
        ...

    def add_route(self, network: Cidr, gateway: str, device: str) -> None:
        """Add a route by a gateway, an interface, or both."""
        ...

    def remove_route(self, network: Cidr) -> None:
        """Remove the routes to a network."""
        ...

    def set_mac(self, adapter: Adapter, mac: bytes) -> None:
        """Give an interface, and its card, another hardware address."""
        ...

    def set_mtu(self, adapter: Adapter, mtu: int) -> None:
        """Change how many bytes a packet may have."""
        ...
