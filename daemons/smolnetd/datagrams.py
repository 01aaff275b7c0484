"""What `udp`, `icmp` and `ip` have in common: sockets that keep the boundaries of messages.

Several handles may stand for one socket, each with a peer of its own: Redox's dup of a datagram
socket gives it another one.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from daemons.smolnetd.addresses import Endpoint, SockAddr
from daemons.smolnetd.handles import Handle
from daemons.smolnetd.sockets import SocketScheme, refused
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.request import Later, Request
from redbear_host.scheme.scheme import Bytes, Opened

_STRANGERS_MOST: Final = 128  # messages of others than the peer, looked at for one read


@dataclass(eq=False)
class Shared:
    """A socket, and the handles that stand for it."""

    sock: socket.socket
    numbers: set[int] = field(default_factory=set)


@dataclass(eq=False)
class Datagram(Handle):
    """A handle of a datagram socket; `peer` is where it sends, and whom it hears."""

    shared: Shared | None = None
    peer: Endpoint | None = None


class DatagramScheme(SocketScheme[Datagram], ABC):
    """Sockets whose reads and writes are messages."""

    def adopt(self, handle: Datagram, sock: socket.socket) -> Opened:
        """Give a handle its socket, and a number if it has none."""
        shared = Shared(sock)
        opened = self.stand_for(shared, handle)
        self.watch(sock, lambda: tuple(shared.numbers))
        return opened

    def stand_for(self, shared: Shared, handle: Datagram) -> Opened:
        """Let a handle stand for a socket."""
        handle.sock, handle.shared = shared.sock, shared
        opened = self.add(handle) if handle.number < 0 else Opened(handle.number)
        shared.numbers.add(opened.handle)
        return opened

    def ended(self, handle: Datagram) -> None:
        """Close a socket with its last handle."""
        shared = handle.shared
        if shared is not None:
            shared.numbers.discard(handle.number)
            if not shared.numbers:
                self.drop(shared.sock)

    # -- messages ----------------------------------------------------------------------------------

    @abstractmethod
    def take(self, handle: Datagram, size: int) -> tuple[memoryview, Endpoint | None]:
        """Return one message in its scheme's form, cut to `size`; BlockingIOError without one."""

    @abstractmethod
    def give(self, handle: Datagram, data: memoryview) -> int:
        """Send one message; BlockingIOError when there is no room."""

    def from_peer(
        self, handle: Datagram, room: memoryview, is_his: Callable[[SockAddr], bool]
    ) -> tuple[int, SockAddr]:
        """Receive what the peer has sent, and drop what others did; return size and sender."""
        sock = handle.sock
        if sock is None:
            raise Refused(e.ENOTCONN)
        for _ in range(_STRANGERS_MOST):
            size, sender = sock.recvfrom_into(room)
            if is_his(sender):
                return size, sender
        # Whoever floods us must not keep the loop for himself: others come first.
        loop = self.poller.loop
        loop.at(loop.now(), lambda: self.on_edge(handle.number, f.EVENT_READ))
        raise BlockingIOError

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes | Later:
        """Return one message; what it has no room for is lost."""
        found = self.handles.get(handle)
        if found is None:
            return self.read_setting(handle, size, offset)

        def again() -> Bytes:
            return self.take(found, size)[0]

        try:
            return again()
        except BlockingIOError:
            return self.wait(found, fcntl_flags, found.read_timeout, request, again)
        except OSError as error:
            raise refused(error) from error

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int | Later:
        """Send one message, whole."""
        found = self.handles.get(handle)
        if found is None:
            return self.write_setting(handle, data)
        try:
            return self.give(found, data)
        except BlockingIOError:
            again = partial(self.give, found, data)
            return self.wait(found, fcntl_flags, found.write_timeout, request, again)
        except OSError as error:
            raise refused(error) from error

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened | Later:
        """Open a setting."""
        setting = self.setting(self.handle(handle), bytes(name))
        if setting is None:
            raise Refused(e.EINVAL)
        return setting
