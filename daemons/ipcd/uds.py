"""The scheme `uds_stream`: Unix stream sockets, with descriptors and credentials.

As on Redox a socket is opened at "" with O_CREAT, and the rest is calls: it is bound to a path,
which gives it a token, and connected by the token of another; dup "listen" accepts, dup "connect"
makes the other end of a pair, dup "recvfd" or recvfd fetches what a message brought.  Opening a
name works as in `chan`: on Linux there is no redoxfs whose socket files could hold tokens.
"""

from __future__ import annotations

import socket as linux_socket
from collections.abc import Sequence
from typing import Final

from daemons.ipcd.ends import Listener, Socket, pair
from daemons.ipcd.inbox import FDS, ROOM, Message, close_all
from daemons.ipcd.names import LISTEN, raw
from daemons.ipcd.streams import StreamScheme
from daemons.ipcd.tokens import Tokens
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes import socket_calls as c
from redbear_host.errors import Refused
from redbear_host.scheme.request import Later, Request
from redbear_host.scheme.scheme import Bytes, Foreign, Opened


class UdsStreamScheme(StreamScheme):
    """Unix stream sockets."""

    name = "uds_stream"

    def __init__(self) -> None:
        super().__init__()
        self._tokens: Final[Tokens[Listener]] = Tokens()

    def _make(self, socket: Socket, path: str) -> int:
        number = self._add(socket)
        if path:
            try:
                self._bind(socket, number, path)
            except Refused:
                del self._handles[number]
                raise
        return number

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened | Foreign | Later:
        """Accept, make the other end of a pair, or fetch one descriptor."""
        socket = self._socket(handle)
        if bytes(name) == b"recvfd":
            return Foreign(fetch(socket, 1)[0])
        if bytes(name) == b"connect" and socket.listener is None:
            if socket.end is not None:
                raise Refused(e.EISCONN)
            other = Socket(request.caller, f.O_RDWR)
            socket.end, other.end = pair(socket.caller, request.caller)
            socket.end.number, other.end.number = handle, self._add(other)
            self._join(socket.end)
            return Opened(other.end.number)
        if bytes(name) not in (b"listen", b"connect"):
            raise Refused(e.EINVAL)
        return super().dup(handle, name, request)

    # -- calls -------------------------------------------------------------------------------------

    def call(
        self, handle: int, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> int:
        """Do what a SocketCall verb says."""
        socket = self._socket(handle)
        match metadata[0] if metadata else -1:
            case c.SocketVerb.BIND:
                return self._bind(socket, handle, bind_name(payload))
            case c.SocketVerb.CONNECT:
                return self._connect_by(socket, handle, bytes(payload))
            case c.SocketVerb.SET_SOCK_OPT:
                return 0  # all are accepted, and none changes anything: so does Redox
            case c.SocketVerb.GET_SOCK_OPT:
                peer = socket.end.peer.caller if socket.end else None
                return answer(payload, option(metadata, peer))
            case c.SocketVerb.SEND_MSG:
                return self._send_message(handle, socket, payload, request)
            case c.SocketVerb.RECV_MSG:
                return self._receive_message(handle, socket, payload)
            case c.SocketVerb.UNBIND:
                return self._unbind(socket)
            case c.SocketVerb.GET_TOKEN:
                if not socket.token:
                    raise Refused(e.ENOTCONN)
                return answer(payload, socket.token)
            case c.SocketVerb.GET_PEER_NAME:
                if socket.end is None:
                    raise Refused(e.ENOTCONN)
                return answer(payload, raw(f"/scheme/{self.name}/{socket.name}"))
            case c.SocketVerb.SHUTDOWN:
                return self._shutdown(socket, metadata[1] if len(metadata) > 1 else -1)
        raise Refused(e.EOPNOTSUPP)

    def _bind(self, socket: Socket, handle: int, path: str) -> int:
        path = self._resolve(0, path)
        if socket.listener is not None or socket.end is not None or not path:
            raise Refused(e.EINVAL)
        if path in self._listeners or path == LISTEN or path.startswith(f"{LISTEN}/"):
            raise Refused(e.EADDRINUSE)
        listener = self._listen(socket, path)
        listener.handles.add(handle)
        socket.token = self._tokens.issue(listener)
        return 0

    def _unbind(self, socket: Socket) -> int:
        if socket.listener is None or not socket.token:
            raise Refused(e.EINVAL)
        self._tokens.revoke(socket.token)
        self._listeners.pop(socket.listener.name, None)
        socket.token = b""
        return 0

    def _connect_by(self, socket: Socket, handle: int, token: bytes) -> int:
        listener = self._tokens.redeem(token)
        if socket.end is not None:
            raise Refused(e.EISCONN)
        if socket.listener is not None:
            raise Refused(e.EINVAL)
        self._attach(socket, handle, listener)
        return 0

    def _send_message(
        self, handle: int, socket: Socket, payload: memoryview, request: Request
    ) -> int:
        message = c.parse(payload)
        end = self._end(handle, socket)
        fds = tuple(socket.outgoing[: message.fds])
        if message.fds > len(socket.outgoing):
            raise Refused(e.EBADF)
        if fds and not message.payload:
            raise Refused(e.EINVAL)  # a stream has no place for descriptors without a byte
        if not end.peer.inbox.takes(len(fds)):
            raise Refused(e.EWOULDBLOCK)
        sent = self._send(end, message.payload, fds, request, socket.name)
        del socket.outgoing[: len(fds)]
        return sent

    def _receive_message(self, handle: int, socket: Socket, payload: memoryview) -> int:
        name_most, most, controls = rooms(payload)
        end = self._end(handle, socket)
        name = raw(f"/scheme/{self.name}/{socket.name}")[:name_most] if socket.name else b""
        most = min(most, len(payload) - c.overhead(name, controls))
        if most <= 0:
            raise Refused(e.EINVAL)
        found = self._receive(end, most)
        if found is None:
            return answer(payload, c.pack(name, memoryview(b""), 0, end.peer.caller, controls))
        return deliver(socket, payload, name, found, controls)

    def _shutdown(self, socket: Socket, how: int) -> int:
        if socket.end is None:
            raise Refused(e.ENOTCONN)
        if how not in (linux_socket.SHUT_RD, linux_socket.SHUT_WR, linux_socket.SHUT_RDWR):
            raise Refused(e.EINVAL)
        end = socket.end
        end.shut = end.shut or how != linux_socket.SHUT_RD
        end.ends = end.ends or how != linux_socket.SHUT_WR
        self._post(end.peer, f.EVENT_READ | f.EVENT_WRITE)
        self._post(end, f.EVENT_READ | f.EVENT_WRITE)
        return 0

    # -- descriptors -------------------------------------------------------------------------------

    def on_sendfd(
        self, handle: int, fds: Sequence[int], flags: int, argument: int, request: Request
    ) -> int:
        """Keep descriptors for the next message that says SCM_RIGHTS."""
        return keep(self._socket(handle), fds)

    def on_recvfd(
        self, handle: int, count: int, flags: int, metadata: Sequence[int], request: Request
    ) -> Sequence[int]:
        """Give what messages brought, in their order."""
        return fetch(self._socket(handle), count)

    def _ended(self, number: int, socket: Socket) -> None:
        self._tokens.revoke(socket.token)
        super()._ended(number, socket)


def keep(socket: Socket, fds: Sequence[int]) -> int:
    """Keep descriptors a client sent, until a message takes them along."""
    if len(socket.outgoing) + len(fds) > FDS:
        raise Refused(e.ETOOMANYREFS)
    socket.outgoing += fds
    return len(fds)


def fetch(socket: Socket, count: int) -> list[int]:
    """Take descriptors out that messages brought; EAGAIN when there are none."""
    if not socket.fetched or count <= 0:
        raise Refused(e.EAGAIN)
    taken = socket.fetched[:count]
    del socket.fetched[:count]
    return taken


def deliver(socket: Socket, payload: memoryview, name: bytes, found: Message, controls: int) -> int:
    """Hand a message out: its bytes in the payload, its descriptors ready to be fetched.

    Of those that nobody fetches, the oldest are closed.
    """
    socket.fetched += found.fds
    close_all(socket.fetched[:-FDS])
    del socket.fetched[:-FDS]
    return answer(payload, c.pack(name, found.data, len(found.fds), found.sender, controls))


def answer(payload: memoryview, result: bytes) -> int:
    """Put a call's result into its payload, as far as there is room; return how much that was."""
    count = min(len(payload), len(result))
    payload[:count] = result[:count]
    return count


def bind_name(payload: memoryview) -> str:
    """Return the path a socket is to be bound to."""
    return bytes(payload).rstrip(b"\0").decode("utf-8", "surrogateescape")


def rooms(payload: memoryview) -> tuple[int, int, int]:
    """Return what a receiver has room for: name, payload, control records, in bytes."""
    if len(payload) < c.ROOMS.size:
        raise Refused(e.EINVAL)
    name, data, controls = c.ROOMS.unpack_from(payload)
    return name, data, min(controls, len(payload))


def option(metadata: Sequence[int], peer: tuple[int, int, int] | None) -> bytes:
    """Return a socket option's value."""
    match metadata[1] if len(metadata) > 1 else -1:
        case c.SO_SNDBUF | c.SO_RCVBUF:
            return c.NUMBER.pack(ROOM)
        case c.SO_PEERCRED:
            if peer is None:
                raise Refused(e.ENOTCONN)
            return c.CREDENTIALS.pack(*peer)
    raise Refused(e.ENOPROTOOPT)
