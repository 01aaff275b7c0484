"""The scheme `log`: lines with the name of who wrote them.

```
/scheme/log/NAME        written: lines of NAME; read: those of them that are kept, then the end
           /all         read: everything that is kept, then the end
           /live        read: the last 1000 lines, then each line as it comes
           /add_sink    takes a pipe or a socket by sendfd, which gets what `live` reads
```

Any name can be opened; those that have written are listed.  On Redox `/scheme/log` itself is opened
for a writer without a name: through the ring that works here too.  Everyone may write, root reads:
what is in a log is not everyone's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import ClassVar, Final

from daemons.logd.lines import Lines
from daemons.logd.reader import Reader
from daemons.logd.sinks import Sinks
from daemons.logd.store import NAME_MOST, Store
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request, Unheard
from redbear_host.scheme.scheme import ROOT, Entry, Opened, Scheme

_BLOCK: Final = 4096
_LINES_MOST: Final = 4096  # of one write: a mebibyte of newlines would stop the log for a second
_TAKEN: Final = frozenset(range(32)) | {0x2F, 0x7F}  # bytes that no name holds


class Kind(Enum):
    """What a path stands for."""

    FOLDER = auto()
    WRITER = auto()
    ALL = auto()
    LIVE = auto()
    ADD_SINK = auto()


_FILES: Final = {"all": Kind.ALL, "live": Kind.LIVE, "add_sink": Kind.ADD_SINK}
_MODES: Final = {
    Kind.FOLDER: MODE_DIR | 0o755,
    Kind.WRITER: MODE_CHR | 0o622,
    Kind.ALL: MODE_CHR | 0o400,
    Kind.LIVE: MODE_CHR | 0o400,
    Kind.ADD_SINK: MODE_CHR | 0o200,
}


class _Handle:
    __slots__ = ("kind", "lines", "name", "path", "reader")

    def __init__(self, kind: Kind, path: str) -> None:
        self.kind: Final = kind
        self.path: Final = path
        self.name: Final = path.encode("utf-8", "surrogateescape")
        self.lines: Lines | None = None  # when it may write
        self.reader: Reader | None = None  # when it may read


class LogScheme(Scheme):
    """The lines of `store`, which go to `sinks` as well.

    It `reopens`: a writer goes on writing, a reader goes on with what comes.  It does not replay: a
    line that is written when logd dies is lost or there twice, and EIO says so.
    """

    name = "log"
    reopens: ClassVar[bool] = True

    def __init__(self, store: Store, sinks: Sinks) -> None:
        self._store: Final = store
        self._sinks: Final = sinks
        self._handles: Final[dict[int, _Handle]] = {}
        self._live: Final[set[int]] = set()
        self._next = ROOT + 1

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open the directory, a writer by any name, or one of the files that read."""
        path = path.strip("/")
        if parent != ROOT and self._handle(parent).kind is not Kind.FOLDER:
            raise Refused(e.ENOTDIR)
        handle = _Handle(_kind(path, flags), path)
        if not flags & f.O_STAT:
            self._give(handle, flags, request)
        number, self._next = self._next, self._next + 1
        self._handles[number] = handle
        if handle.kind is Kind.LIVE and handle.reader is not None:
            self._live.add(number)
        return Opened(number)

    def _give(self, handle: _Handle, flags: int, request: Request) -> None:
        """Give a handle what it was opened for."""
        reads, writes = bool(flags & f.O_RDONLY), bool(flags & f.O_WRONLY)
        kind, store = handle.kind, self._store
        if kind is Kind.FOLDER:
            if writes:
                raise Refused(e.EISDIR)
            return
        if reads and request.caller.uid != 0:
            raise Refused(e.EACCES)
        if kind is Kind.WRITER:
            if writes:
                handle.lines = Lines()
        elif kind is Kind.ADD_SINK:
            if request.caller.uid != 0:
                raise Refused(e.EACCES)
            return
        elif writes:
            raise Refused(e.EACCES)
        if not reads:
            return
        start = store.start
        if isinstance(request, Unheard):
            start = store.end  # its client had read up to somewhere; what comes is new to it
        elif kind is Kind.LIVE:
            start = store.recent[0] if store.recent else store.end
        handle.reader = Reader(store, start, handle.name if kind is Kind.WRITER else None)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/log/…`."""
        return f"/scheme/{self.name}/{self._handle(handle).path}".rstrip("/")

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the files that read, and who has written."""
        if self._handle(handle).kind is not Kind.FOLDER:
            raise Refused(e.ENOTDIR)
        names = [name.decode("utf-8", "surrogateescape") for name in self._store.names]
        return [Entry(name, f.DT_REG) for name in (*_FILES, *names)]

    def on_close(self, handle: int) -> None:
        """Forget the handle; a line that never got its newline is one now."""
        closed = self._handles.pop(handle)
        self._live.discard(handle)
        if closed.lines is not None:
            rest = list(closed.lines.finish())
            if rest:
                self._append(closed.name, rest)

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Read lines on from where the handle is; `live` waits for more."""
        opened = self._handle(handle)
        if opened.reader is None:
            raise Refused(e.EISDIR if opened.kind is Kind.FOLDER else e.EBADF)
        data = opened.reader.read(size)
        if not data and size and opened.kind is Kind.LIVE:
            raise Refused(e.EWOULDBLOCK)
        return data

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Take lines, or parts of one; of very many not all."""
        opened = self._handle(handle)
        if opened.lines is None:
            # Only a descriptor can be handed to add_sink, and bytes are none.
            raise Refused(e.EOPNOTSUPP if opened.kind is Kind.ADD_SINK else e.EBADF)
        taken = _some(bytes(data))
        whole = list(opened.lines.take(request.caller.pid, taken))
        if whole:
            self._append(opened.name, whole)
        return len(taken)

    def _append(self, name: bytes, lines: Sequence[bytes]) -> None:
        for line in lines:
            self._store.append(name, line)
        self._sinks.feed()
        for handle in self._live:
            self.post_fevent(handle, f.EVENT_READ)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: what was logged stays, and `> /scheme/log/NAME` is how shells write."""
        if self._handle(handle).lines is None:
            raise Refused(e.EBADF)

    def on_sendfd(
        self, handle: int, fds: Sequence[int], flags: int, argument: int, request: Request
    ) -> int:
        """Add sinks: the last 1000 lines go to them, then each line as it comes."""
        if self._handle(handle).kind is not Kind.ADD_SINK:
            raise Refused(e.EOPNOTSUPP)
        if len(fds) != 1:
            raise Refused(e.EINVAL)  # of several, some might be taken and some not
        self._sinks.add(fds[0])
        return 0

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a file or the directory."""
        kind = self._handle(handle).kind
        links = 2 if kind is Kind.FOLDER else 1
        return Stat(st_mode=_MODES[kind], st_nlink=links, st_blksize=_BLOCK)

    def fevent(self, handle: int, mask: int) -> int:
        """Be ready to write always, and to read unless `live` has nothing new."""
        opened = self._handle(handle)
        if opened.kind is not Kind.LIVE or opened.reader is None or opened.reader.behind:
            return mask
        return mask & ~f.EVENT_READ

    def _handle(self, handle: int) -> _Handle:
        if handle == ROOT:
            return _Handle(Kind.FOLDER, "")
        try:
            return self._handles[handle]
        except KeyError:
            raise Refused(e.EBADF) from None


def _some(data: bytes) -> bytes:
    """Return what one write takes."""
    if data.count(b"\n") <= _LINES_MOST:
        return data
    return data[: -len(data.split(b"\n", _LINES_MOST)[-1])]


def _kind(path: str, flags: int) -> Kind:
    """Say what a path stands for; `Refused` if it can be no name."""
    if not path:
        return Kind.WRITER if flags & f.O_WRONLY and not flags & f.O_DIRECTORY else Kind.FOLDER
    if flags & f.O_DIRECTORY:
        raise Refused(e.ENOTDIR)
    name = path.encode("utf-8", "surrogateescape")
    if len(name) > NAME_MOST:
        raise Refused(e.ENAMETOOLONG)
    if not _TAKEN.isdisjoint(name):
        raise Refused(e.EINVAL if b"/" not in name else e.ENOTDIR)
    return _FILES.get(path, Kind.WRITER)
