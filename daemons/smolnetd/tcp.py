"""The scheme `tcp`: connections, and listeners that accept them.

```
/scheme/tcp/REMOTE[,LOCAL]     connects; at the ring door also REMOTE/LOCAL
/scheme/tcp/LOCAL              with an address of nobody (0.0.0.0, [::]): listens
/scheme/tcp/.listen/LOCAL      accepts the next connection
```
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from daemons.smolnetd import messages
from daemons.smolnetd.addresses import Endpoint, Pair, endpoint, of_sockaddr, pair
from daemons.smolnetd.handles import TIMEOUTS, Handle
from daemons.smolnetd.listeners import BACKLOG, Listener
from daemons.smolnetd.poller import Poller, ready
from daemons.smolnetd.quota import Quota
from daemons.smolnetd.sockets import SocketScheme, refused
from daemons.smolnetd.stack import Stack
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes.socket_calls import SocketVerb
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER, Later, Request
from redbear_host.scheme.scheme import Bytes, Opened

LISTEN: Final = ".listen"
_BOTH: Final = f.EVENT_READ | f.EVENT_WRITE

A = TypeVar("A")


@dataclass(eq=False)
class Tcp(Handle):
    """A connection, a listener, a listener that has become a connection, or neither yet."""

    listener: Listener | None = None
    is_connecting: bool = False


class TcpScheme(SocketScheme[Tcp]):
    """TCP over the stack's sockets."""

    name = "tcp"
    folders = (LISTEN,)
    settings = ("hop_limit", "nodelay", *TIMEOUTS)

    def __init__(
        self, stack: Stack, poller: Poller, patience: float, quota: Quota | None = None
    ) -> None:
        """Give up on a connection that is not there after `patience` seconds."""
        super().__init__(stack, poller, quota)
        self._patience: Final = patience
        self._listeners: Final[dict[str, Listener]] = {}

    # -- opening -----------------------------------------------------------------------------------

    def check(self, path: str) -> None:
        """Refuse a path that holds no endpoints."""
        if path.startswith(f"{LISTEN}/"):
            endpoint(path.removeprefix(f"{LISTEN}/"))
        else:
            pair(path)

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened | Later:
        """Connect, listen or accept; with O_STAT, look; "" is a socket that is to be one."""
        path = self.resolve(parent, path)
        looked = self.looked_at(path, flags)
        if looked is not None:
            return looked
        if path.startswith(f"{LISTEN}/"):
            name = str(endpoint(path.removeprefix(f"{LISTEN}/")))
            listener = self._listeners.get(name)
            if listener is None:
                raise Refused(e.ENOENT)
            if request.caller.uid not in (0, listener.owner.uid):
                raise Refused(e.EACCES)
            return self._accept(listener, flags, request)
        handle = Tcp(request.caller, flags & f.O_FCNTL_MASK)
        return self._begin(handle, pair(path), request) if path else self.add(handle)

    def _begin(self, handle: Tcp, ends: Pair, request: Request) -> Opened | Later:
        if ends.remote is None:
            self._listen(handle, ends, request)
            opened = self.add(handle)
            self._start_listening(handle)
            return opened
        return self._connect(handle, ends, request, lambda opened: opened)

    def _bound(self, ends: Pair, request: Request) -> socket.socket:
        """Make a socket and bind it to its local end, if it has one."""
        if ends.local is not None:
            self.may_bind(ends.local, request)
        sock = self.make(ends.family, socket.SOCK_STREAM, request, zone=ends.zone)
        if ends.local is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(ends.local.sockaddr)
            except OSError as error:
                sock.close()
                raise refused(error) from error
        return sock

    # -- listening ---------------------------------------------------------------------------------

    def _listen(self, handle: Tcp, ends: Pair, request: Request) -> None:
        sock = self._bound(ends, request)
        try:
            sock.listen(BACKLOG)
            local = of_sockaddr(sock.family, sock.getsockname(), ends.zone)
        except OSError as error:
            sock.close()
            raise refused(error) from error
        handle.path = handle_name = str(local)
        handle.listener = Listener(sock, handle_name, request.caller, self.quota)

    def _start_listening(self, handle: Tcp) -> None:
        listener = handle.listener
        if listener is None:
            raise Refused(e.EINVAL)
        listener.number = handle.number
        self._listeners[listener.name] = listener
        self.poller.add(listener.sock.fileno(), lambda flags: self._on_caller(listener))

    def _on_caller(self, listener: Listener) -> None:
        while listener.accepting:
            try:
                sock = listener.accept()
            except Refused as refusal:
                self._refuse_one(listener, refusal.errno)
                continue
            except OSError as error:
                self._refuse_one(listener, refused(error).errno)
                continue
            if sock is None:
                return
            request = listener.accepting.popleft()
            request.on_cancel = None
            request.answer(self._accepted(sock, listener, request))
        self.post_fevent(listener.number, _BOTH)

    @staticmethod
    def _refuse_one(listener: Listener, number: int) -> None:
        request = listener.accepting.popleft()
        request.on_cancel = None
        request.refuse(number)

    def _accept(self, listener: Listener, flags: int, request: Request) -> Opened | Later:
        """Open the connection that has waited longest; without one, wait for it."""
        if not listener.accepting:
            try:
                sock = listener.accept()
            except OSError as error:
                raise refused(error) from error
            if sock is not None:
                return self._accepted(sock, listener, request)
        if flags & f.O_NONBLOCK:
            raise Refused(e.EAGAIN)

        def give_up(given: Request) -> None:
            listener.accepting.remove(given)
            given.refuse(e.ECANCELED)

        request.on_cancel = give_up
        listener.accepting.append(request)
        return LATER

    def _accepted(self, sock: socket.socket, listener: Listener, request: Request) -> Opened:
        handle = Tcp(request.caller, 0, sock=sock)
        opened = self.add(handle)
        self._watch(handle, sock)
        return opened

    def _watch(self, handle: Tcp, sock: socket.socket) -> None:
        handle.sock = sock
        self.watch(sock, lambda: (handle.number,))

    # -- connecting --------------------------------------------------------------------------------

    def _connect(
        self, handle: Tcp, ends: Pair, request: Request, answer: Callable[[Opened], A]
    ) -> A | Later:
        """Begin a connection; `answer` when it is there, or at once if who asked will not wait."""
        if ends.remote is None:
            raise Refused(e.EINVAL)
        sock = self._bound(ends, request)
        handle.path = str(ends.remote)
        failure = sock.connect_ex(ends.remote.sockaddr)
        if failure not in (0, errno.EINPROGRESS):
            sock.close()
            raise Refused(failure)
        if not failure or handle.flags & f.O_NONBLOCK:
            return answer(self._connected(handle, sock))
        loop = self.poller.loop
        handle.is_connecting = True

        def end(number: int) -> None:
            handle.is_connecting = False
            timer.cancel()
            request.on_cancel = None
            self.poller.remove(sock.fileno())
            if number:
                sock.close()
                request.refuse(number)
            else:
                request.answer(answer(self._connected(handle, sock)))

        def on_edge(flags: int) -> None:
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number or flags & f.EVENT_WRITE:
                end(number)

        timer = loop.at(loop.now() + self._patience, partial(end, e.ETIMEDOUT))
        request.on_cancel = lambda _: end(e.ECANCELED)
        self.poller.add(sock.fileno(), on_edge)
        return LATER

    def _connected(self, handle: Tcp, sock: socket.socket) -> Opened:
        opened = self.add(handle) if handle.number < 0 else Opened(handle.number)
        self._watch(handle, sock)
        return opened

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened | Later:
        """Accept ("listen"), open a setting, or make of a socket what a path says."""
        found = self.handle(handle)
        setting = self.setting(found, bytes(name))
        if setting is not None:
            return setting
        if bytes(name) == b"listen":
            if found.listener is None and found.sock is None:
                self._become_listener(found, request)
            if found.listener is None:
                raise Refused(e.EINVAL)
            return self._accept(found.listener, found.flags, request)
        if found.listener is not None or found.sock is not None:
            raise Refused(e.EINVAL)
        ends = pair(bytes(name).decode("utf-8", "surrogateescape"))
        local = ends.local or found.local
        return self._begin(Tcp(request.caller, found.flags), Pair(ends.remote, local), request)

    def _become_listener(self, handle: Tcp, request: Request) -> None:
        """Listen with a socket that was bound by a call."""
        if handle.local is not None:
            self._fresh(handle)
            self._listen(handle, Pair(None, handle.local), request)
            self._start_listening(handle)

    # -- bytes -------------------------------------------------------------------------------------

    def _stream(self, handle: Tcp) -> socket.socket:
        """Return a handle's connection; a listener's is the first that comes."""
        if handle.sock is None:
            listener = handle.listener
            if listener is None:
                raise Refused(e.ENOTCONN)
            sock = listener.accept()
            if sock is None:
                raise Refused(e.EWOULDBLOCK)
            self._watch(handle, sock)
            return sock
        return handle.sock

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes | Later:
        """Return what has come; empty once the other end has sent all it will."""
        found = self.handles.get(handle)
        if found is None:
            return self.read_setting(handle, size, offset)
        try:
            return self._receive(found, size)
        except BlockingIOError:
            again = partial(self._receive, found, size)
            return self.wait(found, fcntl_flags, found.read_timeout, request, again)
        except OSError as error:
            raise refused(error) from error

    def _receive(self, handle: Tcp, size: int) -> memoryview:
        room = self.scratch[:size]
        if not room:
            return room
        return room[: self._stream(handle).recv_into(room)]

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int | Later:
        """Send as much as there is room for; EPIPE once nothing more may be sent."""
        found = self.handles.get(handle)
        if found is None:
            return self.write_setting(handle, data)
        try:
            return self._stream(found).send(data)
        except BlockingIOError:

            def again() -> int:
                return self._stream(found).send(data)

            return self.wait(found, fcntl_flags, found.write_timeout, request, again)
        except OSError as error:
            raise refused(error) from error

    # -- calls -------------------------------------------------------------------------------------

    def call(
        self, handle: int, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> int | Later:
        """Do what a SocketCall verb says."""
        found = self.handle(handle)
        try:
            return self._do(found, payload, metadata, request)
        except BlockingIOError:
            timeout = found.read_timeout
            if metadata[0] == SocketVerb.SEND_MSG:
                timeout = found.write_timeout
            again = partial(self._do, found, payload, metadata, request)
            return self.wait(found, 0, timeout, request, again)
        except OSError as error:
            raise refused(error) from error

    def _do(
        self, found: Tcp, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> int | Later:
        match metadata[0] if metadata else -1:
            case SocketVerb.BIND:
                self._fresh(found)
                found.local = messages.name(payload, self.name)
                self.may_bind(found.local, request)
                return 0
            case SocketVerb.UNBIND:
                self._fresh(found)
                found.local = None
                return 0
            case SocketVerb.CONNECT:
                self._fresh(found)
                remote = messages.name(payload, self.name)
                ends = Pair(remote, found.local)
                if not remote.port or remote.is_any or remote.family != ends.family:
                    raise Refused(e.EINVAL)
                return self._connect(found, ends, request, lambda opened: 0)
            case SocketVerb.SET_SOCK_OPT:
                return 0  # all are accepted, and none changes anything: so does Redox
            case SocketVerb.GET_SOCK_OPT:
                sock = found.listener.sock if found.listener is not None else found.sock
                return messages.option(payload, metadata, sock)
            case SocketVerb.SEND_MSG:
                return self._stream(found).send(messages.outgoing(payload).payload)
            case SocketVerb.RECV_MSG:
                return self._receive_message(found, payload)
            case SocketVerb.GET_PEER_NAME:
                return messages.put(payload, messages.path(self.name, self._peer(found)))
            case SocketVerb.SHUTDOWN:
                return messages.shut(self._stream(found), metadata)
        raise Refused(e.EOPNOTSUPP)

    @staticmethod
    def _fresh(handle: Tcp) -> None:
        if handle.is_connecting:
            raise Refused(e.EALREADY)
        if handle.sock is not None:
            raise Refused(e.EISCONN)
        if handle.listener is not None:
            raise Refused(e.EINVAL)

    def _receive_message(self, handle: Tcp, payload: memoryview) -> int:
        rooms = messages.rooms(payload)
        peer = messages.path(self.name, self._peer(handle))
        return messages.deliver(payload, rooms, peer, self._receive(handle, rooms.payload))

    def _peer(self, handle: Tcp) -> Endpoint:
        sock = self._stream(handle)
        return of_sockaddr(sock.family, sock.getpeername())

    # -- facts -------------------------------------------------------------------------------------

    def path_of(self, handle: Tcp) -> str:
        """Return `REMOTE/LOCAL`, or a listener's address."""
        if handle.sock is None:
            return handle.path
        try:
            local = of_sockaddr(handle.sock.family, handle.sock.getsockname())
            remote = of_sockaddr(handle.sock.family, handle.sock.getpeername())
        except OSError:  # not yet, or no longer
            return handle.path
        return f"{remote}/{local}"

    def fevent(self, handle: int, mask: int) -> int:
        """Tell what would not wait; a listener's handle is ready when somebody has called."""
        found = self.handles.get(handle)
        if found is not None and found.sock is None and found.listener is not None:
            return mask if ready(found.listener.sock.fileno()) & f.EVENT_READ else 0
        return super().fevent(handle, mask)

    def ended(self, handle: Tcp) -> None:
        """Close a connection, which sends what is left of it, and a listener."""
        if handle.sock is not None:
            self.drop(handle.sock)
        listener = handle.listener
        if listener is not None:
            self._listeners.pop(listener.name, None)
            self.drop(listener.sock)
            while listener.accepting:
                self._refuse_one(listener, e.ECONNABORTED)
