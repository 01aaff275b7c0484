"""Names and facts: FUSE's operations on paths, by Redox's open with O_STAT.

Redox has no lookup and no stat by path: a name is opened to be looked at, described and closed.
"""

from __future__ import annotations

import os
from typing import Any, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_TYPE, Stat, TimeSpec
from redbear_host.errors import Refused
from redbear_host.scheme.scheme import ROOT, Foreign, Opened, Scheme
from schemefs import protocol as p
from schemefs.attributes import attr, statx
from schemefs.connection import Connection
from schemefs.handles import Handle, Handles
from schemefs.journal import NAME_MAX
from schemefs.nodes import Nodes
from schemefs.request import FuseRequest

LOOK: Final = f.O_STAT | f.O_RDONLY | f.O_SYMLINK | f.O_NOFOLLOW  # at a link itself, too
_KEEP: Final = 0xFFFF_FFFF  # fchown: leave the owner as it is
_PATH_MAX: Final = 4096  # bytes, Linux's
_CLEARLY_SHORT: Final = _PATH_MAX // 4  # characters: no encoding makes more bytes of them


class OpensLater(Exception):
    """The scheme kept a request to open something that a handler needs to go on."""


def at_once(answer: Any) -> Opened:
    """Take the answer to an open that is one step of a call.

    Raises `OpensLater` when the scheme kept the request, and EXDEV when it passed on to another:
    Linux must find that by its own path.
    """
    if isinstance(answer, Foreign):
        os.close(answer.fd)
        raise Refused(e.EXDEV)
    if not isinstance(answer, Opened):
        raise OpensLater
    return answer


