"""The scheme `netcfg`: the network's configuration as text.

What is written is read line by line and takes effect with fsync or close; then the handle has done
its work, and answers EBADF.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from daemons.smolnetd.nodes import Node, Tree
from daemons.smolnetd.sockets import refused
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Bytes, Entry, Opened, Scheme

log = logging.getLogger(__name__)

_WRITTEN_MOST: Final = 4096  # bytes of one writing
_BLOCK: Final = 4096


@dataclass(eq=False)
class _File:
    """One handle; a directory has no node."""

    path: str
    node: Node | None
    text: bytes = b""
    is_news: bool = True  # the text has changed since it was read
    written: bytearray = field(default_factory=bytearray)  # what is no whole line yet
    values: list[Any] = field(default_factory=list)
    taken: int = 0  # bytes that were written
    is_done: bool = False


class NetcfgScheme(Scheme):
    """The tree of `nodes.Tree`, for all to read and root to write."""

    name = "netcfg"

    def __init__(self, tree: Tree) -> None:
        self._tree: Final = tree
        self._files: Final[dict[int, _File]] = {}
        self._next = ROOT + 1

    def changed(self) -> None:
        """Tell whoever reads a file whose content has changed, or lists such a directory."""
        shown: dict[str, bytes] = {}
        for number, file in list(self._files.items()):
            if file.node is not None and file.node.show is None:
                continue
            if file.path not in shown:
                shown[file.path] = self._content(file)
            if shown[file.path] != file.text:
                file.is_news = True
                self.post_fevent(number, f.EVENT_READ)

    def _content(self, file: _File) -> bytes:
        """Return what a file says, or the names in a directory."""
        if file.node is not None:
            return _shown(file.node)
        return "\n".join(self._tree.folder(file.path) or ()).encode()

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a file or a directory; writing is root's (EACCES)."""
        path = path.strip("/")
        if parent != ROOT:
            above = self._file(parent)
            if above.node is not None:
                raise Refused(e.ENOTDIR)
            path = "/".join(part for part in (above.path, path) if part)
        node = None
        if self._tree.folder(path) is None:
            node = self._tree.node(path)
            if not flags & f.O_STAT:
                self._check(node, flags, request)
        elif not flags & (f.O_STAT | f.O_DIRECTORY) or flags & f.O_ACCMODE == f.O_WRONLY:
            raise Refused(e.EISDIR)
        number, self._next = self._next, self._next + 1
        file = self._files[number] = _File(path, node)
        if not flags & f.O_STAT:
            file.text = self._content(file)
        return Opened(number, 0 if node is None else POSITIONED)

    @staticmethod
    def _check(node: Node, flags: int, request: Request) -> None:
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if flags & f.O_WRONLY:
            if request.caller.uid:
                raise Refused(e.EACCES)
            if node.parse is None:
                raise Refused(e.EROFS)
        elif node.show is None:
            raise Refused(e.EACCES)

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List a directory."""
        path = "" if handle == ROOT else self._file(handle).path
        names = self._tree.folder(path)
        if names is None:
            raise Refused(e.ENOTDIR)
        if handle != ROOT:
            file = self._file(handle)
            file.text, file.is_news = self._content(file), False
        prefix = f"{path}/" if path else ""
        return [
            Entry(name, f.DT_REG if self._tree.folder(prefix + name) is None else f.DT_DIR)
            for name in names
        ]

    def fpath(self, handle: int) -> str:
        """Return `/scheme/netcfg/…`."""
        path = "" if handle == ROOT else self._file(handle).path
        return f"/scheme/{self.name}/{path}".rstrip("/")

    def fstat(self, handle: int) -> Stat:
        """Describe a file or a directory; all are root's."""
        node = None if handle == ROOT else self._file(handle).node
        if node is None:
            return Stat(st_mode=MODE_DIR | 0o755, st_nlink=2, st_blksize=_BLOCK)
        size = len(_shown(node)) if node.show is not None else 0
        return Stat(st_mode=MODE_FILE | node.mode, st_nlink=1, st_size=size, st_blksize=_BLOCK)

    def fsize(self, handle: int) -> int:
        """Return the length of the text."""
        return self.fstat(handle).st_size

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: what is written begins anew each time."""
        self._file(handle)

    def fevent(self, handle: int, mask: int) -> int:
        """Be readable when there is something to read that was not read yet; always writable."""
        file = self._file(handle)
        return mask & (f.EVENT_WRITE | (f.EVENT_READ if file.is_news else 0))

    def on_close(self, handle: int) -> None:
        """Forget the handle; what it wrote takes effect."""
        file = self._files.pop(handle)
        try:
            self._commit(file)
        except Refused as refusal:
            log.warning("netcfg/%s: what was written has no effect: %s", file.path, refusal)

    def _file(self, handle: int) -> _File:
        try:
            return self._files[handle]
        except KeyError:
            raise Refused(e.EBADF) from None

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes:
        """Return the text; from its beginning, as it is now."""
        file = self._file(handle)
        if file.is_done:
            raise Refused(e.EBADF)
        if file.node is None:
            raise Refused(e.EISDIR)
        if not offset and file.node.show is not None:
            file.text = _shown(file.node)
        file.is_news = False
        return file.text[offset : offset + size]

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Take lines; EINVAL for one that means nothing, or for one too many."""
        file = self._file(handle)
        if file.is_done or file.node is None or file.node.parse is None:
            raise Refused(e.EBADF)
        file.taken += len(data)
        if file.taken > _WRITTEN_MOST:
            raise Refused(e.EINVAL)
        file.written += data
        while b"\n" in file.written:
            line, _, rest = bytes(file.written).partition(b"\n")
            file.written.clear()  # what stands behind a line that is refused is not taken either
            self._take(file, line)
            file.written += rest
        return len(data)

    @staticmethod
    def _take(file: _File, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if not text or file.node is None or file.node.parse is None:
            return
        if len(file.values) >= file.node.most:
            raise Refused(e.EINVAL)
        file.values.append(file.node.parse(text))

    def fsync(self, handle: int, request: Request) -> None:
        """Let what was written take effect."""
        self._commit(self._file(handle))

    def _commit(self, file: _File) -> None:
        if file.is_done or file.node is None or file.node.commit is None:
            return
        rest = bytes(file.written)
        file.written.clear()
        self._take(file, rest)
        if not file.values:
            return
        file.is_done = True
        try:
            file.node.commit(file.values)
        except OSError as error:
            raise refused(error) from error
        self.changed()


def _shown(node: Node) -> bytes:
    if node.show is None:
        return b""
    try:
        return node.show().encode()
    except Refused:  # its adapter has left
        return b""
