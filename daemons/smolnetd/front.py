"""The SOCKS 5 front: unmodified programs' way into this network.

curl --proxy socks5h://localhost/run/redbear-host/socks http://example.org/
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from daemons.smolnetd import socks
from daemons.smolnetd.addresses import Endpoint, address, of_sockaddr
from daemons.smolnetd.poller import Poller
from daemons.smolnetd.relay import Relay
from daemons.smolnetd.resolver import Lookup, Resolver
from daemons.smolnetd.stack import Stack
from redbear_host.abi import flags as f

log = logging.getLogger(__name__)

SESSIONS_MOST: Final = 512
_ACCEPTS: Final = 16  # in a round
_BACKLOG: Final = 128
_PATIENCE: Final = 10.0  # seconds until a client has said what it wants
_CONNECT: Final = 15.0  # seconds for one address
_PAUSE: Final = 0.5  # seconds without accepting when descriptors have run out
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ADDRESSES_MOST: Final = 4  # of a name, tried one after the other
_REPLIES: Final = {
    errno.ECONNREFUSED: socks.Reply.REFUSED,
    errno.ENETUNREACH: socks.Reply.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: socks.Reply.HOST_UNREACHABLE,
    errno.ETIMEDOUT: socks.Reply.TTL_EXPIRED,
    errno.EACCES: socks.Reply.NOT_ALLOWED,
    errno.EPERM: socks.Reply.NOT_ALLOWED,
}


def listen_at(path: Path) -> socket.socket:
    """Listen at a path that is root's alone: who can connect has this network."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    path.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    before = os.umask(0o177)
    try:
        # However long the path to the folder is: an address has 107 bytes (unix(7)).
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.umask(before)
        os.close(folder)
    listener.listen(_BACKLOG)
    return listener


