"""The rings of one connection as its client sees them: calls go in, answers and events come out.

Nothing here waits; `connection` does, and `aio_connection`.  Nobody may be in here twice: the
callers hold a lock, or are one event loop.

The daemon is not trusted either: an answer that the protocol does not allow ends the connection.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Any, Final

from redbear_host.abi.cqe import CqeOpcode, demux
from redbear_host.abi.sqe import Opcode, SqeFlags
from redbear_host.client.arena import Arena
from redbear_host.client.calls import Call
from redbear_host.client.handshake import SMALL, Line, receive
from redbear_host.client.slot import CQE, DONE, FREE, ORPHAN, SENT, SQE, Slot
from redbear_host.errors import ProtocolError
from redbear_host.ring import layout as lay

PAYLOAD_MOST: Final = 1 << 20  # bytes one call carries; longer reads and writes are cut

_SQ_HEAD: Final = lay.SQ_HEAD // 4
_SQ_TAIL: Final = lay.SQ_TAIL // 4
_CQ_HEAD: Final = lay.CQ_HEAD // 4
_CQ_TAIL: Final = lay.CQ_TAIL // 4
_M: Final = 0xFFFF_FFFF
_OPCODE_BITS: Final = 0b111
_EVENT: Final = int(CqeOpcode.SEND_FEVENT)
_REGULAR: Final = int(CqeOpcode.RESPOND_REGULAR)
_WITH_FDS: Final = (CqeOpcode.RESPOND_WITH_FD, CqeOpcode.RESPOND_WITH_MULTIPLE_FDS)
_ONEWAY: Final = int(SqeFlags.ONEWAY)
_SENDFD: Final = int(Opcode.SENDFD)
_BRING_FDS: Final = frozenset((Opcode.OPEN_AT, Opcode.DUP, Opcode.MMAP_PREP, Opcode.RECVFD))
_SPECIAL: Final = _BRING_FDS | {_SENDFD}
_ERRORS: Final = (1 << 64) - 4096


class Ring:
    """Slots, one per call in hand, and the two rings."""

    def __init__(self, line: Line) -> None:
        self.name: Final = line.name
        self.dead = ""  # why the connection has ended
        self.fate = ""  # why it must end
        self._line: Final = line
        layout = line.layout
        self._bytes: Final = memoryview(line.memory)
        self._words: Final = self._bytes.cast("I")
        self._arena: Final = self._bytes[layout.arena_at :]
        self._sq_at: Final = layout.sq_at
        self._cq_at: Final = layout.cq_at
        self._entries: Final = layout.entries
        # A quarter is kept for cancels, which must find room whatever else is in hand.
        self._most: Final = layout.entries - (layout.entries >> 2)
        self._sq_mask: Final = layout.entries - 1
        self._cq_mask: Final = layout.cq_entries - 1
        self._sq_tail = 0
        self._cq_head = 0
        self._caller: Final = max(os.getpid(), 0)  # a daemon that is locked in cannot tell
        small = min(SMALL, layout.arena // (2 * layout.entries) & ~63)
        self._slots: Final = [Slot(tag, tag * small, self._arena) for tag in range(layout.entries)]
        self._free: Final = self._slots[::-1]
        self._small: Final = small
        self._large: Final = Arena(-(-layout.entries * small // lay.PAGE) * lay.PAGE, layout.arena)
        self._payload_most: Final = min(PAYLOAD_MOST, self._large.size)
        self._socket: Final = line.socket
        self._recv: Final = line.socket.recv
        self._expecting = 0  # calls in hand that may be answered with descriptors
        self._sending = 0  # calls in hand that brought some
        self._early: Final[dict[int, Sequence[int]]] = {}  # descriptors, by their call's tag
        # What nobody waits for: a call to cancel with its index, or None and a handle to close.
        self._closing: Final[deque[tuple[Slot | None, int]]] = deque()

    # -- calls go in ------------------------------------------------------------------------------

    def take(self, room: int, sends: bool = False) -> Slot | None:
        """Reserve a slot with `room` bytes for the payload; None when there is none just now.

        `sends` for a call that brings descriptors, of which few may wait at a time.
        """
        if not self._free or self._sq_full() or (sends and self._sending >= lay.FDS_WAITING):
            return None
        if room <= self._small:
            slot = self._free.pop()
            slot.at = slot.own
            return slot
        at = self._large.take(room)
        if at < 0:
            return None
        slot = self._free.pop()
        slot.at, slot.large = at, room
        return slot

    def give(self, slot: Slot) -> None:
        """Let a slot go whose answer has been read."""
        if slot.large:
            self._large.give(slot.at, slot.large)
            slot.large = 0
        slot.state = FREE
        slot.wake = None
        self._free.append(slot)

    def has_room(self, room: int, sends: bool) -> bool:
        """Whether `take` would succeed."""
        slot = self.take(room, sends)
        if slot is not None:
            self.give(slot)
        return slot is not None

    def room_for(self, call: Call[Any]) -> int:
        """Return how much of the arena a call needs; `OSError(E2BIG)` for what never fits."""
        room = max(len(call.payload), call.room)
        if room > self._payload_most:
            raise OSError(errno.E2BIG, f"{room} bytes in one call, more than {self._payload_most}")
        return room

    def put(self, slot: Slot, call: Call[Any]) -> None:
        """Write a call's entry; `publish` shows it to the daemon.  `OSError` when fds cannot go."""
        opcode, handle, payload, room, words, _, fds = call
        if fds:
            socket.send_fds(self._socket, [lay.FDS.pack(slot.tag, len(fds))], fds)
            self._sending += 1
        at = self._sq_at + (self._sq_tail & self._sq_mask) * lay.SQE_BYTES
        if room >= 0:
            size = len(payload)
            if size:
                start = slot.at
                self._arena[start : start + size] = payload
            if room > size:
                size = room
            a, b, c = words
            SQE(self._bytes, at, opcode, 0, slot.tag, handle, slot.at, size, a, b, c, self._caller)
            slot.room = size
        else:
            a, b, c, d = words
            SQE(self._bytes, at, opcode, 0, slot.tag, handle, a, b, c, d, 0, self._caller)
            slot.room = 0
        if opcode in _BRING_FDS:
            self._expecting += 1
        slot.opcode = opcode
        slot.index = self._sq_tail
        slot.state = SENT
        self._sq_tail = (self._sq_tail + 1) & _M

    def start(self, call: Call[Any], shown: bool) -> Slot | None:
        """Take and put in one, for a small call without descriptors; None for any other.

        What every call pays for: no function is called that need not be.
        """
        opcode, handle, payload, room, words, _, fds = call
        size = len(payload)
        tail = self._sq_tail
        if (
            size > self._small
            or room > self._small
            or fds
            or opcode in _BRING_FDS
            or not self._free
            or (tail - self._words[_SQ_HEAD]) & _M >= self._most
            or self._closing
            or self.dead
        ):
            return None
        slot = self._free.pop()
        at = self._sq_at + (tail & self._sq_mask) * 64
        if room >= 0:
            start = slot.at = slot.own
            if size:
                self._arena[start : start + size] = payload
            if room < size:
                room = size
            a, b, c = words
            SQE(self._bytes, at, opcode, 0, slot.tag, handle, start, room, a, b, c, self._caller)
            slot.room = room
        else:
            a, b, c, d = words
            SQE(self._bytes, at, opcode, 0, slot.tag, handle, a, b, c, d, 0, self._caller)
        slot.opcode = opcode
        slot.index = tail
        slot.state = SENT
        self._sq_tail = tail = (tail + 1) & _M
        if shown:
            self._words[_SQ_TAIL] = tail
        return slot

    def cancel(self, slot: Slot) -> None:
        """Ask the daemon to give a call up; its answer comes all the same."""
        self._closing.append((slot, slot.index))
        self.flush_drops()

    def drop(self, handle: int) -> None:
        """Close a handle with nobody waiting; safe at any time, also while the lock is held."""
        self._closing.append((None, handle))

    def flush_drops(self) -> bool:
        """Write cancels and closes as far as there is room; return whether there were any."""
        wrote = False
        while self._closing and not self.dead:
            if (self._sq_tail - self._words[_SQ_HEAD]) & _M >= self._entries:
                break
            slot, number = self._closing.popleft()
            if slot is None:
                self._unanswered(Opcode.CLOSE_MSG, 0, number)
            elif slot.index == number and slot.state in (SENT, ORPHAN):
                self._unanswered(Opcode.CANCEL, slot.tag, 0)
            wrote = True
        return wrote

    def _sq_full(self) -> bool:
        taken = self._words[_SQ_HEAD]
        return (self._sq_tail - taken) & _M >= self._most

    def _unanswered(self, opcode: int, tag: int, handle: int) -> None:
        at = self._sq_at + (self._sq_tail & self._sq_mask) * lay.SQE_BYTES
        SQE(self._bytes, at, opcode, _ONEWAY, tag, handle, 0, 0, 0, 0, 0, self._caller)
        self._sq_tail = (self._sq_tail + 1) & _M

    def publish(self) -> None:
        """Show the daemon what was put; who does it rings `bell` next."""
        self._words[_SQ_TAIL] = self._sq_tail

    # -- answers come out -------------------------------------------------------------------------

    def reap(self) -> None:
        """Take every answer and event that is there."""
        words = self._words
        tail = words[_CQ_TAIL]
        head = self._cq_head
        if head == tail:
            return
        try:
            if (tail - head) & _M > 2 * self._entries:
                raise ProtocolError(f"its Cqes end at {tail:#x} and begin at {head:#x}")
            slots, mask, memory, cq_at = self._slots, self._cq_mask, self._bytes, self._cq_at
            while head != tail:
                flags, extra, tag, result = CQE(memory, cq_at + (head & mask) * 16)
                head = (head + 1) & _M
                kind = flags & _OPCODE_BITS
                if kind == _EVENT:
                    self.on_event(result, tag)
                    continue
                if tag >= self._entries:
                    raise ProtocolError(f"an answer to call {tag} of {self._entries}")
                slot = slots[tag]
                state = slot.state
                if state != SENT and state != ORPHAN:
                    raise ProtocolError(f"an answer to call {tag}, which nobody made")
                if slot.opcode in _SPECIAL:
                    self._count_out(slot.opcode)
                slot.result = result if result <= _ERRORS else demux(result)
                slot.new_flags = extra
                if kind != _REGULAR and result <= _ERRORS:
                    self._take_fds(slot, kind)
                slot.state = DONE
                if state == ORPHAN:
                    self.dispose(slot)
                elif slot.wake is not None:
                    slot.wake()
        except ProtocolError as err:
            self.fate = f"the daemon of {self.name} broke the protocol: {err}"
            head = tail
        self._cq_head = head
        words[_CQ_HEAD] = head

    def _count_out(self, opcode: int) -> None:
        if opcode == _SENDFD:
            self._sending -= 1
        else:
            self._expecting -= 1

    def _take_fds(self, slot: Slot, kind: int) -> None:
        """Fetch the descriptors of an answer; they were sent before it was written."""
        if kind not in _WITH_FDS:
            return
        while slot.tag not in self._early:
            try:
                self._receive(socket.MSG_DONTWAIT)
            except BlockingIOError:
                raise ProtocolError("an answer with descriptors, which did not come") from None
        slot.fds = self._early.pop(slot.tag)
        if kind == CqeOpcode.RESPOND_WITH_FD and len(slot.fds) != 1:
            raise ProtocolError(f"{len(slot.fds)} descriptors where one belongs")

    def look_out(self, looks: int) -> bool:
        """Look so many times whether there is an answer."""
        words, head = self._words, self._cq_head
        for _ in repeat(None, looks):  # noqa: SIM110 - any() looks half as often
            if words[_CQ_TAIL] != head:
                return True
        return False

    def listen(self, flags: int = 0) -> None:
        """Take one message from the socket: wait for a BELL, or with MSG_DONTWAIT look for one.

        `fate` tells when the daemon has ended, or said what it must not: `end` it then.
        """
        try:
            if self._expecting:
                self._receive(flags)
            elif not self._recv(lay.FDS.size, flags):
                self.fate = f"the daemon behind {self.name} has ended; open again"
        except ProtocolError as err:
            self.fate = f"the daemon of {self.name} broke the protocol: {err}"
        except ConnectionResetError:
            self.fate = f"the daemon behind {self.name} has ended; open again"

    def _receive(self, flags: int) -> None:
        """Take a message that may bring descriptors."""
        message, fds, flags = receive(self._socket, lay.FDS.size, lay.FDS_MOST, flags)
        if len(message) == lay.FDS.size and not flags & socket.MSG_CTRUNC:
            tag, count = lay.FDS.unpack(message)
            if count == len(fds) and tag not in self._early and tag < self._entries:
                self._early[tag] = fds
                return
        _close_all(fds)
        if not message:
            raise ConnectionResetError
        if message != lay.BELL:
            raise ProtocolError(f"{len(fds)} descriptors in the message {message.hex()}")

    def dispose(self, slot: Slot) -> None:
        """Undo what an answer brought that nobody wants any more, and let its slot go."""
        if slot.result >= 0 and slot.opcode in (Opcode.OPEN_AT, Opcode.DUP) and not slot.fds:
            self.drop(slot.result)
        _close_all(slot.fds)
        slot.fds = ()
        self.give(slot)

    def on_event(self, handle: int, flags: int) -> None:
        """Hear of an event."""

    # -- the end ----------------------------------------------------------------------------------

    def end(self, why: str) -> None:
        """End the connection: what is in hand fails with EIO, and so does all that follows."""
        if self.dead:
            return
        self.reap()  # what it answered last
        self.dead = why
        taken = self._words[_SQ_HEAD]
        left = (self._sq_tail - taken) & _M
        for slot in self._slots:
            if slot.state in (SENT, ORPHAN):
                orphan = slot.state == ORPHAN
                slot.untaken = (slot.index - taken) & _M < left
                slot.result = -errno.EIO
                slot.state = DONE
                if orphan:
                    self.dispose(slot)
                elif slot.wake is not None:
                    slot.wake()

    def error(self) -> OSError:
        """Return what a call on an ended connection raises."""
        return OSError(errno.EIO, self.dead, self.name)


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
