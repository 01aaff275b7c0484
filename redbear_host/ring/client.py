"""One client of the ring door: its entries in, its answers out, and what waits in between.

Nothing here trusts the client's memory: an index is read once and checked, an entry is copied and
only the copy is looked at.  Nothing here waits for the client either: an entry is taken only when
there is room for its answer.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from functools import partial
from itertools import repeat
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.cqe import CqeOpcode
from redbear_host.abi.sqe import Opcode, SqeFlags
from redbear_host.errors import Refused
from redbear_host.ring import layout as lay
from redbear_host.ring.descriptors import Descriptors
from redbear_host.ring.handles import Handle, Handles
from redbear_host.ring.memory import CQ_HEAD, CQ_TAIL, SQ_HEAD, SQ_TAIL, Memory
from redbear_host.ring.request import RingRequest, SqeCopy
from redbear_host.scheme.request import LATER, Caller

if TYPE_CHECKING:
    from redbear_host.ring.door import RingDoor

TURN: Final = 64  # entries of one client taken in a round; fewer if they are large
TURN_BYTES: Final = 4 << 20  # about as many bytes are moved for one client in a round

_WORD: Final = (1 << 32) - 1
_NEGATIVE: Final = 1 << 64  # less an errno: how an error travels (abi.cqe.mux)
_ERRNO_MOST: Final = 4095
_FREE_MOST: Final = TURN  # request objects kept for the next calls
_ONEWAY: Final = int(SqeFlags.ONEWAY)
_EVENT: Final = int(CqeOpcode.SEND_FEVENT)

_SILENT: Final = frozenset((Opcode.CANCEL, Opcode.CLOSE_MSG, Opcode.DETACH))  # never answered
_MAKES: Final = frozenset(  # their answer is something that somebody has to take
    (Opcode.OPEN, Opcode.OPEN_AT, Opcode.DUP, Opcode.RECVFD, Opcode.MMAP_PREP)
)
_BRINGS_FLAGS: Final = frozenset((Opcode.OPEN_AT, Opcode.READ, Opcode.WRITE))  # in arg4

_sqe: Final = Struct("=BB2xIQQQQQQ8x")  # opcode, flags, tag, six arguments; the caller is not read
_unpack: Final = _sqe.unpack_from
_cqe: Final = Struct("=IIQ").pack_into  # flags and extra_raw as one word, tag, result


class Client:
    """A connection that has been welcomed."""

    def __init__(
        self, door: RingDoor, connection: socket.socket, caller: Caller, memory: Memory
    ) -> None:
        layout = memory.layout
        self.caller: Final = caller
        crowded = partial(door.crowded, caller)
        self.handles: Final = Handles(self, door.scheme, door.listings, crowded)
        self.descriptors: Final = Descriptors(connection, door.allowance)
        self.waiting: Final[dict[int, RingRequest]] = {}  # not answered yet, by tag
        self.held = 0  # bytes kept for those; never more than the arena has
        self.moved = 0  # bytes of large transfers in the present turn
        self.gone = False
        self.memory: Final = memory
        self.map: Final = memory.map
        self.arena_at: Final = layout.arena_at
        self.arena: Final = layout.arena
        self._door: Final = door
        self._socket: Final = connection
        self._bell: Final = connection.fileno()
        self._words: Final = memory.words
        self._entries: Final = layout.entries
        self._answers: Final = layout.cq_entries
        self._sq_at: Final = layout.sq_at
        self._cq_at: Final = layout.cq_at
        self._head = 0  # of the Sqes; the copy in shared memory is only written
        self._tail = 0  # of the Cqes; likewise
        self._free: Final[list[RingRequest]] = []
        self._late: Final[dict[Handle, None]] = {}  # with events there was no room to tell of
        self._mute = 0  # counts ONEWAY requests that wait, downwards: they have no tag
        self._turn = TURN
        self._taking = False
        self._failed = False
        self._unrung = False  # the door will ring its bell at the end of the round

    # -- entries in ------------------------------------------------------------------------------

    def take(self) -> None:
        """Run what the client asks for, at most TURN calls of it."""
        words, head = self._words, self._head
        pending = (words[SQ_TAIL] - head) & _WORD
        if self._failed or not pending:
            if self._late:  # it rang since there is room again
                self._tell_late()
            return
        unread = (self._tail - words[CQ_HEAD]) & _WORD
        if pending > self._entries or unread > self._answers:
            self.fail(f"indexes jumped: {pending} entries to take, {unread} answers unread")
            return
        count = self._answers - unread - len(self.waiting)
        if count > pending:
            count = pending
        turn = self._turn
        if count > turn:
            count = turn
        place = head & (self._entries - 1)
        batch: Iterable[SqeCopy]
        if count == 1:
            batch = (_unpack(self.map, self._sq_at + place * 64),)
        elif count > 0:
            batch = _sqe.iter_unpack(self._copy(place, count))
        else:
            self._take_silent(pending)
            return
        self._head = head = (head + count) & _WORD
        words[SQ_HEAD] = head
        self._taking = True
        self._run(batch)
        self._taking = False
        if self._late:
            self._tell_late()
        self._ring()
        door = self._door
        door.calls += count
        door.last = self
        if self.moved or turn < TURN:
            self._pace(count)
        if count < pending and count == turn:
            door.more(self)

    def _pace(self, count: int) -> None:
        """Choose how many entries to take next time by how many bytes these have moved."""
        if self.moved:
            self._turn = max(1, min(TURN, TURN_BYTES * count // self.moved))
            self.moved = 0
        else:
            self._turn += 1

    def _copy(self, place: int, count: int) -> bytes:
        at, over = self._sq_at, place + count - self._entries
        if over <= 0:
            return self.map[at + place * 64 : at + (place + count) * 64]
        end = at + self._entries * 64
        return self.map[at + place * 64 : end] + self.map[at : at + over * 64]

    def _take_silent(self, pending: int) -> None:
        """There is no room for another answer: take only what never has one."""
        for _ in range(min(pending, TURN)):
            place = self._head & (self._entries - 1)
            entry: SqeCopy = _unpack(self.map, self._sq_at + place * 64)
            if entry[0] not in _SILENT:
                break
            self._head = (self._head + 1) & _WORD
            self._words[SQ_HEAD] = self._head
            self._run((entry,))

    def _run(self, batch: Iterable[SqeCopy]) -> None:
        table, free, waiting = self._door.table, self._free, self.waiting
        words, place, mask = self._words, self._cq_at, self._answers - 1
        sampling = self._door.calls >= self._door.due
        request: RingRequest | None = None
        try:
            for entry in batch:
                tag = entry[2]
                if entry[1] or tag in waiting:
                    request = None
                    self._run_unusual(entry)
                    continue
                request = free.pop() if free else RingRequest(self, self.caller)
                request.entry = entry
                if sampling:
                    request.began = self._door.began()
                try:
                    result = table[entry[0]](request, entry)
                except Refused as refusal:
                    self._refused(request, refusal.errno)
                    continue
                if result is LATER:
                    if request.entry is not None:  # else it is answered already
                        self._keep(request)
                elif request.head or request.began or result is None:
                    self._end(request, result)
                else:
                    # The end of nearly all calls: what `_end` does, less what they cannot need.
                    request.entry = None
                    request.payload = None
                    request.on_cancel = None
                    request.weight = 0
                    free.append(request)
                    tail = self._tail
                    _cqe(self.map, place + (tail & mask) * 16, 0, tag, result)
                    self._tail = words[CQ_TAIL] = (tail + 1) & _WORD
        except BaseException:
            self._betray(request)
            raise

    def _run_unusual(self, entry: SqeCopy) -> None:
        """Run what has flags, or the tag of a call that waits."""
        opcode, flags, tag = entry[:3]
        if opcode in _SILENT:
            request = self._new(entry)
            self._door.table[opcode](request, entry)
            self._end(request, None)
        elif flags & ~_ONEWAY or (not flags and tag in self.waiting):
            self._post(0, tag, _NEGATIVE - e.EINVAL)
        elif opcode not in _MAKES:
            self._try(self._new(entry))

    def _new(self, entry: SqeCopy) -> RingRequest:
        request = self._free.pop() if self._free else RingRequest(self, self.caller)
        request.entry = entry
        return request

    def _try(self, request: RingRequest) -> None:
        """Run a request for which there is no hurry, perhaps not for the first time."""
        entry = request.entry
        if entry is None:
            return
        try:
            result = self._door.table[entry[0]](request, entry)
        except Refused as refusal:
            self._refused(request, refusal.errno)
        except BaseException:
            self._betray(request)
            raise
        else:
            if result is not LATER:
                self._end(request, result)
            elif request.entry is not None:
                self._keep(request)

    def _betray(self, request: RingRequest | None) -> None:
        """Fail the call at hand honestly: a bug, ours or the scheme's, ends the daemon."""
        if request is not None and request.entry is not None:
            self._end(request, _NEGATIVE - e.EIO)
        self._ring()

    # -- requests that wait ----------------------------------------------------------------------

    def _refused(self, request: RingRequest, errno: int) -> None:
        if errno == e.EWOULDBLOCK:
            if self._park(request):
                return
            errno = e.EAGAIN
        self._end(request, _NEGATIVE - self._errno(request, errno))

    @staticmethod
    def _errno(request: RingRequest, errno: int) -> int:
        if errno == e.EINTR and not request.cancelled:
            return e.EIO  # as Redox's kernel does
        return errno if 0 < errno <= _ERRNO_MOST else e.EIO

    def _park(self, request: RingRequest) -> bool:
        """Keep a request until its handle becomes ready; False when the client will not wait."""
        entry = request.entry
        handle = self.handles.find(entry[3]) if entry else None
        if entry is None or handle is None or entry[1] or self.gone:
            return False
        # Reads, writes and opens bring the flags as they are now.
        if (entry[7] if entry[0] in _BRINGS_FLAGS else handle.flags) & f.O_NONBLOCK:
            return False
        request.parked = True
        handle.parked.append(request)
        self._door.listen(handle)
        self._hold(request, entry)
        return True

    def _keep(self, request: RingRequest) -> None:
        """Leave a request with the scheme; its handle stays open for it that long."""
        entry = request.entry
        if entry is None:
            return
        handle = self.handles.find(entry[3])
        if handle is not None:
            handle.busy += 1
            request.handle = handle
        self._hold(request, entry)

    def _hold(self, request: RingRequest, entry: SqeCopy) -> None:
        if request.key is None:
            if entry[1]:
                self._mute -= 1
                request.key = self._mute
            else:
                request.key = entry[2]
            self.waiting[request.key] = request
        self.held += request.weight - request.held
        request.held = request.weight

    def unpark(self, handle: Handle) -> None:
        """Run what waits for an event of `handle` again."""
        waiting, handle.parked = handle.parked, []
        for request in waiting:
            if request.parked:
                request.parked = False
                self._try(request)
        self._announce()

    def cancel(self, tag: int) -> None:
        """Give a call up for the client; it is answered all the same."""
        request = self.waiting.get(tag)
        entry = request.entry if request is not None else None
        if request is None or entry is None:
            return
        if request.parked:
            handle = self.handles.find(entry[3])
            if handle is not None:
                handle.parked.remove(request)
            request.parked = False
            self.refuse(request, e.ECANCELED)
        elif not request.cancelled:
            request.cancelled = True
            if request.on_cancel is not None:
                request.on_cancel(request)

    # -- answers out -----------------------------------------------------------------------------

    def finish(self, request: RingRequest, result: Any) -> None:
        """Answer a call that its scheme had kept."""
        entry = request.entry
        if entry is None:
            return
        if self.gone:
            self._door.discard(entry, result)
            self._end(request, 0)
            return
        try:
            word = self._door.finishers[entry[0]](request, entry, result)
        except Refused as refusal:
            self.refuse(request, refusal.errno)
            return
        self._end(request, word)
        self._announce()

    def refuse(self, request: RingRequest, errno: int) -> None:
        """Answer a call that its scheme had kept with a Redox errno."""
        if request.entry is None:
            return
        request.head = 0
        if errno == e.EWOULDBLOCK:
            errno = e.EAGAIN
        self._end(request, _NEGATIVE - self._errno(request, errno))
        self._announce()

    def _end(self, request: RingRequest, word: int | None) -> None:
        """Post the answer, if there is to be one, and give the request's object back."""
        entry = request.entry
        if entry is None:
            return
        if word is not None and not entry[1] and not self.gone:
            self._post(request.head if word <= _NEGATIVE - 4096 else 0, entry[2], word)
        if request.began:
            self._door.record(request, entry, word or 0)
        self.descriptors.close(request.fds)
        request.entry = None
        request.payload = None
        request.on_cancel = None
        request.cancelled = request.parked = False
        request.head = request.began = request.weight = 0
        request.fds = None
        handle, request.handle = request.handle, None
        key, request.key = request.key, None
        if key is not None:
            del self.waiting[key]
            self.held -= request.held
            request.held = 0
        if len(self._free) < _FREE_MOST:
            self._free.append(request)
        if handle is not None:
            self.handles.idle(handle)
        if self.gone and not self.waiting:
            self._door.forget(self)

    def _post(self, head: int, tag: int, word: int) -> None:
        tail = self._tail
        _cqe(self.map, self._cq_at + (tail & (self._answers - 1)) * 16, head, tag, word)
        self._tail = self._words[CQ_TAIL] = (tail + 1) & _WORD

    def _ring(self) -> None:
        try:
            os.write(self._bell, lay.BELL)
        except OSError:
            return  # it has bells it has not read, or is gone, which its socket tells

    def _announce(self) -> None:
        """Ring at the end of the round, once for all answers."""
        if not self._unrung and not self.gone:
            self._unrung = True
            self._door.unrung.append(self)

    def ring_now(self) -> None:
        """Ring, if it is still there."""
        self._unrung = False
        if not self.gone:
            self._ring()

    # -- handles ---------------------------------------------------------------------------------

    def listen(self, handle: Handle) -> None:
        """Hear of the events of a handle."""
        self._door.listen(handle)

    def close_handle(self, handle: Handle) -> None:
        """Close a handle; calls that wait for an event of it fail."""
        waiting, handle.parked = handle.parked, []
        for request in waiting:
            request.parked = False
            self.refuse(request, e.EBADF)
        self._late.pop(handle, None)
        self._door.unlisten(handle)
        self.handles.close(handle)

    # -- events ----------------------------------------------------------------------------------

    def tell(self, handle: Handle, flags: int) -> None:
        """Tell of events, as soon as there is room for that."""
        handle.late |= flags
        self._late[handle] = None
        if not self._taking:  # else after it, since each entry taken has a claim on room
            self._tell_late()
            self._announce()

    def _tell_late(self) -> None:
        late, answers = self._late, self._answers
        while late and not self.gone:
            unread = (self._tail - self._words[CQ_HEAD]) & _WORD
            if unread > answers:
                self.fail(f"indexes jumped: {unread} answers unread")
                return
            if answers - unread - len(self.waiting) <= 0:
                return
            handle = next(iter(late))
            del late[handle]
            flags, handle.late = handle.late, 0
            self._post(_EVENT, flags, handle.ident)
            self._announce()

    # -- the end ---------------------------------------------------------------------------------

    def awaits(self, looks: int) -> bool | None:
        """Look so many times for an entry to take; None if there was one at once."""
        words, head = self._words, self._head
        if self._failed:
            return False
        if words[SQ_TAIL] != head:
            return None
        for _ in repeat(None, looks):  # noqa: SIM110 - any() looks half as often
            if words[SQ_TAIL] != head:
                return True
        return False

    def hear(self) -> None:
        """Read a message, or learn that the client has hung up."""
        why = self.descriptors.receive()
        if why is not None:
            self.fail(why)

    def fail(self, why: str) -> None:
        """End the connection at the end of the round; an empty `why` is no fault."""
        if not self._failed:
            self._failed = True
            if why:
                self._door.complain(self.caller, why)
            self._door.bury(self)

    def close(self) -> None:
        """Let go of everything; requests the scheme has kept are cancelled, and then unheard."""
        if self.gone:
            return
        self.gone = self._failed = True
        for request in list(self.waiting.values()):
            if request.parked:
                self._end(request, 0)
            elif request.entry is not None and not request.cancelled:
                request.cancelled = True
                if request.on_cancel is not None:
                    request.on_cancel(request)
        self._late.clear()
        for handle in list(self.handles.open.values()):
            self._door.unlisten(handle)
            self.handles.close(handle)
        self._door.unlisten(self.handles.root)
        self.descriptors.close_all()
        self._socket.close()
        self.memory.close()
        if not self.waiting:
            self._door.forget(self)
