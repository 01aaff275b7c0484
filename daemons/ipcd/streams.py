"""Streams by name: the scheme `chan`, and what `uds_stream` has in common with it.

Opening a name with O_CREAT makes a listener, or connects where there is one already; opening it
without connects.  A connection is accepted by dup "listen" of the listener, by opening
`.listen/NAME`, or by reading or writing the listener itself, which then is that connection.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from daemons.ipcd.ends import BACKLOG, End, Listener, Socket, pair
from daemons.ipcd.inbox import Message, close_all
from daemons.ipcd.names import LISTEN, NamedScheme, raw
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER, Later, Request
from redbear_host.scheme.scheme import Bytes, Foreign, Opened

_BOTH: Final = f.EVENT_READ | f.EVENT_WRITE


class StreamScheme(NamedScheme[Socket]):
    """Listeners and connections.

    It neither reopens nor replays: a connection is gone with the daemon, and both ends hear EIO.
    """

    def __init__(self) -> None:
        super().__init__()
        self._listeners: Final[dict[str, Listener]] = {}

    # -- opening -----------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened | Later:
        """Listen, connect or accept; with O_STAT, look."""
        path = self._resolve(parent, path)
        looked = self._looked_at(path, flags)
        if looked is not None:
            return looked
        if path.startswith(f"{LISTEN}/"):
            return self._accept_by_name(path.removeprefix(f"{LISTEN}/"), flags, request)
        if path == LISTEN:
            raise Refused(e.EISDIR)
        socket = Socket(request.caller, flags)
        listener = self._listeners.get(path)
        if listener is not None and path:
            if flags & f.O_CREAT and flags & f.O_EXCL:
                raise Refused(e.EEXIST)
            socket.name = path
            return Opened(self._connect(socket, listener))
        if not flags & f.O_CREAT:
            raise Refused(e.ENOENT)
        return Opened(self._make(socket, path))

    def _make(self, socket: Socket, path: str) -> int:
        """Make what an open with O_CREAT asks for; return its handle."""
        listener = self._listen(socket, path)
        number = self._add(socket)
        listener.handles.add(number)
        return number

    def _listen(self, socket: Socket, path: str) -> Listener:
        socket.name = path
        socket.listener = listener = Listener(path, socket.caller)
        if path:
            self._listeners[path] = listener
        return listener

    def _accept_by_name(self, name: str, flags: int, request: Request) -> Opened | Later:
        listener = self._listeners.get(name)
        if listener is None:
            raise Refused(e.ENOENT)
        if request.caller.uid not in (0, listener.owner.uid):
            raise Refused(e.EACCES)
        return self._accept(listener, bool(flags & f.O_NONBLOCK), request)

    def _accept(self, listener: Listener, hurried: bool, request: Request) -> Opened | Later:
        """Open the oldest connection that waits; without one, keep the request until one comes."""
        if listener.waiting:
            return Opened(self._accepted(listener.waiting.popleft(), listener, request))
        if hurried:
            raise Refused(e.EAGAIN)

        def give_up(given: Request) -> None:
            listener.accepting.remove(given)
            given.refuse(e.ECANCELED)

        request.on_cancel = give_up
        listener.accepting.append(request)
        return LATER

    def _accepted(self, end: End, listener: Listener, request: Request) -> int:
        socket = Socket(request.caller, f.O_RDWR)
        socket.name = listener.name
        socket.end = end
        end.number = self._add(socket)
        self._join(end)
        return end.number

    def _join(self, end: End) -> None:
        """Let both ends of an accepted connection talk."""
        end.accepted = end.peer.accepted = True
        self._post(end.peer, f.EVENT_WRITE)

    def _connect(self, socket: Socket, listener: Listener) -> int:
        """Connect a new socket to a listener; return the socket's handle."""
        number = self._add(socket)
        try:
            self._attach(socket, number, listener)
        except Refused:
            del self._handles[number]
            raise
        return number

    def _attach(self, socket: Socket, number: int, listener: Listener) -> None:
        """Make the handle `number` the client of a connection that comes in at `listener`."""
        if listener.closed or len(listener.waiting) >= BACKLOG:
            raise Refused(e.ECONNREFUSED)
        socket.end, theirs = pair(socket.caller, listener.owner)
        socket.end.number = number
        self._arrive(theirs, listener)

    def _arrive(self, end: End, listener: Listener) -> None:
        if listener.accepting:
            request = listener.accepting.popleft()
            request.on_cancel = None
            request.answer(Opened(self._accepted(end, listener, request)))
            return
        listener.waiting.append(end)
        for number in listener.handles:
            self.post_fevent(number, _BOTH)

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened | Foreign | Later:
        """Accept ("listen"), connect to this listener ("connect"), or give a listener a name."""
        socket = self._socket(handle)
        listener = socket.listener
        if listener is None:
            raise Refused(e.EINVAL)
        match bytes(name):
            case b"listen":
                return self._accept(listener, bool(socket.flags & f.O_NONBLOCK), request)
            case b"connect":
                client = Socket(request.caller, f.O_RDWR)
                client.name = listener.name
                return Opened(self._connect(client, listener))
            case other:
                path = self._resolve(0, other.decode("utf-8", "surrogateescape"))
                if not path or path.startswith(LISTEN) or listener.name:
                    raise Refused(e.EINVAL)
                if path in self._listeners:
                    raise Refused(e.EEXIST)
                again = Socket(request.caller, socket.flags)
                again.listener = listener
                listener.name = socket.name = again.name = path
                self._listeners[path] = listener
                number = self._add(again)
                listener.handles.add(number)
                return Opened(number)

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes:
        """Return what has come; empty once the other end is closed."""
        socket = self._socket(handle)
        found = self._receive(self._end(handle, socket), size)
        if found is None:
            return b""
        # Plain reads have no room for descriptors, and Unix sockets drop them too.
        close_all(found.fds)
        return found.data

    def _receive(self, end: End, size: int) -> Message | None:
        """Take what has come; None at the end."""
        if not len(end.inbox):
            if end.at_end:
                return None
            raise Refused(e.EWOULDBLOCK)
        was_full = not end.inbox.room
        found = end.inbox.stream(size)
        if was_full:
            self._post(end.peer, f.EVENT_WRITE)
        return found

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Send as much as there is room for; EPIPE once nobody will read it."""
        return self._send(self._end(handle, self._socket(handle)), data, (), request)

    def _send(
        self, end: End, data: memoryview, fds: tuple[int, ...], request: Request, source: str = ""
    ) -> int:
        if end.broken:
            raise Refused(e.EPIPE)
        inbox = end.peer.inbox
        room = inbox.room
        if not end.accepted or not room:
            raise Refused(e.EWOULDBLOCK)
        taken = memoryview(bytes(data[:room]))
        if len(taken) or fds:
            inbox.put(Message(taken, fds, request.caller, raw(source)))
            self._post(end.peer, f.EVENT_READ)
        return len(taken)

    def _end(self, handle: int, socket: Socket) -> End:
        """Return a handle's connection; a listener's is its first, once there is one."""
        if socket.end is None:
            listener = socket.listener
            if listener is None:
                raise Refused(e.ENOTCONN)
            if not listener.waiting:
                raise Refused(e.EWOULDBLOCK)
            socket.end = listener.waiting.popleft()
            socket.end.number = handle
            self._join(socket.end)
        return socket.end

    # -- facts -------------------------------------------------------------------------------------

    def fevent(self, handle: int, mask: int) -> int:
        """Tell what would not wait; a listener can be read when a connection has come.

        Nobody writes to a listener: who asks whether it can be written wants it to be the
        connection, as poll(2) does for programs that only know files.
        """
        if handle in self._looks:
            return mask
        socket = self._socket(handle)
        listener = socket.listener
        if socket.end is None and listener is not None:
            if not listener.waiting:
                return 0
            if not mask & f.EVENT_WRITE:
                return mask & f.EVENT_READ
            return self._end(handle, socket).ready() & mask
        return socket.end.ready() & mask if socket.end is not None else 0

    def _names(self) -> Collection[str]:
        return self._listeners.keys()

    def _owner(self, name: str) -> int:
        try:
            return self._listeners[name].owner.uid
        except KeyError:
            raise Refused(e.ENOENT) from None

    # -- the end -----------------------------------------------------------------------------------

    def _ended(self, number: int, socket: Socket) -> None:
        if socket.end is not None:
            self._close_end(socket.end)
        close_all(socket.outgoing)
        close_all(socket.fetched)
        listener = socket.listener
        if listener is None:
            return
        listener.handles.discard(number)
        if listener.handles:
            return
        listener.closed = True
        if self._listeners.get(listener.name) is listener:
            del self._listeners[listener.name]
        for end in listener.waiting:
            self._close_end(end)
        for request in listener.accepting:
            request.on_cancel = None
            request.refuse(e.ECONNABORTED)
        listener.waiting.clear()
        listener.accepting.clear()

    def _close_end(self, end: End) -> None:
        end.closed = True
        end.inbox.close()
        self._post(end.peer, _BOTH)

    def _post(self, end: End, flags: int) -> None:
        if end.number >= 0 and not end.closed:
            self.post_fevent(end.number, flags)


class ChanScheme(StreamScheme):
    """The scheme `chan`: streams by name, and nothing but bytes in them."""

    name = "chan"
