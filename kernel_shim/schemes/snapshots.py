"""A scheme of small files whose text is made when somebody looks, as Redox's `sys` and `proc`."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import ClassVar, Final, TypeAlias
from zlib import crc32

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller, Later, Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Entry, Opened, Scheme

Make: TypeAlias = Callable[[Caller], bytes]
Take: TypeAlias = Callable[[bytes, Caller], None]

_BLOCK: Final = 4096


@dataclass(frozen=True)
class File:
    """A file: what it holds for whom, and what writing to it does."""

    make: Make | None = None  # None: it cannot be read
    take: Take | None = None  # None: it cannot be written
    mode: int = 0o444
    root_only: bool = False


@dataclass(frozen=True)
class Folder:
    """A directory: the names in it, and what they are."""

    names: Callable[[Caller], Sequence[str]]
    folders: frozenset[str] = frozenset()  # those of them that are folders; others are files
    all_folders: bool = False


Node: TypeAlias = File | Folder


def fixed(entries: Mapping[str, Node]) -> Folder:
    """Return a folder of exactly these names."""
    names = list(entries)
    folders = frozenset(name for name, node in entries.items() if isinstance(node, Folder))
    return Folder(lambda caller: names, folders)


class _Handle:
    __slots__ = ("caller", "data", "node", "path", "writable")

    def __init__(self, path: str, node: Node, caller: Caller, writable: bool) -> None:
        self.path: Final = path
        self.node: Final = node
        self.caller: Final = caller
        self.writable: Final = writable
        self.data: bytes | None = None  # made at the first look


class Snapshots(Scheme):
    """What a file says is fixed at the handle's first read or stat; open again for news."""

    replays: ClassVar[bool] = False
    reopens: ClassVar[bool] = True

    def __init__(self) -> None:
        self._handles: Final[dict[int, _Handle]] = {}
        self._numbers: Final = count(1)

    @abstractmethod
    def find(self, path: str, caller: Caller) -> Node:
        """Return what is at `path`; raises `Refused`(ENOENT) where nothing is."""

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened | Later:
        """Open a file or folder; who may read or write is decided here."""
        if parent != ROOT:
            base = self._get(parent).path
            path = f"{base}/{path}" if base and path else base or path
        node = self.find(path.strip("/"), request.caller)
        writes = bool(flags & f.O_WRONLY & f.O_ACCMODE) and not flags & f.O_STAT
        if not flags & f.O_STAT:
            _check(node, flags, request.caller)
        handle = next(self._numbers)
        self._handles[handle] = _Handle(path.strip("/"), node, request.caller, writes)
        return Opened(handle, POSITIONED)

    def _get(self, handle: int) -> _Handle:
        found = self._handles.get(handle)
        if found is None:
            raise Refused(e.EBADF)
        return found

    def _data(self, handle: _Handle) -> bytes:
        if handle.data is None:
            node = handle.node
            readable = isinstance(node, File) and node.make is not None
            make = node.make if isinstance(node, File) else None
            handle.data = make(handle.caller) if readable and make is not None else b""
        return handle.data

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return a part of the text."""
        found = self._get(handle)
        if isinstance(found.node, Folder):
            raise Refused(e.EISDIR)
        if found.node.make is None:
            raise Refused(e.EBADF)
        return self._data(found)[offset : offset + size]

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Hand over what was written, as one piece."""
        found = self._get(handle)
        if not isinstance(found.node, File) or found.node.take is None or not found.writable:
            raise Refused(e.EBADF)
        found.node.take(bytes(data), request.caller)
        return len(data)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Accept: what can be written here has no content that could be cut."""
        found = self._get(handle)
        if not isinstance(found.node, File) or found.node.take is None:
            raise Refused(e.EINVAL)

    def fstat(self, handle: int) -> Stat:
        """Describe it; the size is that of the text."""
        found = self._get(handle)
        now = int(time.time())
        inode = crc32(f"{self.name}/{found.path}".encode("utf-8", "surrogateescape")) + 1
        if isinstance(found.node, Folder):
            return Stat(
                st_mode=MODE_DIR | 0o555, st_ino=inode, st_nlink=2, st_mtime=now, st_ctime=now
            )
        size = len(self._data(found))
        return Stat(
            st_mode=MODE_FILE | found.node.mode,
            st_ino=inode,
            st_nlink=1,
            st_size=size,
            st_blksize=_BLOCK,
            st_blocks=-(-size // _BLOCK),
            st_mtime=now,
            st_atime=now,
            st_ctime=now,
        )

    def fsize(self, handle: int) -> int:
        """Return the length of the text."""
        return len(self._data(self._get(handle)))

    def fpath(self, handle: int) -> str:
        """Return `/scheme/NAME/…`."""
        path = self._get(handle).path
        return f"/scheme/{self.name}/{path}"

    def fevent(self, handle: int, mask: int) -> int:
        """Files never make anyone wait."""
        self._get(handle)
        return mask

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List a folder."""
        found = self._get(handle)
        if not isinstance(found.node, Folder):
            raise Refused(e.ENOTDIR)
        folder = found.node
        return [
            Entry(name, f.DT_DIR if folder.all_folders or name in folder.folders else f.DT_REG)
            for name in folder.names(request.caller)
        ]

    def on_close(self, handle: int) -> None:
        """Forget the handle."""
        self._handles.pop(handle, None)


def _check(node: Node, flags: int, caller: Caller) -> None:
    """Decide whether `caller` may open `node` so."""
    access = flags & f.O_ACCMODE
    if isinstance(node, Folder):
        if access & f.O_WRONLY:
            raise Refused(e.EISDIR)
        return
    if flags & f.O_DIRECTORY:
        raise Refused(e.ENOTDIR)
    if node.root_only and caller.uid != 0:
        raise Refused(e.EPERM)
    if access & f.O_WRONLY and node.take is None:
        raise Refused(e.EROFS)
    if access & f.O_RDONLY and node.make is None and not access & f.O_WRONLY:
        raise Refused(e.EACCES)
