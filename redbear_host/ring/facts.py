"""What calls about a file become, and the same calls in their newer form, STD_FS_CALL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.call import StdFsCallKind
from redbear_host.abi.sqe import Opcode
from redbear_host.abi.stat import Stat, StatVfs
from redbear_host.errors import Refused
from redbear_host.ring import arguments
from redbear_host.ring.arena import check_room, copy_in, copy_out
from redbear_host.ring.request import RingRequest, SqeCopy
from redbear_host.ring.table import Finisher, Handler
from redbear_host.scheme.request import Later
from redbear_host.scheme.scheme import Scheme

_MODE_MOST: Final = 0xFFFF
_EVENTS: Final = f.EVENT_READ | f.EVENT_WRITE
_TIMES_MOST: Final = 64  # bytes to copy before the length is looked at; two are 32
_KIND_MOST: Final = 0xFF

# What each kind of STD_FS_CALL is, and whether its arguments lie in the payload.
_STD_FS: Final[dict[int, tuple[int, bool]]] = {
    StdFsCallKind.FCHMOD: (Opcode.FCHMOD, False),
    StdFsCallKind.FCHOWN: (Opcode.FCHOWN, False),
    StdFsCallKind.GETDENTS: (Opcode.GETDENTS, True),
    StdFsCallKind.FSTAT: (Opcode.FSTAT, True),
    StdFsCallKind.FSTATVFS: (Opcode.FSTATVFS, True),
    StdFsCallKind.FSYNC: (Opcode.FSYNC, False),
    StdFsCallKind.FTRUNCATE: (Opcode.FTRUNCATE, False),
    StdFsCallKind.FUTIMENS: (Opcode.FUTIMENS, True),
}


class Facts:
    """FSTAT, FCHMOD, FEVENT and others of `scheme`; `others` is the table of all."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme: Final = scheme
        self.others: Sequence[Handler] = ()
        self.table: Final[dict[int, tuple[Handler, Finisher]]] = {
            Opcode.FSIZE: (self._fsize, _zero),
            Opcode.FCHMOD: (self._fchmod, _zero),
            Opcode.FCHOWN: (self._fchown, _zero),
            Opcode.FCNTL: (self._fcntl, _zero),
            Opcode.FEVENT: (self._fevent, _zero),
            Opcode.FSTAT: (self._fstat, _zero),
            Opcode.FSTATVFS: (self._fstatvfs, _zero),
            Opcode.FUTIMENS: (self._futimens, _zero),
            Opcode.STD_FS_CALL: (self._std_fs_call, _zero),
        }

    def _fsize(self, request: RingRequest, entry: SqeCopy) -> int:
        return self._scheme.fsize(request.client.handles.get(entry[3]).number)

    def _fchmod(self, request: RingRequest, entry: SqeCopy) -> int:
        handle = request.client.handles.get(entry[3])
        self._scheme.fchmod(handle.number, arguments.only(entry[4], _MODE_MOST), request)
        return 0

    def _fchown(self, request: RingRequest, entry: SqeCopy) -> int:
        handle = request.client.handles.get(entry[3])
        uid, gid = arguments.word32(entry[4]), arguments.word32(entry[5])
        self._scheme.fchown(handle.number, uid, gid, request)
        return 0

    def _fcntl(self, request: RingRequest, entry: SqeCopy) -> int:
        handle = request.client.handles.get(entry[3])
        return self._scheme.fcntl(handle.number, entry[4], entry[5], request)

    def _fevent(self, request: RingRequest, entry: SqeCopy) -> int:
        """Ask which events are true, and hear of later ones until asked for none."""
        client = request.client
        handle = client.handles.used(entry[3])
        mask = arguments.only(entry[4], _EVENTS)
        # The mask is set first: what happens while the scheme looks must not be lost.
        before, handle.mask = handle.mask, mask
        if not mask:
            return 0
        client.listen(handle)
        try:
            return self._scheme.fevent(handle.number, mask) & mask
        except Refused:
            handle.mask = before
            raise

    def _fstat(self, request: RingRequest, entry: SqeCopy) -> int:
        client = request.client
        handle = client.handles.get(entry[3])
        if entry[5] < Stat.size:
            raise Refused(e.EINVAL)
        check_room(client, entry[4], Stat.size)
        copy_out(client, entry[4], bytes(self._scheme.fstat(handle.number)))
        return 0

    def _fstatvfs(self, request: RingRequest, entry: SqeCopy) -> int:
        client = request.client
        handle = client.handles.get(entry[3])
        if entry[5] < StatVfs.size:
            raise Refused(e.EINVAL)
        check_room(client, entry[4], StatVfs.size)
        copy_out(client, entry[4], bytes(self._scheme.fstatvfs(handle.number)))
        return 0

    def _futimens(self, request: RingRequest, entry: SqeCopy) -> int:
        client = request.client
        handle = client.handles.get(entry[3])
        raw = copy_in(client, entry[4], min(entry[5], _TIMES_MOST))
        self._scheme.futimens(handle.number, arguments.times(raw), request)
        return 0

    def _std_fs_call(self, request: RingRequest, entry: SqeCopy) -> int | Later | None:
        _, oneway, tag, ident, at, size, kind, first, second = entry
        found = _STD_FS.get(kind)
        if found is None:
            raise Refused(e.EOPNOTSUPP if kind <= _KIND_MOST else e.EINVAL)
        opcode, has_payload = found
        numbers = (at, size, first, second) if has_payload else (first, second, 0, 0)
        changed: SqeCopy = (opcode, oneway, tag, ident, *numbers, 0)
        request.entry = changed
        return self.others[opcode](request, changed)


def _zero(request: RingRequest, entry: SqeCopy, result: Any) -> int:
    return 0
