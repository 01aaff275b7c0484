"""What calls that make, name and close handles become."""

from __future__ import annotations

import os
from typing import Any, Final

from redbear_host.abi import dirent
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.cqe import CqeOpcode
from redbear_host.abi.sqe import Opcode
from redbear_host.errors import Refused
from redbear_host.ring import arguments
from redbear_host.ring.arena import TRANSFER_MOST, check_room, copy_in, copy_out
from redbear_host.ring.layout import PATH_MOST
from redbear_host.ring.request import RingRequest, SqeCopy
from redbear_host.ring.table import Finisher, Handler
from redbear_host.scheme.request import LATER, Later
from redbear_host.scheme.scheme import Entry, Foreign, Opened, Scheme


class Names:
    """OPEN_AT, DUP, CLOSE, UNLINK_AT and others of `scheme`."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme: Final = scheme
        self.table: Final[dict[int, tuple[Handler, Finisher]]] = {
            Opcode.OPEN: (self._open, self._have_opened),
            Opcode.OPEN_AT: (self._openat, self._have_opened),
            Opcode.DUP: (self._dup, self._have_opened),
            Opcode.CLOSE: (self._close, _zero),
            Opcode.CLOSE_MSG: (self._close_msg, _zero),
            Opcode.CANCEL: (self._cancel, _zero),
            Opcode.DETACH: (self._detach, _zero),
            Opcode.RMDIR: (self._rmdir, _zero),
            Opcode.UNLINK: (self._unlink, _zero),
            Opcode.UNLINK_AT: (self._unlinkat, _zero),
            Opcode.FRENAME: (self._frename, _zero),
            Opcode.FLINK: (self._flink, _zero),
            Opcode.FPATH: (self._fpath, _zero),
            Opcode.GETDENTS: (self._getdents, _zero),
        }

    @staticmethod
    def _path(request: RingRequest, at: int, size: int) -> str:
        if size > PATH_MOST:
            raise Refused(e.ENAMETOOLONG)
        return arguments.path(copy_in(request.client, at, size))

    # -- handles ---------------------------------------------------------------------------------

    def _open(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        """OPEN, until 2025: from the root, and the flags hold all there is."""
        _, flags, tag, at, size, open_flags, _, _, _ = entry
        fcntl_flags = open_flags & f.O_FCNTL_MASK
        changed = (Opcode.OPEN_AT, flags, tag, 0, at, size, open_flags, fcntl_flags, 0)
        request.entry = changed
        return self._openat(request, changed)

    def _openat(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        _, _, _, ident, at, size, flags, fcntl_flags, _ = entry
        parent = request.client.handles.parent(ident)
        path = self._path(request, at, size)
        arguments.open_flags(flags)
        arguments.fcntl_flags(fcntl_flags)
        opened = self._scheme.openat(parent.number, path, flags, fcntl_flags, request)
        return LATER if isinstance(opened, Later) else self._have_opened(request, entry, opened)

    def _dup(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        client = request.client
        handle = client.handles.used(entry[3])
        if entry[5] > PATH_MOST:
            raise Refused(e.ENAMETOOLONG)
        name = copy_in(client, entry[4], entry[5])
        if not name:
            raise Refused(e.EINVAL)  # the same description again: the client's own affair
        opened = self._scheme.dup(handle.number, name, request)
        return LATER if isinstance(opened, Later) else self._have_opened(request, entry, opened)

    @staticmethod
    def _have_opened(request: RingRequest, entry: SqeCopy, result: Any) -> int:
        client = request.client
        if isinstance(result, Foreign):
            try:
                client.descriptors.send(entry[2], (result.fd,))
            finally:
                os.close(result.fd)
            request.head = CqeOpcode.RESPOND_WITH_FD
            return 0
        opened: Opened = result
        flags, looks = 0, False
        if entry[0] == Opcode.OPEN_AT:
            flags, looks = entry[7], bool(entry[6] & f.O_STAT)
        handle = client.handles.add(opened, flags, looks)
        request.head = (opened.flags & 0xFF) << 8  # NewFdFlags
        return handle.ident

    @staticmethod
    def _close(request: RingRequest, entry: SqeCopy) -> int:
        client = request.client
        client.close_handle(client.handles.get(entry[3]))
        return 0

    @staticmethod
    def _close_msg(request: RingRequest, entry: SqeCopy) -> None:
        client = request.client
        handle = client.handles.open.get(entry[3])
        if handle is not None:
            client.close_handle(handle)

    @staticmethod
    def _cancel(request: RingRequest, entry: SqeCopy) -> None:
        request.client.cancel(entry[2])

    @staticmethod
    def _detach(request: RingRequest, entry: SqeCopy) -> None:
        """Nothing: our schemes keep no locks by process."""

    # -- names -----------------------------------------------------------------------------------

    def _unlinkat(self, request: RingRequest, entry: SqeCopy) -> int:
        _, _, _, ident, at, size, flags, _, _ = entry
        parent = request.client.handles.parent(ident)
        path = self._path(request, at, size)
        arguments.only(flags, f.AT_REMOVEDIR)
        self._scheme.unlinkat(parent.number, path, flags, request)
        return 0

    def _unlink_from_root(self, request: RingRequest, entry: SqeCopy, flags: int) -> int:
        _, oneway, tag, at, size, _, _, _, _ = entry
        changed = (Opcode.UNLINK_AT, oneway, tag, 0, at, size, flags, 0, 0)
        request.entry = changed
        return self._unlinkat(request, changed)

    def _unlink(self, request: RingRequest, entry: SqeCopy) -> int:
        return self._unlink_from_root(request, entry, 0)

    def _rmdir(self, request: RingRequest, entry: SqeCopy) -> int:
        return self._unlink_from_root(request, entry, f.AT_REMOVEDIR)

    def _frename(self, request: RingRequest, entry: SqeCopy) -> int:
        handle = request.client.handles.get(entry[3])
        self._scheme.frename(handle.number, self._path(request, entry[4], entry[5]), request)
        return 0

    def _flink(self, request: RingRequest, entry: SqeCopy) -> int:
        handle = request.client.handles.get(entry[3])
        self._scheme.flink(handle.number, self._path(request, entry[4], entry[5]), request)
        return 0

    def _fpath(self, request: RingRequest, entry: SqeCopy) -> int:
        client = request.client
        handle = client.handles.get(entry[3])
        check_room(client, entry[4], entry[5])
        path = self._scheme.fpath(handle.number).encode("utf-8", "surrogateescape")
        if len(path) > entry[5]:
            raise Refused(e.ENAMETOOLONG)
        return copy_out(client, entry[4], path)

    def _getdents(self, request: RingRequest, entry: SqeCopy) -> int:
        """List a directory; the opaque number counts into the listing made when it was 0."""
        _, _, _, ident, at, size, header_size, opaque, _ = entry
        client = request.client
        handle = client.handles.used(ident)
        check_room(client, at, size)
        listings = client.handles.listings
        entries = listings.get(handle)
        if entries is None or not opaque:
            found = self._scheme.getdents(handle.number, request)
            entries = [one for one in found if _is_text(one)]
            listings.put(handle, entries)
        room = min(size, TRANSFER_MOST)
        return copy_out(client, at, dirent.pack(entries, room, opaque, header_size))


def _zero(request: RingRequest, entry: SqeCopy, result: Any) -> int:
    return 0


def _is_text(entry: Entry) -> bool:
    """Tell whether a name is UTF-8, as all of Redox's are; one that is not cannot be shown."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return False
    return True
