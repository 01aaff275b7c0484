"""What the three socket schemes share: names as files, and handles that only look at them.

```
/scheme/chan/NAME            a listener: opened, it is connected to
            /.listen/NAME    the same; opened, it accepts the next connection
```
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from daemons.ipcd.ends import Socket
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_SOCK, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import ROOT, Entry, Opened, Scheme

NAME_MOST: Final = 255  # bytes
LISTEN: Final = ".listen"  # the directory of those that can be accepted from

_BLOCK: Final = 4096
_F_GETFL, _F_SETFL = 3, 4

S = TypeVar("S", bound=Socket)


class Look(NamedTuple):
    """A directory, or a name that is only looked at."""

    path: str
    is_folder: bool
    uid: int


class NamedScheme(Scheme, Generic[S]):
    """Handles by number, and names in a flat directory."""

    def __init__(self) -> None:
        self._handles: Final[dict[int, S]] = {}
        self._looks: Final[dict[int, Look]] = {}
        self._next = ROOT + 1

    def _add(self, socket: S) -> int:
        number, self._next = self._next, self._next + 1
        self._handles[number] = socket
        return number

    def _look(self, path: str, is_folder: bool, uid: int = 0) -> Opened:
        number, self._next = self._next, self._next + 1
        self._looks[number] = Look(path, is_folder, uid)
        return Opened(number)

    def _names(self) -> Collection[str]:
        raise Refused(e.ENOTDIR)

    def _owner(self, name: str) -> int:
        raise Refused(e.ENOENT)

    def _resolve(self, parent: int, path: str) -> str:
        """Return a path from the root; `Refused` if it can be none."""
        path = path.strip("/")
        if parent != ROOT:
            above = self._looks.get(parent)
            if above is None or not above.is_folder:
                raise Refused(e.ENOTDIR)
            path = "/".join(part for part in (above.path, path) if part)
        if len(raw(path)) > NAME_MOST:
            raise Refused(e.ENAMETOOLONG)
        name = path.removeprefix(f"{LISTEN}/")
        if "/" in name or "\0" in name:
            raise Refused(e.ENOENT)
        return path

    def _looked_at(self, path: str, flags: int) -> Opened | None:
        """Open a directory, or a name with O_STAT; None for an open that does something."""
        if path in ("", LISTEN) and not flags & f.O_CREAT:
            if flags & f.O_WRONLY:
                raise Refused(e.EISDIR)
            return self._look(path, True)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if flags & f.O_STAT:
            return self._look(path, False, self._owner(path.removeprefix(f"{LISTEN}/")))
        return None

    def fpath(self, handle: int) -> str:
        """Return `/scheme/NAME/…`."""
        look = self._looks.get(handle)
        path = self._socket(handle).name if look is None else look.path
        return f"/scheme/{self.name}/{path}".rstrip("/")

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the names; in the root, the directory to accept from as well."""
        look = Look("", True, 0) if handle == ROOT else self._looks.get(handle)
        if look is None or not look.is_folder:
            raise Refused(e.ENOTDIR)
        names = [Entry(name, f.DT_REG) for name in sorted(self._names()) if name]
        return names if look.path else [Entry(LISTEN, f.DT_DIR), *names]

    def fstat(self, handle: int) -> Stat:
        """Describe a socket, which everyone may connect to, or a directory."""
        look = Look("", True, 0) if handle == ROOT else self._looks.get(handle)
        if look is not None and look.is_folder:
            return Stat(st_mode=MODE_DIR | 0o777, st_nlink=2, st_blksize=_BLOCK)
        uid = look.uid if look is not None else self._socket(handle).caller.uid
        return Stat(st_mode=MODE_SOCK | 0o666, st_nlink=1, st_uid=uid, st_blksize=_BLOCK)

    def fcntl(self, handle: int, command: int, argument: int, request: Request) -> int:
        """Keep the flags of a handle: O_NONBLOCK decides whether accepting and sending waits."""
        socket = self._socket(handle)
        if command == _F_GETFL:
            return socket.flags
        if command != _F_SETFL:
            raise Refused(e.EINVAL)
        socket.flags = socket.flags & ~f.O_FCNTL_MASK | argument & f.O_FCNTL_MASK
        return 0

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: shells write with `>`, which truncates first."""
        self._socket(handle)

    def on_close(self, handle: int) -> None:
        """Forget the handle."""
        if self._looks.pop(handle, None) is None:
            self._ended(handle, self._handles.pop(handle))

    def _ended(self, number: int, socket: S) -> None:
        """Let go of what a handle stood for."""

    def _socket(self, handle: int) -> S:
        try:
            return self._handles[handle]
        except KeyError:
            raise Refused(e.EISDIR if handle in self._looks else e.EBADF) from None


def raw(name: str) -> bytes:
    """Return a name's bytes as they came."""
    return name.encode("utf-8", "surrogateescape")
