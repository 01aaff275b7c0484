"""Making, moving and removing names: FUSE's operations in Redox's terms.

Redox makes things by opening them: a directory with O_CREAT | O_DIRECTORY, a link with
O_CREAT | O_SYMLINK, whose target is then written to it.  It moves and links what is open.

None of this may be done twice.  A successor that finds such a request in the journal runs it again
(if the scheme `replays`) and judges by what it finds whether its predecessor had got that far.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER, Unheard
from redbear_host.scheme.scheme import ROOT, Opened, Scheme
from schemefs import protocol as p
from schemefs.connection import Connection
from schemefs.names import LOOK, Names, at_once
from schemefs.nodes import Nodes
from schemefs.request import FuseRequest

_MODE: Final = 0o7777  # what an open that creates carries of a mode
_TARGET_MAX: Final = 4095  # bytes in a link; PATH_MAX counts a NUL as well
_MAKE: Final = f.O_CREAT | f.O_EXCL
_LINK_ITSELF: Final = f.O_SYMLINK | f.O_NOFOLLOW


class Making:
    """Handlers for the operations of a door that make, move or remove a name."""

    def __init__(self, connection: Connection, scheme: Scheme, nodes: Nodes, names: Names) -> None:
        self._connection: Final = connection
        self._scheme: Final = scheme
        self._nodes: Final = nodes
        self._names: Final = names

    # -- making ----------------------------------------------------------------------------------

    def mkdir(self, request: FuseRequest) -> Opened:
        """Make a directory."""
        mode, umask = p.MKDIR_IN.unpack_from(request.body)
        return self._make(request, f.O_DIRECTORY | f.O_RDONLY | mode & _MODE & ~umask)

    def mknod(self, request: FuseRequest) -> Opened:
        """Make a file; Redox's opens make nothing else (FIFOs, sockets, devices: EPERM)."""
        mode, _, umask, _ = p.MKNOD_IN.unpack_from(request.body)
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise Refused(e.EPERM)
        return self._make(request, f.O_RDONLY | mode & _MODE & ~umask)

    def symlink(self, request: FuseRequest) -> Opened:
        """Make a link; its target is written when it is there."""
        _, target = _names_in(request, 0, 2)
        if len(target) > _TARGET_MAX:
            raise Refused(e.ENAMETOOLONG)
        return self._make(request, f.O_SYMLINK | f.O_WRONLY | 0o777)

    def _make(self, request: FuseRequest, flags: int) -> Opened:
        path = self._path_of_new(request)
        try:
            opened = self._scheme.openat(ROOT, path, flags | _MAKE, 0, request)
        except Refused as refusal:
            if not request.replayed or refusal.errno != e.EEXIST:
                raise
            return self._made_before(path, flags, request)
        return at_once(opened)

    def _path_of_new(self, request: FuseRequest) -> str:
        return self._names.below(request.node, self._new_name(request))

    @staticmethod
    def _new_name(request: FuseRequest) -> bytes:
        at = _FIRST_NAME[request.opcode]
        return _names_in(request, at, 1)[0]

    def _made_before(self, path: str, flags: int, request: FuseRequest) -> Opened:
        """Go on with the link a predecessor made.

        A file or directory that is there now may be somebody else's, and two programs that both
        think they made it (a lock) are worse than one with an error.
        """
        if request.opcode == p.SYMLINK:
            _, target = _names_in(request, 0, 2)
            if self._target(path, request) in (b"", target):
                again = self._scheme.openat(ROOT, path, flags & ~_MODE | _LINK_ITSELF, 0, request)
                return at_once(again)
        raise Refused(e.EIO)

    def finish_make(self, request: FuseRequest, opened: Opened) -> None:
        """Describe what was made to the kernel, and let go of it."""
        scheme = self._scheme
        try:
            if request.opcode == p.SYMLINK:
                target = memoryview(_names_in(request, 0, 2)[1])
                scheme.write(opened.handle, target, 0, 0, Unheard(request.caller))
            found = scheme.fstat(opened.handle)
            plain = request.opcode != p.MKDIR
            node = self._nodes.remember(request.node, self._new_name(request), plain)
        except Refused as refusal:
            self._connection.refuse(request, refusal.errno)
            return
        finally:
            scheme.on_close(opened.handle)
        self._connection.reply(request, self._names.entry_out(node, found))

    def link(self, request: FuseRequest) -> bytes:
        """Give a file one more name; the two are two nodes with one inode number."""
        (old,) = p.LINK_IN.unpack_from(request.body)
        source, path = self._nodes.path(old), self._path_of_new(request)
        try:
            self._on_open(source, request, lambda n: self._scheme.flink(n, path, request))
        except Refused as refusal:
            if not request.replayed or refusal.errno != e.EEXIST:
                raise
            if not _same(self._names.look(source, request), self._names.look(path, request)):
                raise
        return self._names.entry(request.node, self._new_name(request), request)

    # -- moving and removing ---------------------------------------------------------------------

    def unlink(self, request: FuseRequest) -> None:
        """Remove a name that is no directory's."""
        self._remove(request, 0)

    def rmdir(self, request: FuseRequest) -> None:
        """Remove an empty directory."""
        self._remove(request, f.AT_REMOVEDIR)

    def _remove(self, request: FuseRequest, flags: int) -> None:
        name = self._new_name(request)
        try:
            self._scheme.unlinkat(ROOT, self._names.below(request.node, name), flags, request)
        except Refused as refusal:
            if not request.replayed or refusal.errno != e.ENOENT:
                raise  # else it is gone, as it was to be
        self._nodes.remove(request.node, name)

    def rename(self, request: FuseRequest) -> None:
        """Give a file or directory another name, in place of what had it."""
        (parent,) = p.RENAME_IN.unpack_from(request.body)
        self._rename(request, parent, p.RENAME_IN.size)

    def rename2(self, request: FuseRequest) -> None:
        """Rename with conditions.  Redox has no exchange, and two renames are not one."""
        parent, flags, _ = p.RENAME2_IN.unpack_from(request.body)
        if flags & ~p.RENAME_NOREPLACE:
            raise Refused(e.EINVAL)
        if flags and not request.replayed:
            path = self._names.below(parent, _names_in(request, p.RENAME2_IN.size, 2)[1])
            if self._exists(path, request):
                raise Refused(e.EEXIST)
        self._rename(request, parent, p.RENAME2_IN.size)

    def _rename(self, request: FuseRequest, parent: int, at: int) -> None:
        old, new = _names_in(request, at, 2)
        source, path = self._names.below(request.node, old), self._names.below(parent, new)
        try:
            self._on_open(source, request, lambda n: self._scheme.frename(n, path, request))
        except Refused as refusal:
            gone = request.replayed and refusal.errno == e.ENOENT
            if not gone or not self._exists(path, request):
                raise  # else a predecessor got that far
        self._nodes.rename(request.node, old, parent, new)

    def _exists(self, path: str, request: FuseRequest) -> bool:
        try:
            self._names.look(path, request)
        except Refused as refusal:
            if refusal.errno != e.ENOENT:
                raise
            return False
        return True

    def _on_open(self, path: str, request: FuseRequest, act: Callable[[int], object]) -> None:
        """Do something to what has this path, through a handle that only looks."""
        opened = at_once(self._scheme.openat(ROOT, path, LOOK, 0, request))
        try:
            act(opened.handle)
        finally:
            self._scheme.on_close(opened.handle)

    # -- links -----------------------------------------------------------------------------------

    def readlink(self, request: FuseRequest) -> bytes:
        """Read where a link leads."""
        return self._target(self._nodes.path(request.node), request)

    def _target(self, path: str, request: FuseRequest) -> bytes:
        opened = at_once(self._scheme.openat(ROOT, path, f.O_RDONLY | _LINK_ITSELF, 0, request))
        try:
            # Not the client's request: a link is short and lies ready, nobody may wait for it.
            found = self._scheme.read(opened.handle, _TARGET_MAX, 0, 0, Unheard(request.caller))
        finally:
            self._scheme.on_close(opened.handle)
        if found is LATER:
            raise Refused(e.EIO)
        return bytes(found)


# Where the name of what is made or removed starts, in the bytes after the header.
_FIRST_NAME: Final = {
    p.MKDIR: p.MKDIR_IN.size,
    p.MKNOD: p.MKNOD_IN.size,
    p.SYMLINK: 0,
    p.LINK: p.LINK_IN.size,
    p.UNLINK: 0,
    p.RMDIR: 0,
}


def _names_in(request: FuseRequest, at: int, count: int) -> list[bytes]:
    """Return `count` names of a request, each of which ends with a NUL."""
    *names, _ = request.body[at:].split(b"\0", count)
    if len(names) < count:
        raise Refused(e.EINVAL)
    return names


def _same(one: Stat, other: Stat) -> bool:
    """Tell whether two names are the same file; a scheme without inode numbers cannot say so."""
    return one.st_ino != 0 and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
