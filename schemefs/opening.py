"""Opening and closing: FUSE's file handles and the scheme's numbers behind them."""

from __future__ import annotations

from typing import Any, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.request import Unheard
from redbear_host.scheme.scheme import CACHED, POSITIONED, ROOT, Opened, Scheme
from schemefs import openflags
from schemefs import protocol as p
from schemefs.backing import Backing
from schemefs.connection import Connection
from schemefs.handles import Handle, Handles
from schemefs.names import Names, at_once
from schemefs.nodes import Nodes
from schemefs.request import FuseRequest

_MODE: Final = 0o7777  # what an open that creates carries of a mode
_ONCE: Final = f.O_CREAT | f.O_EXCL | f.O_TRUNC  # done by the open, not again by each successor


class Opening:
    """Handlers for the operations of a door that open or close something."""

    def __init__(
        self,
        connection: Connection,
        scheme: Scheme,
        nodes: Nodes,
        handles: Handles,
        names: Names,
    ) -> None:
        self._connection: Final = connection
        self._scheme: Final = scheme
        self._nodes: Final = nodes
        self._handles: Final = handles
        self._names: Final = names
        self._backing: Final = Backing(connection.fd, handles)

    def reopen(self, handle: Handle) -> bool:
        """Open a predecessor's handle again; False when that cannot be done.

        It may be done later than at the start: a rename that was done but not noted is run again
        first, and only then is the file found.
        """
        if not self._scheme.reopens:
            return False
        flags = handle.flags & ~(_ONCE | _MODE)
        try:
            path = self._nodes.path(handle.node)
            opened = self._scheme.openat(
                ROOT, path, flags, flags & f.O_FCNTL_MASK, Unheard(handle.caller, handle.inode)
            )
        except Refused:
            return False
        if not isinstance(opened, Opened):
            return False
        if handle.inode and handle.inode != self._inode(opened):
            self._scheme.on_close(opened.handle)
            return False  # another file has the name now
        handle.stream = not opened.flags & POSITIONED
        self._handles.bind(handle, opened.handle)
        return True

    # -- opening ---------------------------------------------------------------------------------

    def open(self, request: FuseRequest) -> Opened | Handle:
        """Open a file or directory that is there."""
        if request.replayed:
            made = self._handles.opened_by(request.unique)
            if made is not None:
                return made
            if not self._scheme.reopens:
                raise Refused(e.EIO)
        flags = _flags(request)
        path = self._nodes.path(request.node)
        return at_once(self._scheme.openat(ROOT, path, flags, flags & f.O_FCNTL_MASK, request))

    def finish_open(self, request: FuseRequest, result: Any) -> None:
        """Tell the kernel which handle it is."""
        if isinstance(result, Handle):  # opened by a predecessor that died before it could say so
            self._connection.reply(request, self._open_out(result))
            return
        directory = request.opcode == p.OPENDIR
        try:
            handle = self._add(request, request.node, _flags(request), result, directory)
        except Refused as refusal:
            self._connection.refuse(request, refusal.errno)
            return
        if not self._connection.reply(request, self._open_out(handle)):
            self._close(handle)  # the kernel never heard of it, so it will not release it

    def create(self, request: FuseRequest) -> Opened | Handle:
        """Make a file and open it; the kernel had just looked, and found the name free.

        A predecessor may have made it and died before it could say so.  Then the file is opened;
        but not for a caller that wanted to be the one who made it, which cannot be told any more.
        """
        if request.replayed:
            made = self._handles.opened_by(request.unique)
            if made is not None:
                return made
        flags, name = _create_in(request)
        path = self._names.below(request.node, name)
        try:
            return at_once(self._scheme.openat(ROOT, path, flags, flags & f.O_FCNTL_MASK, request))
        except Refused as refusal:
            if request.replayed and refusal.errno == e.EEXIST:
                raise Refused(e.EIO) from None
            raise

    def finish_create(self, request: FuseRequest, result: Any) -> None:
        """Describe what was made to the kernel, and tell it which handle it is."""
        flags, name = _create_in(request)
        node = 0
        try:
            if isinstance(result, Handle):
                handle, node = result, result.node
            else:
                node = self._remember(request, name, result)
                handle = self._add(request, node, flags, result, False)
            found = self._scheme.fstat(handle.number)
        except Refused as refusal:
            if node:
                self._nodes.forget(node, 1)
            self._connection.refuse(request, refusal.errno)
            return
        out = self._names.entry_out(node, found) + self._open_out(handle)
        if not self._connection.reply(request, out):
            self._close(handle)
            self._nodes.forget(node, 1)

    def _remember(self, request: FuseRequest, name: bytes, opened: Opened) -> int:
        try:
            return self._nodes.remember(request.node, name, plain=True)
        except Refused:
            self._scheme.on_close(opened.handle)
            raise

    def _add(
        self, request: FuseRequest, node: int, flags: int, opened: Opened, directory: bool
    ) -> Handle:
        """Write the handle down; if there is no room for it, it is closed again."""
        # One that came while the scheme thought otherwise (it has got a second name) must agree.
        cached = bool(opened.flags & CACHED) or self._backing.holds(node)
        kept = cached and not directory
        backing = self._backing.choose(node, opened.backing) if kept else 0
        try:
            handle = self._handles.add(
                *(request.unique, node, flags, request.caller, directory),
                *(kept and not backing, backing),
                self._inode(opened) if self._scheme.reopens else 0,
            )
        except Refused:
            if kept:
                self._backing.let_go(node)
            self._scheme.on_close(opened.handle)
            raise
        handle.stream = not opened.flags & POSITIONED
        self._handles.bind(handle, opened.handle)
        return handle

    def _inode(self, opened: Opened) -> int:
        try:
            return self._scheme.fstat(opened.handle).st_ino
        except Refused:
            return 0

    @staticmethod
    def _open_out(handle: Handle) -> bytes:
        if handle.directory:
            return p.OPEN_OUT.pack(handle.fh, 0, 0)
        if handle.backing:
            return p.OPEN_OUT.pack(handle.fh, p.FOPEN_PASSTHROUGH, handle.backing)
        if handle.cached:
            return p.OPEN_OUT.pack(handle.fh, p.FOPEN_KEEP_CACHE, 0)
        flags = p.FOPEN_DIRECT_IO | p.FOPEN_NOFLUSH
        if handle.stream:
            flags |= p.FOPEN_STREAM | p.FOPEN_NONSEEKABLE
        return p.OPEN_OUT.pack(handle.fh, flags | p.FOPEN_PARALLEL_DIRECT_WRITES, 0)

    # -- closing ---------------------------------------------------------------------------------

    def release(self, request: FuseRequest) -> None:
        """Close a handle: its last user is gone."""
        handle = self._handles.open.get(request.fh)
        if handle is not None:  # else a predecessor released it and died before it could say so
            self._close(handle)

    def _close(self, handle: Handle) -> None:
        number = handle.number
        self._handles.drop(handle)
        if handle.cached or handle.backing:
            self._backing.let_go(handle.node)
        if number >= 0:
            self._scheme.on_close(number)


def _flags(request: FuseRequest) -> int:
    """Return Redox's flags of an OPEN or OPENDIR."""
    flags = openflags.to_redox(request.fh & 0xFFFF_FFFF)  # OPEN_IN: flags is its first word
    return flags | f.O_DIRECTORY if request.opcode == p.OPENDIR else flags


def _create_in(request: FuseRequest) -> tuple[int, bytes]:
    """Return Redox's flags with the mode in them, and the name, of a CREATE."""
    flags, mode, umask, _ = p.CREATE_IN.unpack_from(request.body)
    name = request.body[p.CREATE_IN.size :].rstrip(b"\0")
    return openflags.to_redox(flags) | f.O_CREAT | mode & _MODE & ~umask, name