class Names:
    """Handlers for the operations of a door that name or describe something."""

    def __init__(
        self, connection: Connection, scheme: Scheme, nodes: Nodes, handles: Handles
    ) -> None:
        self._connection: Final = connection
        self._scheme: Final = scheme
        self._nodes: Final = nodes
        self._open: Final = handles.open
        seconds = int(scheme.caches)
        nanoseconds = int((scheme.caches - seconds) * 1e9)
        self._name_valid: Final = (seconds, seconds, nanoseconds, nanoseconds)
        self._valid: Final = (seconds, nanoseconds)

    def below(self, parent: int, name: bytes) -> str:
        """Return the path of a name below a node, if it is not too long for Linux."""
        above = self._nodes.path(parent)
        own = name.decode("utf-8", "surrogateescape")
        path = f"{above}/{own}" if above else own
        if len(name) > NAME_MAX or (
            len(path) > _CLEARLY_SHORT and len(path.encode("utf-8", "surrogateescape")) >= _PATH_MAX
        ):
            raise Refused(e.ENAMETOOLONG)
        return path

    def look(self, path: str, request: FuseRequest) -> Stat:
        """Look at a name without an effect: Redox's open with O_STAT, fstat, close."""
        opened = at_once(self._scheme.openat(ROOT, path, LOOK, 0, request))
        try:
            return self._scheme.fstat(opened.handle)
        finally:
            self._scheme.on_close(opened.handle)

    def entry(self, parent: int, name: bytes, request: FuseRequest) -> bytes:
        """Describe a name below a node, and count that the kernel was told of it."""
        stat = self.look(self.below(parent, name), request)
        node = self._nodes.remember(parent, name, stat.st_mode & MODE_TYPE != MODE_DIR)
        return self.entry_out(node, stat)

    def entry_out(self, node: int, stat: Stat) -> bytes:
        """Pack the description of a name."""
        return p.ENTRY_OUT.pack(node, 0, *self._name_valid) + attr(stat, node)

    def lookup(self, request: FuseRequest) -> bytes:
        """Look a name up below a node."""
        return self.entry(request.node, request.body.rstrip(b"\0"), request)

    def forget(self, request: FuseRequest) -> None:
        """Take back what the kernel was told of one node."""
        (times,) = p.FORGET_IN.unpack_from(request.head, p.IN_HEADER.size)
        node = request.node
        # Given back first: a death in between leaks a name, the other order would lose one in use.
        self._connection.release(request)
        self._nodes.forget(node, times)

    def batch_forget(self, request: FuseRequest) -> None:
        """Take back what the kernel was told of several nodes."""
        body = request.body
        count, _ = p.BATCH_FORGET_IN.unpack_from(body)
        self._connection.release(request)
        for index in range(count):
            at = p.BATCH_FORGET_IN.size + index * p.FORGET_ONE.size
            self._nodes.forget(*p.FORGET_ONE.unpack_from(body, at))

    def _nameless(self, node: int, access: int = 0) -> Handle | None:
        """Return a handle of a file that has no name any more, opened for `access` if any is.

        None for a file that has one; ESTALE when nothing leads to the file.
        """
        if not self._nodes.is_nameless(node):
            return None
        open_ones = [h for h in self._open.values() if h.node == node and h.number >= 0]
        if not open_ones:
            raise Refused(e.ESTALE)
        return max(open_ones, key=lambda handle: handle.flags & access)

    def _is_named(self, request: FuseRequest) -> bool:
        return not self._nodes.is_nameless(request.node)

    def _stat(self, request: FuseRequest, fh: int, given: bool) -> Stat:
        handle = self._open.get(fh) if given else None
        if handle is None or handle.number < 0:
            handle = self._nameless(request.node)
        if handle is not None:
            return self._scheme.fstat(handle.number)
        return self.look(self._nodes.path(request.node), request)

    def getattr(self, request: FuseRequest) -> bytes:
        """Describe a node or an open file."""
        flags, _, fh = p.GETATTR_IN.unpack_from(request.head, p.IN_HEADER.size)
        stat = self._stat(request, fh, bool(flags & p.GETATTR_FH))
        return p.ATTR_OUT.pack(*self._valid, 0) + attr(stat, request.node, self._is_named(request))

    def statx(self, request: FuseRequest) -> bytes:
        """Describe a node or an open file in the newer record."""
        flags, _, fh, _, _ = p.STATX_IN.unpack_from(request.head, p.IN_HEADER.size)
        stat = self._stat(request, fh, bool(flags & p.GETATTR_FH))
        return p.STATX_OUT.pack(*self._valid, 0, 0, 0) + statx(
            stat, request.node, self._is_named(request)
        )

    def setattr(self, request: FuseRequest) -> None:
        """Change mode, owner, times and length, each by its own call of the scheme."""
        valid, _, fh, size, _, atime, mtime, _, ans, mns, _, mode, _, uid, gid, _ = (
            p.SETATTR_IN.unpack_from(request.body)
        )
        handle = self._open.get(fh) if valid & p.FATTR_FH else None
        if handle is None or handle.number < 0:
            handle = self._nameless(request.node, f.O_WRONLY)
        passing = handle is None
        if handle is not None:
            number = handle.number
        else:
            access = f.O_WRONLY if valid & p.FATTR_SIZE else LOOK
            path = self._nodes.path(request.node)
            number = at_once(self._scheme.openat(ROOT, path, access, 0, request)).handle
        try:
            if valid & p.FATTR_MODE:
                self._scheme.fchmod(number, mode & 0o7777, request)
            if valid & (p.FATTR_UID | p.FATTR_GID):
                own = uid if valid & p.FATTR_UID else _KEEP
                group = gid if valid & p.FATTR_GID else _KEEP
                self._scheme.fchown(number, own, group, request)
            if valid & (p.FATTR_ATIME | p.FATTR_MTIME):
                if not valid & p.FATTR_ATIME or not valid & p.FATTR_MTIME:
                    now = self._scheme.fstat(number)  # Redox sets both: one stays as it is
                    if valid & p.FATTR_ATIME:
                        mtime, mns = now.st_mtime, now.st_mtime_nsec
                    else:
                        atime, ans = now.st_atime, now.st_atime_nsec
                times = (TimeSpec(tv_sec=atime, tv_nsec=ans), TimeSpec(tv_sec=mtime, tv_nsec=mns))
                self._scheme.futimens(number, times, request)
            if valid & p.FATTR_SIZE:
                self._scheme.ftruncate(number, size, request)
        finally:
            if passing:
                self._scheme.on_close(number)

    def access(self, request: FuseRequest) -> None:
        """Ask the scheme what the caller may do, before a chdir or for whoever just asks."""
        mask, _ = p.ACCESS_IN.unpack_from(request.head, p.IN_HEADER.size)
        handle = self._nameless(request.node)
        if handle is not None:
            self._scheme.access(handle.number, mask, request)
            return
        path = self._nodes.path(request.node)
        opened = at_once(self._scheme.openat(ROOT, path, LOOK, 0, request))
        try:
            self._scheme.access(opened.handle, mask, request)
        finally:
            self._scheme.on_close(opened.handle)

    def statfs(self, request: FuseRequest) -> bytes:
        """Describe what the scheme's root lives on; zeros where the scheme does not say."""
        opened = at_once(self._scheme.openat(ROOT, "", LOOK, 0, request))
        try:
            found = self._scheme.fstatvfs(opened.handle)
        except Refused:
            return p.STATFS_OUT.pack(0, 0, 0, 0, 0, 4096, 255, 4096, 0)
        finally:
            self._scheme.on_close(opened.handle)
        size, blocks, free, available = (
            found.f_bsize,
            found.f_blocks,
            found.f_bfree,
            found.f_bavail,
        )
        return p.STATFS_OUT.pack(blocks, free, available, 0, 0, size, 255, size, 0)

    def changed(self, request: FuseRequest, fh: int, given: bool) -> bytes:
        """Describe what SETATTR has changed."""
        return p.ATTR_OUT.pack(*self._valid, 0) + attr(
            self._stat(request, fh, given), request.node, self._is_named(request)
        )
