"""One adapter's UDP, through the scheme `udp`: messages out, and what comes in.

Bound to the adapter by Linux's name for that (`%eth0` behind the local address), so that it works
while there is no address and no route.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Final

from daemons.dhcpd.held import Held
from daemons.dhcpd.message import CLIENT_PORT, SERVER_PORT
from redbear_host import client
from redbear_host.abi import flags as f

log = logging.getLogger(__name__)

_ALL: Final = IPv4Address("255.255.255.255")
_SIZE_MOST: Final = 1 << 16
_AT_ONCE: Final = 256  # messages: more than all servers of a network send


class Wire:
    """The handle of one adapter, opened by what is sent first."""

    def __init__(self, adapter: str, udp: Held, events: client.EventQueue) -> None:
        self._adapter: Final = adapter
        self._udp: Final = udp
        self._events: Final = events
        self.on_message: Callable[[bytes], object] = lambda data: None
        self._fd: client.Fd | None = None
        self._to: IPv4Address | None = None

    def send(self, data: bytes, server: IPv4Address | None) -> None:
        """Send a message; one that cannot be sent now is sent again later, as if it were lost."""
        try:
            with self._udp.calls():
                self._reach(server or _ALL).write(data)
        except OSError as error:
            log.info("%s: nothing can be sent: %s", self._adapter, error.strerror)

    def _receive(self) -> None:
        """Take the messages that wait; of a flood the first, and what is behind them is lost."""
        for _ in range(_AT_ONCE):
            if self._fd is None:
                return
            try:
                with self._udp.calls():
                    data = self._fd.read(_SIZE_MOST)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error to what was sent: nobody listens there
                log.info("%s: %s", self._adapter, error.strerror)
                continue
            self.on_message(data)
        log.warning("%s: too many messages at once", self._adapter)
        self.close()

    def close(self) -> None:
        """Be deaf until the next message is sent."""
        if self._fd is not None:
            self._events.unsubscribe(self._fd)
            self._fd.close()
            self._fd = self._to = None

    def _reach(self, to: IPv4Address) -> client.Fd:
        """Return a handle to an address; there is one at a time, since there is one port."""
        if self._fd is not None and self._to == to:
            return self._fd
        self.close()
        path = f"{to}:{SERVER_PORT}/0.0.0.0:{CLIENT_PORT}%{self._adapter}"
        fd = self._udp.open(path, f.O_RDWR | f.O_NONBLOCK)
        self._events.subscribe(fd, f.EVENT_READ, self._receive)
        self._fd, self._to = fd, to
        return fd
