"""What `tcp`, `udp`, `icmp` and `ip` have in common: names, handles, settings and waiting."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

from daemons.smolnetd.addresses import Endpoint
from daemons.smolnetd.handles import TIMEOUTS, Handle, Look, Setting, Waiter
from daemons.smolnetd.poller import Poller, ready
from daemons.smolnetd.quota import Quota
from daemons.smolnetd.stack import Stack
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_SOCK, Stat, TimeSpec
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER, Later, Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Bytes, Entry, Opened, Scheme

PRIVILEGED_MOST: Final = 1024  # ports up to this one are root's, as on Redox
_BLOCK: Final = 4096
_SCRATCH: Final = 1 << 20  # bytes of one read
_SECONDS_MOST: Final = 1 << 31
_F_GETFL, _F_SETFL = 3, 4

H = TypeVar("H", bound=Handle)


class SocketScheme(Scheme, Generic[H]):
    """Handles that are sockets of a stack.

    It neither reopens nor replays: connections may outlive this daemon no more than its process.
    """

    folders: Collection[str] = ()  # besides the root
    settings: Collection[str] = ("hop_limit", *TIMEOUTS)  # by dup

    def __init__(self, stack: Stack, poller: Poller, quota: Quota | None = None) -> None:
        self.stack: Final = stack
        self.quota: Final = quota or Quota()
        self.poller: Final = poller
        self.handles: Final[dict[int, H]] = {}
        self._looks: Final[dict[int, Look]] = {}
        self._settings: Final[dict[int, Setting]] = {}
        self._next = ROOT + 1
        # One for all reads: what a read returns is copied before the next one begins.
        self.scratch: Final = memoryview(bytearray(_SCRATCH))

    # -- names -------------------------------------------------------------------------------------

    def check(self, path: str) -> None:
        """Refuse a path that is no name of a socket of this scheme."""
        raise Refused(e.ENOENT)

    def resolve(self, parent: int, path: str) -> str:
        """Return a path from the root; only directories have names below them."""
        path = path.strip("/")
        if parent == ROOT:
            return path
        above = self._looks.get(parent)
        if above is None or not above.is_folder:
            raise Refused(e.ENOTDIR)
        return "/".join(part for part in (above.path, path) if part)

    def looked_at(self, path: str, flags: int) -> Opened | None:
        """Open a directory, or a name with O_STAT; None for an open that does something."""
        folder = path in self.folders or (not path and bool(flags & (f.O_DIRECTORY | f.O_STAT)))
        if folder:
            if flags & f.O_ACCMODE == f.O_WRONLY:
                raise Refused(e.EISDIR)
            return self._look(Look(path, True))
        if path:
            self.check(path)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        return self._look(Look(path, False)) if flags & f.O_STAT else None

    def _look(self, look: Look) -> Opened:
        number = self._number()
        self._looks[number] = look
        return Opened(number)

    def _number(self) -> int:
        number, self._next = self._next, self._next + 1
        return number

    def add(self, handle: H) -> Opened:
        """Give a handle its number."""
        handle.number = self._number()
        self.handles[handle.number] = handle
        return Opened(handle.number)

    def handle(self, number: int) -> H:
        """Return what a number stands for."""
        try:
            return self.handles[number]
        except KeyError:
            raise Refused(e.EISDIR if number in self._looks else e.EBADF) from None

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List what is in a directory: directories only, as the names of sockets are endless."""
        look = Look("", True) if handle == ROOT else self._looks.get(handle)
        if look is None or not look.is_folder:
            raise Refused(e.ENOTDIR)
        return [] if look.path else [Entry(name, f.DT_DIR) for name in self.folders]

    def fpath(self, handle: int) -> str:
        """Return `/scheme/NAME/…`."""
        look = self._looks.get(handle)
        path = self.path_of(self.handle(handle)) if look is None else look.path
        return f"/scheme/{self.name}/{path}".rstrip("/")

    def path_of(self, handle: H) -> str:
        """Return a socket's path as it is now."""
        return handle.path

    def fstat(self, handle: int) -> Stat:
        """Describe a socket, which is everyone's to open, or a directory."""
        look = Look("", True) if handle == ROOT else self._looks.get(handle)
        if look is not None and look.is_folder:
            return Stat(st_mode=MODE_DIR | 0o555, st_nlink=2, st_blksize=_BLOCK)
        if handle in self.handles:
            who = self.handles[handle].caller
            return Stat(st_mode=MODE_SOCK | 0o666, st_nlink=1, st_uid=who.uid, st_gid=who.gid)
        if look is None and handle not in self._settings:
            raise Refused(e.EBADF)
        return Stat(st_mode=MODE_SOCK | 0o666, st_nlink=1, st_blksize=_BLOCK)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: shells write with `>`, which truncates."""
        if handle not in self._looks:
            self.handle(handle)

    def fcntl(self, handle: int, command: int, argument: int, request: Request) -> int:
        """Keep the flags of a handle: O_NONBLOCK decides whether it waits."""
        found = self.handle(handle)
        if command == _F_GETFL:
            return found.flags
        if command != _F_SETFL:
            raise Refused(e.EINVAL)
        found.flags = found.flags & ~f.O_FCNTL_MASK | argument & f.O_FCNTL_MASK
        return 0

    def fevent(self, handle: int, mask: int) -> int:
        """Tell what would not wait."""
        if handle in self._looks or handle in self._settings:
            return mask
        sock = self.handle(handle).sock
        return ready(sock.fileno()) & mask if sock is not None else 0

    def on_close(self, handle: int) -> None:
        """Forget the handle."""
        if self._looks.pop(handle, None) is None and self._settings.pop(handle, None) is None:
            gone = self.handles.pop(handle)
            for waiter in gone.waiters:
                waiter.timer.cancel()
            self.ended(gone)
            gone.sock = None  # its settings may still be open

    def ended(self, handle: H) -> None:
        """Let go of what a handle stood for."""

    # -- sockets -----------------------------------------------------------------------------------

    def make(
        self, family: int, kind: int, request: Request, protocol: int = 0, zone: str = ""
    ) -> socket.socket:
        """Make a socket, bound to an interface if one is named; EMFILE for one too many."""
        uid = request.caller.uid
        self.quota.check(uid)
        try:
            sock = self.stack.socket(family, kind, protocol)
        except OSError as error:
            raise refused(error) from error
        if zone:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, zone.encode())
            except OSError as error:
                sock.close()
                raise refused(error) from error
        self.quota.count(sock, uid)
        return sock

    @staticmethod
    def may_bind(local: Endpoint, request: Request) -> None:
        """Refuse ports that are root's to everyone else."""
        if 0 < local.port <= PRIVILEGED_MOST and request.caller.uid:
            raise Refused(e.EACCES)

    def watch(self, sock: socket.socket, numbers: Callable[[], Collection[int]]) -> None:
        """Post an event on each of these handles when a socket becomes ready."""

        def on_edge(flags: int) -> None:
            for number in numbers():
                self.on_edge(number, flags)

        self.poller.add(sock.fileno(), on_edge)

    def on_edge(self, number: int, flags: int) -> None:
        """Run again what waits for a handle."""
        handle = self.handles.get(number)
        if handle is not None:
            for waiter in list(handle.waiters):
                self._try_again(handle, waiter)
        self.post_fevent(number, flags)

    def drop(self, sock: socket.socket) -> None:
        """Close a socket that was watched."""
        self.poller.remove(sock.fileno())
        sock.close()

    # -- waiting -----------------------------------------------------------------------------------

    def wait(
        self,
        handle: H,
        flags: int,
        timeout: float | None,
        request: Request,
        again: Callable[[], Any],
    ) -> Later:
        """Have a request run again when its socket is ready, or ETIMEDOUT; without, the door does.

        Raises EWOULDBLOCK for the door to keep the request, EAGAIN for who will not wait.
        """
        if timeout is None:
            raise Refused(e.EWOULDBLOCK)
        if (flags | handle.flags) & f.O_NONBLOCK:
            raise Refused(e.EAGAIN)
        loop = self.poller.loop
        waiter: Waiter

        def end(errno: int) -> None:
            handle.waiters.remove(waiter)
            waiter.timer.cancel()
            request.on_cancel = None
            request.refuse(errno)

        timer = loop.at(loop.now() + timeout, lambda: end(e.ETIMEDOUT))
        waiter = Waiter(request, again, timer)
        handle.waiters.append(waiter)
        request.on_cancel = lambda _: end(e.ECANCELED)
        return LATER

    def _try_again(self, handle: H, waiter: Waiter) -> None:
        try:
            result = waiter.again()
        except BlockingIOError:
            return
        except Refused as refusal:
            if refusal.errno == e.EWOULDBLOCK:
                return
            finish = partial(waiter.request.refuse, refusal.errno)
        except OSError as error:
            finish = partial(waiter.request.refuse, refused(error).errno)
        else:
            finish = partial(waiter.request.answer, result)
        handle.waiters.remove(waiter)
        waiter.timer.cancel()
        waiter.request.on_cancel = None
        finish()

    # -- settings ----------------------------------------------------------------------------------

    def setting(self, handle: H, name: bytes) -> Opened | None:
        """Open a setting of a socket by its name; None if there is none of that name."""
        text = name.decode("utf-8", "replace")
        if text not in self.settings:
            return None
        number = self._number()
        self._settings[number] = Setting(text, handle)
        return Opened(number, POSITIONED)

    def read_setting(self, number: int, size: int, offset: int) -> Bytes:
        """Return a setting's value; EBADF if the handle is none's."""
        setting = self._setting(number)
        return self._value(setting.name, setting.owner)[offset : offset + size]

    def _setting(self, number: int) -> Setting:
        try:
            return self._settings[number]
        except KeyError:
            raise Refused(e.EISDIR if number in self._looks else e.EBADF) from None

    @staticmethod
    def _value(name: str, owner: Handle) -> bytes:
        if name in TIMEOUTS:
            seconds = getattr(owner, name)
            if seconds is None:
                return b""
            whole, rest = divmod(round(seconds * 1e9), 1_000_000_000)
            return bytes(TimeSpec(tv_sec=whole, tv_nsec=rest))
        sock = _sock(owner)
        try:
            return bytes([sock.getsockopt(*_option(name, sock)) & 0xFF])
        except OSError as error:
            raise refused(error) from error

    def write_setting(self, number: int, data: memoryview) -> int:
        """Change a setting; return how many bytes it took; EBADF if the handle is none's."""
        name, owner = self._setting(number)
        if name in TIMEOUTS:
            setattr(owner, name, _seconds(data))
            return len(data)
        if len(data) != 1:
            raise Refused(e.EINVAL)
        sock = _sock(owner)
        try:
            sock.setsockopt(*_option(name, sock), data[0])
        except OSError as error:
            raise refused(error) from error
        return 1


def _sock(owner: Handle) -> socket.socket:
    if owner.sock is None:
        raise Refused(e.ENOTCONN)
    return owner.sock


def _option(name: str, sock: socket.socket) -> tuple[int, int]:
    if name == "nodelay":
        return socket.IPPROTO_TCP, socket.TCP_NODELAY
    if sock.family == socket.AF_INET6:
        return socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS
    return socket.IPPROTO_IP, socket.IP_TTL


def _seconds(data: memoryview) -> float | None:
    """Read a TimeSpec; fewer bytes mean for ever."""
    if len(data) < TimeSpec.size:
        return None
    given = TimeSpec.load(data)
    if not 0 <= given.tv_sec <= _SECONDS_MOST or not 0 <= given.tv_nsec < 1_000_000_000:
        raise Refused(e.EINVAL)
    return given.tv_sec + given.tv_nsec / 1e9


def refused(error: OSError) -> Refused:
    """Return what a client is told of an error of Linux's; the numbers are the same."""
    number = error.errno
    if number is None or number <= 0:
        number = e.EIO
    return Refused(number, os.strerror(number))
