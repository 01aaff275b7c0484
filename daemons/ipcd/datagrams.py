"""The scheme `uds_dgram`: Unix datagram sockets, which keep the boundaries of messages.

Opening a name with O_CREAT binds a socket to it, opening it without makes one that sends there;
otherwise sockets are opened at "" and bound, connected and paired by calls, as in `uds_stream`.
One write is one message; a read takes one message, and loses what it has no room for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from daemons.ipcd.ends import Socket
from daemons.ipcd.inbox import Inbox, Message, close_all
from daemons.ipcd.names import LISTEN, NamedScheme, raw
from daemons.ipcd.tokens import Tokens
from daemons.ipcd.uds import answer, bind_name, deliver, fetch, keep, option, rooms
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes import socket_calls as c
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller, Request
from redbear_host.scheme.scheme import Bytes, Foreign, Opened

MOST: Final = 65536  # bytes of one datagram


class Datagrams(Socket):
    """One socket: what was sent to it, and where it sends."""

    def __init__(self, caller: Caller, flags: int) -> None:
        super().__init__(caller, flags)
        self.number = -1
        self.inbox: Final = Inbox()
        self.target: Datagrams | None = None
        self.closed = False
        self.senders: Final[set[Datagrams]] = set()  # who found no room here


class DatagramScheme(NamedScheme[Datagrams]):
    """Unix datagram sockets.  Like streams, they are gone with the daemon."""

    name = "uds_dgram"

    def __init__(self) -> None:
        super().__init__()
        self._bound: Final[dict[str, Datagrams]] = {}
        self._tokens: Final[Tokens[Datagrams]] = Tokens()

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Bind a name (O_CREAT), or send to it; with O_STAT, look."""
        path = self._resolve(parent, path)
        looked = self._looked_at(path, flags)
        if looked is not None:
            return looked
        if path.startswith(LISTEN):
            raise Refused(e.EINVAL)  # datagrams are not accepted
        socket = Datagrams(request.caller, flags)
        target = self._bound.get(path)
        if target is not None:
            if flags & f.O_CREAT and flags & f.O_EXCL:
                raise Refused(e.EEXIST)
            socket.target = target
        elif not flags & f.O_CREAT:
            raise Refused(e.ENOENT)
        elif path:
            self._bind(socket, path)
        return self._open(socket)

    def _open(self, socket: Datagrams) -> Opened:
        socket.number = self._add(socket)
        return Opened(socket.number)

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened | Foreign:
        """Make the other socket of a pair ("connect"), or fetch a descriptor ("recvfd")."""
        socket = self._socket(handle)
        match bytes(name):
            case b"connect":
                if socket.target is not None:
                    raise Refused(e.EISCONN)
                other = Datagrams(request.caller, f.O_RDWR)
                other.target, socket.target = socket, other
                return self._open(other)
            case b"recvfd":
                return Foreign(fetch(socket, 1)[0])
        raise Refused(e.EINVAL)

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes:
        """Take one message."""
        found = self._receive(self._socket(handle))
        close_all(found.fds)
        return found.data[:size]

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Send one message, whole."""
        socket = self._socket(handle)
        return self._send(socket, self._target(socket), data, (), request)

    def _target(self, socket: Datagrams) -> Datagrams:
        if socket.target is None:
            raise Refused(e.EDESTADDRREQ)
        return socket.target

    def _send(
        self,
        socket: Datagrams,
        target: Datagrams,
        data: memoryview,
        fds: tuple[int, ...],
        request: Request,
    ) -> int:
        if len(data) > MOST:
            raise Refused(e.EMSGSIZE)
        if target.closed:
            raise Refused(e.ECONNREFUSED)
        if target.inbox.room < max(1, len(data)) or not target.inbox.takes(len(fds)):
            target.senders.add(socket)
            raise Refused(e.EWOULDBLOCK)
        source = raw(socket.name)
        target.inbox.put(Message(memoryview(bytes(data)), fds, request.caller, source))
        self.post_fevent(target.number, f.EVENT_READ)
        return len(data)

    def _receive(self, socket: Datagrams) -> Message:
        if not len(socket.inbox):
            raise Refused(e.EWOULDBLOCK)
        found = socket.inbox.message()
        self._wake_senders(socket)
        return found

    def _wake_senders(self, socket: Datagrams) -> None:
        while socket.senders:
            self.post_fevent(socket.senders.pop().number, f.EVENT_WRITE)

    # -- calls -------------------------------------------------------------------------------------

    def call(
        self, handle: int, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> int:
        """Do what a SocketCall verb says."""
        socket = self._socket(handle)
        match metadata[0] if metadata else -1:
            case c.SocketVerb.BIND:
                self._bind(socket, self._resolve(0, bind_name(payload)))
                return 0
            case c.SocketVerb.CONNECT:
                socket.target = self._tokens.redeem(bytes(payload))
                return 0
            case c.SocketVerb.SET_SOCK_OPT:
                return 0  # all are accepted, and none changes anything: so does Redox
            case c.SocketVerb.GET_SOCK_OPT:
                peer = socket.target.caller if socket.target else None
                return answer(payload, option(metadata, peer))
            case c.SocketVerb.SEND_MSG:
                return self._send_message(socket, payload, request)
            case c.SocketVerb.RECV_MSG:
                return self._receive_message(socket, payload)
            case c.SocketVerb.UNBIND:
                self._unbind(socket)
                return 0
            case c.SocketVerb.GET_TOKEN:
                if not socket.token:
                    raise Refused(e.ENOTCONN)
                return answer(payload, socket.token)
            case c.SocketVerb.GET_PEER_NAME:
                name = self._target(socket).name
                return answer(payload, raw(f"/scheme/{self.name}/{name}"))
        raise Refused(e.EOPNOTSUPP)

    def _bind(self, socket: Datagrams, path: str) -> None:
        if socket.name or not path or path.startswith(LISTEN):
            raise Refused(e.EINVAL)
        if path in self._bound:
            raise Refused(e.EADDRINUSE)
        socket.name = path
        socket.token = self._tokens.issue(socket)
        self._bound[path] = socket

    def _unbind(self, socket: Datagrams) -> None:
        if self._bound.get(socket.name) is socket:
            del self._bound[socket.name]
        self._tokens.revoke(socket.token)
        socket.token = b""
        socket.name = ""

    def _send_message(self, socket: Datagrams, payload: memoryview, request: Request) -> int:
        """Send to a message's name, or where the socket is connected."""
        message = c.parse(payload)
        if message.name:
            name = message.name.decode("utf-8", "surrogateescape")
            target = self._bound.get(name.removeprefix(f"/scheme/{self.name}/"))
            if target is None:
                raise Refused(e.ECONNREFUSED)
        else:
            target = self._target(socket)
        if message.fds > len(socket.outgoing):
            raise Refused(e.EBADF)
        fds = tuple(socket.outgoing[: message.fds])
        sent = self._send(socket, target, message.payload, fds, request)
        del socket.outgoing[: len(fds)]
        return sent

    def _receive_message(self, socket: Datagrams, payload: memoryview) -> int:
        name_most, most, controls = rooms(payload)
        if not len(socket.inbox):
            raise Refused(e.EWOULDBLOCK)
        found = self._receive(socket)
        name = b"/scheme/%b/%b" % (self.name.encode(), found.source) if found.source else b""
        name = name[:name_most]
        most = max(0, min(most, len(payload) - c.overhead(name, controls)))
        return deliver(socket, payload, name, found._replace(data=found.data[:most]), controls)

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

    # -- facts -------------------------------------------------------------------------------------

    def fevent(self, handle: int, mask: int) -> int:
        """Be readable with a message, and writable where the target has room for a large one."""
        if handle in self._looks:
            return mask
        socket = self._socket(handle)
        target = socket.target
        ready = f.EVENT_READ if len(socket.inbox) else 0
        if target is None or target.closed or target.inbox.room >= MOST:
            ready |= f.EVENT_WRITE
        else:
            target.senders.add(socket)
        return ready & mask

    def _names(self) -> Collection[str]:
        return self._bound.keys()

    def _owner(self, name: str) -> int:
        try:
            return self._bound[name].caller.uid
        except KeyError:
            raise Refused(e.ENOENT) from None

    def _ended(self, number: int, socket: Datagrams) -> None:
        socket.closed = True
        self._unbind(socket)
        socket.inbox.close()
        close_all(socket.outgoing)
        close_all(socket.fetched)
        self._wake_senders(socket)
        if socket.target is not None:
            socket.target.senders.discard(socket)
