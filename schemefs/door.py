"""The door: what each FUSE operation means to a `Scheme`.

Operations come as (handler, finisher) pairs.  A handler returns what the scheme returned, which is
`LATER` when the scheme keeps the request; the finisher turns the result, now or later, into the
kernel's record.  Operations that stand in no table are answered ENOSYS, and the kernel then stops
asking.
"""

from __future__ import annotations

import logging
import os
import select
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import Foreign, Opened, Scheme
from schemefs import protocol as p
from schemefs.connection import Connection
from schemefs.handles import Handle, Handles
from schemefs.making import Making
from schemefs.names import Names, OpensLater
from schemefs.nodes import Nodes
from schemefs.openflags import KNOWN, fcntl_flags
from schemefs.opening import Opening
from schemefs.request import FuseRequest

if TYPE_CHECKING:
    from redbear_host.scheme.clients import Copier

log = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[FuseRequest], Any]
Finisher: TypeAlias = Callable[[FuseRequest, Any], object]

_CROWD_EVERY_S: Final = 0.5
_SEEK_DATA, _SEEK_HOLE = 3, 4
_READABLE: Final = select.POLLIN | select.POLLRDNORM
_WRITABLE: Final = select.POLLOUT | select.POLLWRNORM

# Run twice, these do or say something else than run once: only a scheme that `replays` allows it.
_MAKING: Final = frozenset((p.CREATE, p.MKDIR, p.MKNOD, p.SYMLINK))
_ONCE: Final = _MAKING | frozenset(
    (
        *(p.READ, p.WRITE, p.SETATTR, p.FSYNC, p.IOCTL, p.FALLOCATE),
        *(p.LINK, p.UNLINK, p.RMDIR, p.RENAME, p.RENAME2),
    )
)

# Their result is an open handle; for all others an open is only a step on the way.
_OPENING: Final = _MAKING | frozenset((p.OPEN, p.OPENDIR))

# Their arguments begin with a file handle, so they can wait for an event of it.
_ON_HANDLE: Final = frozenset(
    (p.READ, p.WRITE, p.FSYNC, p.FSYNCDIR, p.READDIR, p.READDIRPLUS, p.IOCTL, p.FALLOCATE, p.LSEEK)
)


