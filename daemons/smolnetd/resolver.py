"""Names of hosts, asked of the name servers of `netcfg`, for the SOCKS front."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from daemons.smolnetd import dns
from daemons.smolnetd.addresses import address
from daemons.smolnetd.poller import Poller
from daemons.smolnetd.stack import Stack
from redbear_host.abi import flags as f
from redbear_host.errors import Refused

Found: TypeAlias = Callable[[Sequence[str]], object]  # the addresses, none if there are none

_PORT: Final = 53
_PATIENCE: Final = 2.0  # seconds for one server
_TRIES: Final = 4  # questions of one kind, over all servers
_DATAGRAMS_MOST: Final = 32  # looked at for one question


class Lookup:
    """One name being looked up: IPv4 first, IPv6 where there is none."""

    def __init__(self, resolver: Resolver, name: bytes, found: Found) -> None:
        self._resolver: Final = resolver
        self._name: Final = name
        self._found: Final = found
        self._kinds: Final = [dns.AAAA, dns.A]  # from the end
        self._tries = 0
        self._datagrams = 0
        self._number = 0
        self._sock: socket.socket | None = None
        self._timer = resolver.poller.loop.at(0, self._ask)  # in the next round

    def cancel(self) -> None:
        """Ask no more, and do not call back."""
        self._timer.cancel()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._sock is not None:
            self._resolver.poller.remove(self._sock.fileno())
            self._sock.close()
            self._sock = None

    def _ask(self) -> None:
        """Ask the next server; a fresh port and number for each question."""
        self._hang_up()
        servers = self._resolver.servers()
        if self._tries >= min(_TRIES, 2 * len(servers)):
            self._next_kind(())
            return
        server = servers[self._tries % len(servers)]
        self._tries += 1
        self._datagrams = 0
        self._number = int.from_bytes(os.urandom(2), "big")
        loop = self._resolver.poller.loop
        self._timer = loop.at(loop.now() + _PATIENCE, self._ask)
        try:
            family, _ = address(server)
            sock = self._resolver.stack.socket(family, socket.SOCK_DGRAM)
        except OSError:
            return  # no descriptors: the timer tries again
        self._sock = sock
        with suppress(OSError):  # no route: the timer asks the next
            sock.connect((server, _PORT))
            sock.send(dns.question(self._number, self._name, self._kinds[-1]))
        self._resolver.poller.add(sock.fileno(), self._on_edge)

    def _on_edge(self, flags: int) -> None:
        while self._sock is not None and flags & f.EVENT_READ:
            self._datagrams += 1
            try:
                message = self._sock.recv(dns.MESSAGE_MOST)
            except BlockingIOError:
                return
            except OSError:  # nobody listens there
                self._timer.cancel()
                self._ask()
                return
            answer = dns.parse(message, self._number, self._name, self._kinds[-1])
            if answer is not None and (answer.addresses or answer.code in (0, dns.NO_SUCH_NAME)):
                self._next_kind(answer.addresses)
                return
            if answer is not None or self._datagrams > _DATAGRAMS_MOST:
                self._timer.cancel()
                self._ask()
                return

    def _next_kind(self, addresses: Sequence[str]) -> None:
        self._timer.cancel()
        self._hang_up()
        self._kinds.pop()
        if addresses or not self._kinds:
            self._found(addresses)
            return
        self._tries = 0
        self._ask()


class Resolver:
    """Looks names up."""

    def __init__(self, stack: Stack, poller: Poller, servers: Callable[[], Sequence[str]]) -> None:
        self.stack: Final = stack
        self.poller: Final = poller
        self.servers: Final = servers

    def look_up(self, host: str, found: Found) -> Lookup:
        """Call `found` with a host's addresses, in time, unless cancelled.

        ValueError for a name that cannot be one.  An address is its own answer.
        """
        return Lookup(self, dns.encode_name(host), found)

    @staticmethod
    def literal(host: str) -> str | None:
        """Return the address that a text is, or None."""
        try:
            return address(host.removeprefix("[").removesuffix("]"))[1]
        except Refused:
            return None