def listen_on(port: int) -> socket.socket:
    """Listen on this host's own loopback, for all who are on this machine."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(_BACKLOG)
    return listener


class Front:
    """Accepts clients and connects them."""

    def __init__(self, stack: Stack, poller: Poller, resolver: Resolver) -> None:
        self.stack: Final = stack
        self.poller: Final = poller
        self.resolver: Final = resolver
        self.sessions: Final[set[Session]] = set()
        self.strangers: Final[dict[Session, None]] = {}  # those that have not said what they want

    def serve(self, listener: socket.socket) -> None:
        """Take clients from a listener."""
        self.poller.loop.watch(listener.fileno(), partial(self._accept, listener))

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS):
            try:
                client, _ = listener.accept()
            except OSError as error:  # mostly: nobody more
                if error.errno in _EXHAUSTED:
                    log.warning("the SOCKS front accepts nobody for a moment: %s", error.strerror)
                    loop = self.poller.loop
                    loop.unwatch(listener.fileno())
                    loop.at(loop.now() + _PAUSE, partial(self.serve, listener))
                return
            if len(self.sessions) >= SESSIONS_MOST and self.strangers:
                next(iter(self.strangers)).end()  # whoever has been silent longest
            if len(self.sessions) >= SESSIONS_MOST:
                client.close()
                continue
            client.setblocking(False)
            session = Session(self, client)
            self.sessions.add(session)
            self.strangers[session] = None

    def close(self) -> None:
        """Hang up on everybody."""
        for session in list(self.sessions):
            session.end()


class Session:
    """One client: greeting, request, name, connection; then it is a relay."""

    def __init__(self, front: Front, client: socket.socket) -> None:
        self._front: Final = front
        self._client: Final = client
        self._said = bytearray()
        self._is_greeted = False
        self._port = 0
        self._lookup: Lookup | None = None
        self._targets: list[str] = []
        self._target: socket.socket | None = None
        self._relay: Relay | None = None
        self._timer = front.poller.loop.at(front.poller.loop.now() + _PATIENCE, self.end)
        front.poller.add(client.fileno(), self._on_client)

    def end(self) -> None:
        """Let all go."""
        self._timer.cancel()
        self._front.sessions.discard(self)
        self._front.strangers.pop(self, None)
        if self._lookup is not None:
            self._lookup.cancel()
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()
            return
        for sock in (self._client, self._target):
            if sock is not None and sock.fileno() >= 0:
                self._front.poller.remove(sock.fileno())
                sock.close()

    def _say(self, data: bytes) -> bool:
        """Send a few bytes, which a new connection has room for; end with who has none."""
        try:
            if self._client.send(data) == len(data):
                return True
        except OSError:
            pass  # it has gone, or does not read
        self.end()
        return False

    def _fail(self, reply: socks.Reply) -> None:
        if self._say(socks.answer(reply)):
            self.end()

    # -- what the client says ----------------------------------------------------------------------

    def _on_client(self, flags: int) -> None:
        """Take what the client says, byte by byte if need be."""
        while flags & f.EVENT_READ and not self._port:
            try:
                data = self._client.recv(socks.BYTES_MOST - len(self._said))
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.end()
                return
            self._said += data
            try:
                goes_on = self._read()
            except socks.Malformed as error:
                log.debug("a SOCKS client: %s", error)
                self.end()
                return
            if not goes_on:
                return

    def _read(self) -> bool:
        """Understand what was said; False when nothing more is to be read now."""
        if not self._is_greeted:
            found = socks.greeting(self._said)
            if found is None:
                return True
            size, chosen = found
            del self._said[:size]
            self._is_greeted = True
            if not self._say(socks.method(chosen)):
                return False
            if chosen == socks.NO_METHOD:
                self.end()
                return False
        wanted = socks.request(self._said)
        if wanted is None:
            return True
        del self._said[: wanted.size]
        self._on_request(wanted)
        return False

    def _on_request(self, wanted: socks.Wanted) -> None:
        self._front.strangers.pop(self, None)
        if not wanted.host:
            self._fail(socks.Reply.NO_ADDRESS_TYPE)
        elif wanted.command != socks.CONNECT:
            self._fail(socks.Reply.NO_COMMAND)
        elif not wanted.port:
            self._fail(socks.Reply.FAILURE)
        else:
            self._port = wanted.port
            self._timer.cancel()
            literal = Resolver.literal(wanted.host) if wanted.is_name else wanted.host
            if literal is not None:
                self._on_found((literal,))
                return
            try:
                self._lookup = self._front.resolver.look_up(wanted.host, self._on_found)
            except ValueError:
                self._fail(socks.Reply.HOST_UNREACHABLE)

    # -- the connection ----------------------------------------------------------------------------

    def _on_found(self, addresses: Sequence[str]) -> None:
        self._lookup = None
        self._targets = list(addresses[:_ADDRESSES_MOST])
        self._next(socks.Reply.HOST_UNREACHABLE)

    def _next(self, reply: socks.Reply) -> None:
        """Try the next address; without one, say why the last one failed."""
        self._timer.cancel()
        if self._target is not None:
            self._front.poller.remove(self._target.fileno())
            self._target.close()
            self._target = None
        if not self._targets:
            self._fail(reply)
            return
        family, host = address(self._targets.pop(0))
        try:
            self._target = self._front.stack.socket(family, socket.SOCK_STREAM)
        except OSError:
            self._fail(socks.Reply.FAILURE)
            return
        failure = self._target.connect_ex(Endpoint(family, host, self._port).sockaddr)
        if failure not in (0, errno.EINPROGRESS):
            self._next(_REPLIES.get(failure, socks.Reply.FAILURE))
            return
        loop = self._front.poller.loop
        self._timer = loop.at(loop.now() + _CONNECT, lambda: self._next(socks.Reply.TTL_EXPIRED))
        self._front.poller.add(self._target.fileno(), self._on_target)

    def _on_target(self, flags: int) -> None:
        if self._target is None:
            return
        failure = self._target.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            self._next(_REPLIES.get(failure, socks.Reply.FAILURE))
        elif flags & f.EVENT_WRITE:
            self._timer.cancel()
            self._connected(self._target)

    def _connected(self, target: socket.socket) -> None:
        """Tell the client, hand over what it has said already, and get out of the way."""
        local = of_sockaddr(target.family, target.getsockname())
        reply = socks.answer(socks.Reply.SUCCEEDED, local.family, local.address, local.port)
        if not self._say(reply):
            return
        with suppress(OSError):  # a new connection has room for these few
            if self._said:
                del self._said[: target.send(self._said)]
        if self._said:
            self.end()
            return
        for sock in (self._client, target):
            self._front.poller.remove(sock.fileno())
        self._relay = Relay(self._client, target, self._front.poller, self._ended)

    def _ended(self) -> None:
        self._relay = None
        self._front.sessions.discard(self)
