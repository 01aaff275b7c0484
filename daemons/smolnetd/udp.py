"""The scheme `udp`: datagrams.

```
/scheme/udp/REMOTE[,LOCAL]   sends to REMOTE and hears it alone; at the ring door REMOTE/LOCAL too
/scheme/udp/LOCAL            with an address of nobody (0.0.0.0, [::]): hears everybody
```

A peer that is a group or a broadcast address hears of what is sent; it is not who answers, so
everybody is heard then.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial

from daemons.smolnetd import messages
from daemons.smolnetd.addresses import ANY, Endpoint, SockAddr, of_sockaddr, pair
from daemons.smolnetd.datagrams import Datagram, DatagramScheme
from daemons.smolnetd.sockets import refused
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes.socket_calls import SocketVerb
from redbear_host.errors import Refused
from redbear_host.scheme.request import Later, Request
from redbear_host.scheme.scheme import Bytes, Opened


class UdpScheme(DatagramScheme):
    """UDP over the stack's sockets."""

    name = "udp"

    def check(self, path: str) -> None:
        """Refuse a path that holds no endpoints."""
        pair(path)

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a socket; with O_STAT, look; "" is one that is bound to nothing in particular."""
        path = self.resolve(parent, path)
        looked = self.looked_at(path, flags)
        if looked is not None:
            return looked
        handle = Datagram(request.caller, flags & f.O_FCNTL_MASK)
        return self._start(handle, path, request) if path else self.add(handle)

    def _start(self, handle: Datagram, path: str, request: Request) -> Opened:
        """Bind a handle to what a path says."""
        ends = pair(path)
        local = ends.local or handle.local or _any(ends.family)
        if ends.remote is not None and ends.remote.family != local.family:
            raise Refused(e.EINVAL)
        sock = self._bound(local._replace(zone=local.zone or ends.zone), request)
        handle.peer = ends.remote
        return self.adopt(handle, sock)

    def _bound(self, local: Endpoint, request: Request) -> socket.socket:
        self.may_bind(local, request)
        sock = self.make(local.family, socket.SOCK_DGRAM, request, zone=local.zone)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind(local.sockaddr)
        except OSError as error:
            sock.close()
            raise refused(error) from error
        return sock

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened | Later:
        """Open a setting, or the same socket with another peer; "disconnect": with none."""
        found = self.handle(handle)
        setting = self.setting(found, bytes(name))
        if setting is not None:
            return setting
        if bytes(name) == b"listen":
            raise Refused(e.EAFNOSUPPORT)  # nobody calls by datagrams; as on Redox
        path = "" if bytes(name) == b"disconnect" else bytes(name).decode("utf-8", "replace")
        path = path.removeprefix("/")
        again = Datagram(request.caller, found.flags, local=found.local)
        if found.shared is None:
            if not path:
                raise Refused(e.ENOTCONN)
            return self._start(again, path, request)
        again.peer = pair(path).remote if path else None
        if again.peer is not None and again.peer.family != found.shared.sock.family:
            raise Refused(e.EINVAL)
        return self.stand_for(found.shared, again)

    # -- messages ----------------------------------------------------------------------------------

    def take(self, handle: Datagram, size: int) -> tuple[memoryview, Endpoint | None]:
        """Return a datagram's payload, and who sent it."""
        room = self.scratch[: max(1, size)]
        peer = handle.peer

        def is_his(sender: SockAddr) -> bool:
            return peer is None or not peer.is_one or sender[:2] == (peer.address, peer.port)

        count, sender = self.from_peer(handle, room, is_his)
        family = socket.AF_INET if len(sender) == 2 else socket.AF_INET6
        return room[: min(count, size)], of_sockaddr(family, sender)

    def give(self, handle: Datagram, data: memoryview) -> int:
        """Send a datagram to the peer; EADDRNOTAVAIL without one."""
        return self._send(handle, data, handle.peer)

    @staticmethod
    def _send(handle: Datagram, data: memoryview, peer: Endpoint | None) -> int:
        if peer is None:
            raise Refused(e.EADDRNOTAVAIL)
        if handle.sock is None:
            raise Refused(e.ENOTCONN)
        return handle.sock.sendto(data, peer.sockaddr)

    # -- calls -------------------------------------------------------------------------------------

    def call(
        self, handle: int, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> int | Later:
        """Do what a SocketCall verb says."""
        found = self.handle(handle)
        try:
            return self._do(found, payload, metadata, request)
        except BlockingIOError:
            sends = metadata[0] == SocketVerb.SEND_MSG
            timeout = found.write_timeout if sends else found.read_timeout
            again = partial(self._do, found, payload, metadata, request)
            return self.wait(found, 0, timeout, request, again)
        except OSError as error:
            raise refused(error) from error

    def _do(
        self, found: Datagram, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> int:
        match metadata[0] if metadata else -1:
            case SocketVerb.BIND:
                if found.shared is not None:
                    raise Refused(e.EINVAL)
                found.local = messages.name(payload, self.name)
                self.adopt(found, self._bound(found.local, request))
                return 0
            case SocketVerb.CONNECT:
                peer = messages.name(payload, self.name)
                if not peer.port or peer.is_any:
                    raise Refused(e.EINVAL)
                if found.shared is None:
                    self.adopt(found, self._bound(_any(peer.family), request))
                elif found.shared.sock.family != peer.family:
                    raise Refused(e.EINVAL)
                found.peer = peer
                return 0
            case SocketVerb.SET_SOCK_OPT:
                return 0  # all are accepted, and none changes anything: so does Redox
            case SocketVerb.GET_SOCK_OPT:
                return messages.option(payload, metadata, found.sock)
            case SocketVerb.SEND_MSG:
                message = messages.outgoing(payload)
                to = found.peer
                if message.name:
                    to = messages.name(memoryview(message.name), self.name)
                return self._send(found, message.payload, to)
            case SocketVerb.RECV_MSG:
                rooms = messages.rooms(payload)
                data, sender = self.take(found, rooms.payload)
                who = messages.path(self.name, sender) if sender else b""
                return messages.deliver(payload, rooms, who, data)
            case SocketVerb.GET_PEER_NAME:
                if found.peer is None:
                    raise Refused(e.ENOTCONN)
                return messages.put(payload, messages.path(self.name, found.peer))
        raise Refused(e.EOPNOTSUPP)

    def path_of(self, handle: Datagram) -> str:
        """Return `REMOTE/LOCAL`; without a peer `/LOCAL`."""
        if handle.sock is None:
            return ""
        local = of_sockaddr(handle.sock.family, handle.sock.getsockname())
        return f"{handle.peer or ''}/{local}"


def _any(family: int) -> Endpoint:
    return Endpoint(family, ANY[family], 0)
