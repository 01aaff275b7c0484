"""What calls that move bytes or descriptors become."""

from __future__ import annotations

import os
from typing import Any, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.call import RecvFdFlags, SendFdFlags
from redbear_host.abi.cqe import CqeOpcode
from redbear_host.abi.map import MunmapFlags
from redbear_host.abi.sqe import Opcode
from redbear_host.errors import Refused
from redbear_host.ring import arguments
from redbear_host.ring.arena import LARGE, TRANSFER_MOST, copy_in, copy_out
from redbear_host.ring.layout import FDS_MOST, NO_OFFSET, PAGE
from redbear_host.ring.request import RingRequest, SqeCopy
from redbear_host.ring.table import Finisher, Handler
from redbear_host.scheme.request import LATER, Later
from redbear_host.scheme.scheme import Mapped, Scheme

_FCNTL: Final = f.O_FCNTL_MASK
_SENDFD_FLAGS: Final = int(SendFdFlags.EXCLUSIVE | SendFdFlags.CLONE)
_RECVFD_FLAGS: Final = int(RecvFdFlags.MANUAL_FD | RecvFdFlags.UPPER_TBL | RecvFdFlags.CLOEXEC)


class Transfers:
    """READ, WRITE, CALL and others of `scheme`."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme: Final = scheme
        call = self._call_in_place if scheme.calls_in_place else self._call
        self.table: Final[dict[int, tuple[Handler, Finisher]]] = {
            Opcode.READ: (self._read, self._have_read),
            Opcode.WRITE: (self._write, self._number),
            Opcode.FSYNC: (self._fsync, self._nothing),
            Opcode.FTRUNCATE: (self._ftruncate, self._nothing),
            Opcode.CALL: (call, self._have_called),
            Opcode.SENDFD: (self._sendfd, self._number),
            Opcode.RECVFD: (self._recvfd, self._have_fds),
            Opcode.MMAP_PREP: (self._mmap_prep, self._have_mapped),
            Opcode.MUNMAP: (self._munmap, self._nothing),
        }

    @staticmethod
    def _nothing(request: RingRequest, entry: SqeCopy, result: Any) -> int:
        return 0

    @staticmethod
    def _number(request: RingRequest, entry: SqeCopy, result: Any) -> int:
        number: int = result
        return number

    def _read(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        _, _, _, ident, at, size, offset, flags, _ = entry
        client = request.client
        handle = client.handles.open.get(ident)
        if handle is None or handle.looks:
            raise Refused(e.EBADF)
        if at + size > client.arena:
            raise Refused(e.EFAULT)
        if size >= LARGE:
            size = min(size, TRANSFER_MOST)
            client.moved += size
        if client.held and client.held + size > client.arena:
            raise Refused(e.ENOBUFS)
        if flags & ~_FCNTL:
            raise Refused(e.EINVAL)
        if handle.stream and offset == NO_OFFSET:
            offset = 0
        else:
            offset = arguments.offset(offset, handle.stream)
        data = self._scheme.read(handle.number, size, offset, flags, request)
        if data is LATER:
            request.weight = size
            return LATER
        length = len(data)
        if length > size:
            raise Refused(e.EIO)
        if length:
            at += client.arena_at
            client.map[at : at + length] = data
        return length

    @staticmethod
    def _have_read(request: RingRequest, entry: SqeCopy, result: Any) -> int:
        if len(result) > entry[5]:
            raise Refused(e.EIO)
        return copy_out(request.client, entry[4], result)

    def _write(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        _, _, _, ident, at, size, offset, flags, _ = entry
        client = request.client
        handle = client.handles.open.get(ident)
        if handle is None or handle.looks:
            raise Refused(e.EBADF)
        if flags & ~_FCNTL:
            raise Refused(e.EINVAL)
        if handle.stream and offset == NO_OFFSET:
            offset = 0
        else:
            offset = arguments.offset(offset, handle.stream)
        data = request.payload
        if data is None:  # else it was copied before it was parked
            if size > TRANSFER_MOST:
                size = TRANSFER_MOST
            data = request.payload = copy_in(client, at, size)
            request.weight = size
        return self._scheme.write(handle.number, memoryview(data), offset, flags, request)

    def _fsync(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        handle = request.client.handles.used(entry[3])
        return self._scheme.fsync(handle.number, request) or 0

    def _ftruncate(self, request: RingRequest, entry: SqeCopy) -> int:
        handle = request.client.handles.used(entry[3])
        self._scheme.ftruncate(handle.number, arguments.length(entry[4]), request)
        return 0

    def _call(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        client = request.client
        handle = client.handles.used(entry[3])
        payload = request.payload
        if payload is None:
            if entry[5] > TRANSFER_MOST:
                raise Refused(e.EINVAL)  # half a call means nothing
            payload = request.payload = bytearray(copy_in(client, entry[4], entry[5]))
            request.weight = len(payload)
        done = self._scheme.call(handle.number, memoryview(payload), entry[6:9], request)
        return done if done is LATER else self._have_called(request, entry, done)

    def _call_in_place(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        client = request.client
        handle = client.handles.used(entry[3])
        at, size = entry[4:6]
        if size > TRANSFER_MOST:
            raise Refused(e.EINVAL)
        if at + size > client.arena:
            raise Refused(e.EFAULT)
        if size >= LARGE:
            client.moved += size
        start = client.arena_at + at
        with memoryview(client.map) as whole, whole[start : start + size] as payload:
            return self._scheme.call(handle.number, payload, entry[6:9], request)

    @staticmethod
    def _have_called(request: RingRequest, entry: SqeCopy, result: Any) -> int:
        if request.payload is not None:
            copy_out(request.client, entry[4], request.payload)
        number: int = result
        return number

    # -- descriptors -----------------------------------------------------------------------------

    def _sendfd(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        _, _, tag, ident, flags, argument, count, _, _ = entry
        client = request.client
        fds = request.fds
        if fds is None:
            fds = request.fds = client.descriptors.claim(tag, count)
        handle = client.handles.used(ident)
        arguments.only(flags, _SENDFD_FLAGS)
        result = self._scheme.on_sendfd(handle.number, fds, flags, argument, request)
        request.fds = None  # they are the scheme's now
        return result

    def _recvfd(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        _, _, _, ident, flags, count, first, second, _ = entry
        handle = request.client.handles.used(ident)
        arguments.only(flags, _RECVFD_FLAGS)
        if not 0 < count <= FDS_MOST:
            raise Refused(e.EINVAL)
        found = self._scheme.on_recvfd(handle.number, count, flags, (first, second), request)
        return LATER if isinstance(found, Later) else self._have_fds(request, entry, found)

    @staticmethod
    def _have_fds(request: RingRequest, entry: SqeCopy, result: Any) -> int:
        try:
            if len(result) > entry[5]:
                raise Refused(e.EIO)
            request.client.descriptors.send(entry[2], result)
        finally:
            for fd in result:
                os.close(fd)
        request.head = CqeOpcode.RESPOND_WITH_MULTIPLE_FDS
        return len(result)

    # -- memory ----------------------------------------------------------------------------------

    def _mmap_prep(self, request: RingRequest, entry: SqeCopy) -> int | Later:
        _, _, _, ident, size, flags, offset, _, _ = entry
        handle = request.client.handles.used(ident)
        arguments.map_flags(flags)
        if not size or arguments.length(offset) % PAGE or offset + size > arguments.OFFSET_MOST:
            raise Refused(e.EINVAL)
        mapped = self._scheme.mmap_prep(handle.number, offset, size, flags, request)
        return LATER if isinstance(mapped, Later) else self._have_mapped(request, entry, mapped)

    @staticmethod
    def _have_mapped(request: RingRequest, entry: SqeCopy, result: Any) -> int:
        mapped: Mapped = result
        client = request.client
        client.descriptors.send(entry[2], (mapped.fd,))
        handle = client.handles.find(entry[3])
        if handle is not None:
            handle.mapped += 1
        request.head = CqeOpcode.RESPOND_WITH_FD
        return mapped.offset

    def _munmap(self, request: RingRequest, entry: SqeCopy) -> int:
        _, _, _, ident, size, flags, offset, _, _ = entry
        handle = request.client.handles.used(ident)
        arguments.only(flags, MunmapFlags.NEEDS_SYNC)
        if not handle.mapped or arguments.length(offset) % PAGE:
            raise Refused(e.EINVAL)
        self._scheme.munmap(handle.number, offset, arguments.length(size), flags)
        handle.mapped -= 1
        return 0