class Door:
    """Serves one scheme over one connection."""

    def __init__(self, connection: Connection, scheme: Scheme, loop: Loop) -> None:
        self._connection: Final = connection
        self._scheme: Final = scheme
        self._loop: Final = loop
        self._nodes: Final = Nodes(connection.journal)
        self._handles: Final = Handles(connection.journal)
        self._names: Final = Names(connection, scheme, self._nodes, self._handles)
        self._opening: Final = Opening(connection, scheme, self._nodes, self._handles, self._names)
        self._nodes.on_crowded = self._note_crowd
        self._crowd_noted = 0.0
        self.on_crowded: Callable[[], object] | None = None
        """Called, not often, when the kernel should be asked to forget names: `forgetting`."""
        self.copier: Copier | None = None
        """Reaches the memory that an ioctl names, for daemons that may have that."""
        making: Final = Making(connection, scheme, self._nodes, self._names)
        self._open: Final = self._handles.open
        self._table: Final[dict[int, tuple[Handler, Finisher]]] = {
            p.LOOKUP: (self._names.lookup, connection.reply),
            p.GETATTR: (self._names.getattr, connection.reply),
            p.STATX: (self._names.statx, connection.reply),
            p.SETATTR: (self._names.setattr, self._finish_setattr),
            p.OPEN: (self._opening.open, self._opening.finish_open),
            p.OPENDIR: (self._opening.open, self._opening.finish_open),
            p.CREATE: (self._opening.create, self._opening.finish_create),
            p.MKDIR: (making.mkdir, making.finish_make),
            p.MKNOD: (making.mknod, making.finish_make),
            p.SYMLINK: (making.symlink, making.finish_make),
            p.READLINK: (making.readlink, connection.reply),
            p.LINK: (making.link, connection.reply),
            p.UNLINK: (making.unlink, self._finish_empty),
            p.RMDIR: (making.rmdir, self._finish_empty),
            p.RENAME: (making.rename, self._finish_empty),
            p.RENAME2: (making.rename2, self._finish_empty),
            p.READ: (self._read, connection.reply),
            p.WRITE: (self._write, self._finish_write),
            p.FSYNC: (self._fsync, self._finish_empty),
            p.FSYNCDIR: (self._fsync, self._finish_empty),
            p.RELEASE: (self._opening.release, self._finish_empty),
            p.RELEASEDIR: (self._opening.release, self._finish_empty),
            p.READDIR: (self._readdir, connection.reply),
            p.READDIRPLUS: (self._readdir, connection.reply),
            p.ACCESS: (self._names.access, self._finish_empty),
            p.STATFS: (self._names.statfs, connection.reply),
            p.LSEEK: (self._lseek, connection.reply),
            p.POLL: (self._poll, connection.reply),
            p.IOCTL: (self._ioctl, self._finish_ioctl),
            p.FALLOCATE: (self._fallocate, self._finish_empty),
            p.DESTROY: (self._destroy, self._finish_empty),
        }
        self._notes: Final[dict[int, Handler]] = {  # answered by silence
            p.FORGET: self._names.forget,
            p.BATCH_FORGET: self._names.batch_forget,
            p.INTERRUPT: self._interrupt,
        }
        scheme.listeners = (*scheme.listeners, self._post_fevent)

    def start(self) -> None:
        """Open a predecessor's handles again, run its requests again, then serve."""
        for handle in list(self._handles):
            self._opening.reopen(handle)
            if self._handles.poll_handle(handle):
                self._wake(handle)
        self._connection.serve(self)
        self._connection.start()

    def _note_crowd(self) -> None:
        now = self._loop.now()
        if self.on_crowded is not None and now >= self._crowd_noted + _CROWD_EVERY_S:
            self._crowd_noted = now
            self.on_crowded()

    # -- running requests ------------------------------------------------------------------------

    def deliver(self, request: FuseRequest) -> None:
        """Run a request's handler."""
        entry = self._table.get(request.opcode)
        if entry is None:
            note = self._notes.get(request.opcode)
            if note is None:
                self._connection.refuse(request, e.ENOSYS)
                return
            try:
                note(request)
            except struct.error as error:
                log.error("malformed request: opcode %d, %s", request.opcode, error)
                if request.unique:
                    self._connection.release(request)
            return
        if request.replayed and request.opcode in _ONCE and not self._scheme.replays:
            self._connection.refuse(request, e.EIO)
            return
        try:
            result = entry[0](request)
        except OpensLater:
            return
        except struct.error as error:
            log.error("malformed request: opcode %d, %s", request.opcode, error)
            self._connection.refuse(request, e.EINVAL)
            return
        except Refused as refusal:
            if refusal.errno == e.EWOULDBLOCK and self._park(request):
                return
            self._connection.refuse(request, refusal.errno)
            return
        if result is not LATER:
            entry[1](request, result)

    def read(self, request: FuseRequest, fh: int, offset: int, size: int, flags: int) -> Any:
        """Run a READ that is no replay: what `deliver` does, on the path that must be short."""
        try:
            handle = self._open.get(fh)
            if handle is None or handle.number < 0:
                handle = self._handle(fh)
            own = KNOWN.get(flags)
            if own is None:
                own = fcntl_flags(flags)
            data = self._scheme.read(handle.number, size, offset, own, request)
        except Refused as refusal:
            request.fh, request.flags = fh, flags
            if refusal.errno != e.EWOULDBLOCK or not self._park(request):
                self._connection.refuse(request, refusal.errno)
            return None
        return None if data is LATER else data

    def finish(self, request: FuseRequest, result: Any) -> None:
        """Answer a request that its scheme had kept."""
        if isinstance(result, Foreign):
            os.close(result.fd)
            self._connection.refuse(request, e.EXDEV)
            return
        if isinstance(result, Opened) and request.opcode not in _OPENING:
            # It can be done at once now.
            self._scheme.on_close(result.handle)
            self.deliver(request)
            return
        self._table[request.opcode][1](request, result)

    def _park(self, request: FuseRequest) -> bool:
        """Keep a request until its handle becomes ready; False when the caller will not wait."""
        handle = self._open.get(request.fh) if request.opcode in _ON_HANDLE else None
        if handle is None:
            return False
        # Reads and writes bring the flags as they are now; fcntl(2) may have changed them.
        brought = request.opcode in (p.READ, p.WRITE)
        if (fcntl_flags(request.flags) if brought else handle.flags) & f.O_NONBLOCK:
            return False
        request.parked = True
        handle.parked[request] = None
        return True

    def _post_fevent(self, number: int, flags: int) -> None:
        """Run what was parked on a handle again, and wake who polls it."""
        handle = self._handles.by_number.get(number)
        if handle is None:
            return
        if handle.parked:
            self._loop.soon(lambda: self._unpark(handle))
        if self._handles.poll_handle(handle):
            self._wake(handle)

    def _unpark(self, handle: Handle) -> None:
        waiting, handle.parked = handle.parked, {}
        for request in waiting:
            if isinstance(request, FuseRequest) and request.parked:
                request.parked = False
                self.deliver(request)

    def _wake(self, handle: Handle) -> None:
        # Forgotten last: woken twice over a death is nothing, not woken at all waits for ever.
        kh = self._handles.poll_handle(handle)
        self._connection.notify(p.POLL_WAKEUP.pack(p.POLL_WAKEUP.size, p.NOTIFY_POLL, 0, kh))
        self._handles.set_poll_handle(handle, 0)

    def _interrupt(self, request: FuseRequest) -> None:
        """Cancel a request whose client a signal woke; it must still be answered once."""
        (unique,) = p.INTERRUPT_IN.unpack_from(request.head, p.IN_HEADER.size)
        self._connection.release(request)
        target = self._connection.live.get(unique)
        if target is None or target.cancelled:
            return  # answered already
        target.cancelled = True
        if target.parked:
            target.parked = False
            handle = self._open.get(target.fh)
            if handle is not None:
                handle.parked.pop(target, None)
            self._connection.refuse(target, e.ECANCELED)
        elif target.on_cancel is not None:
            target.on_cancel(target)

    # -- handles ---------------------------------------------------------------------------------

    def _handle(self, fh: int) -> Handle:
        handle = self._open.get(fh)
        if handle is None:
            raise Refused(e.EBADF)
        if handle.number < 0 and not self._opening.reopen(handle):
            raise Refused(e.EIO)  # its daemon died, and it cannot be opened again
        return handle

    # -- bytes -----------------------------------------------------------------------------------

    def _read(self, request: FuseRequest) -> Any:
        handle = self._open.get(request.fh)
        if handle is None or handle.number < 0:
            handle = self._handle(request.fh)
        flags = fcntl_flags(request.flags)
        return self._scheme.read(handle.number, request.size, request.offset, flags, request)

    def _write(self, request: FuseRequest) -> Any:
        handle = self._open.get(request.fh)
        if handle is None or handle.number < 0:
            handle = self._handle(request.fh)
        data, flags = request.payload, fcntl_flags(request.flags)
        return self._scheme.write(handle.number, data, request.offset, flags, request)

    def _fsync(self, request: FuseRequest) -> Any:
        return self._scheme.fsync(self._handle(request.fh).number, request)

    def _fallocate(self, request: FuseRequest) -> Any:
        fh, offset, length, mode, _ = p.FALLOCATE_IN.unpack_from(request.head, p.IN_HEADER.size)
        return self._scheme.fallocate(self._handle(fh).number, mode, offset, length, request)

    def _lseek(self, request: FuseRequest) -> bytes:
        """SEEK_DATA and SEEK_HOLE; the kernel does the others itself.  There are no holes."""
        fh, offset, whence, _ = p.LSEEK_IN.unpack_from(request.head, p.IN_HEADER.size)
        size = self._scheme.fsize(self._handle(fh).number)
        if whence not in (_SEEK_DATA, _SEEK_HOLE):
            raise Refused(e.EINVAL)
        if offset >= size:
            raise Refused(e.ENXIO)
        return p.LSEEK_OUT.pack(offset if whence == _SEEK_DATA else size)

    def _ioctl(self, request: FuseRequest) -> Any:
        fh, flags, command, argument, in_size, out_size = p.IOCTL_IN.unpack_from(request.body)
        data = request.body[p.IOCTL_IN.size : p.IOCTL_IN.size + in_size]
        request.memory = None
        if self.copier is not None and not flags & p.IOCTL_COMPAT:
            request.memory = self.copier.memory(request.caller.pid, command, argument)
        return self._scheme.ioctl(self._handle(fh).number, command, data, out_size, request)

    def _readdir(self, request: FuseRequest) -> bytes:
        """List a directory; the offset is an index into the listing made at offset 0."""
        handle = self._handle(request.fh)
        plus = request.opcode == p.READDIRPLUS
        entries = self._handles.listings.get(handle)
        if entries is None or request.offset == 0:
            found = self._scheme.getdents(handle.number, request)
            entries = [(b".", f.DT_DIR, handle.node), (b"..", f.DT_DIR, 0)]
            entries += [
                (entry.name.encode("utf-8", "surrogateescape"), entry.kind, entry.inode)
                for entry in found
            ]
            self._handles.listings.put(handle, entries)
        out = bytearray()
        for index in range(request.offset, len(entries)):
            name, kind, inode = entries[index]
            record = p.DIRENT.pack(inode or index + 1, index + 1, len(name), kind) + name
            record += bytes(-len(record) % 8)
            room = request.size - len(out) - len(record)
            if plus:
                room -= p.ENTRY_OUT.size + p.ATTR.size
            if room < 0:
                break
            if plus:
                out += self._entry_plus(handle.node, name, request)
            out += record
        return bytes(out)

    def _entry_plus(self, parent: int, name: bytes, request: FuseRequest) -> bytes:
        if name not in (b".", b".."):
            try:
                return self._names.entry(parent, name, request)
            except Refused:
                pass  # gone meanwhile, or not to be looked at: listed by name only
        return bytes(p.ENTRY_OUT.size + p.ATTR.size)

    def _poll(self, request: FuseRequest) -> bytes:
        fh, kh, flags, _ = p.POLL_IN.unpack_from(request.head, p.IN_HEADER.size)
        handle = self._handle(fh)
        try:
            ready = self._scheme.fevent(handle.number, f.EVENT_READ | f.EVENT_WRITE)
        except Refused as refusal:
            if refusal.errno != e.EOPNOTSUPP:
                raise
            ready = f.EVENT_READ | f.EVENT_WRITE  # a file that never blocks
        if flags & p.POLL_SCHEDULE_NOTIFY:
            self._handles.set_poll_handle(handle, kh)
        mask = (_READABLE if ready & f.EVENT_READ else 0) | (
            _WRITABLE if ready & f.EVENT_WRITE else 0
        )
        return p.POLL_OUT.pack(mask, 0)

    def _destroy(self, request: FuseRequest) -> None:
        """Nothing to do: the mount is going, and ENODEV follows on the connection."""

    # -- answers ---------------------------------------------------------------------------------

    def _finish_write(self, request: FuseRequest, count: int) -> None:
        self._connection.reply_raw(request, p.WRITE_OUT.pack(24, 0, request.unique, count, 0))

    def _finish_empty(self, request: FuseRequest, _: Any) -> None:
        self._connection.reply(request, b"")

    def _finish_setattr(self, request: FuseRequest, _: Any) -> None:
        valid, _pad, fh = p.GETATTR_IN.unpack_from(request.head, p.IN_HEADER.size)
        try:
            data = self._names.changed(request, fh, bool(valid & p.FATTR_FH))
        except OpensLater:
            return  # the whole call runs again then, which does no harm
        except Refused as refusal:
            self._connection.refuse(request, refusal.errno)
            return
        self._connection.reply(request, data)

    def _finish_ioctl(self, request: FuseRequest, result: bytes | int) -> None:
        if isinstance(result, int):
            self._connection.reply(request, p.IOCTL_OUT.pack(result, 0, 0, 0))
        else:
            self._connection.reply(request, p.IOCTL_OUT.pack(0, 0, 0, 0) + result)
