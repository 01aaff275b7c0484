"""Submission and completion queues (3.3): rings in memory that the controller shares.

`QueuePair.submit` and `QueuePair.reap` run once per command and set the speed of the whole daemon.
They use prepared views, one store per entry and one load per completion, and make no object but the
tuple that remembers the command.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from daemons.nvmed.prp import DmaChunk
from daemons.nvmed.regs import (
    CAP,
    CQE,
    SQE,
    AdminOpcode,
    CqeDw2,
    CqeDw3,
    NvmSQE,
    Status,
    head_doorbell,
    tail_doorbell,
)
from redbear_host.bits import Mmio
from redbear_host.classes.disk import Done
from redbear_host.hw.ports import Dma

__all__ = ["AdminQueue", "Answer", "Command", "Lobby", "Prepared", "QueuePair", "Ring"]

Prepared: TypeAlias = tuple[int, int, int, int, int]
"""Opcode, NSID, PRP1, PRP2 and CDW12: what is the same whenever a chunk is used in the same way."""

Command: TypeAlias = tuple[Prepared, int, Done]
"""With CDW10 and 11, and whom to tell: what it takes to issue an I/O command, and to issue it again
after a reset."""

T = TypeVar("T")
_store = NvmSQE.codec.pack_into
_PHASE: Final = CqeDw3(P=True).raw
_ENTRY: Final = CQE.size // 4  # dwords
_DW3: Final = 3
_ENTRY_QUADS: Final = SQE.size // 8
_CDW10: Final = 5  # quadword of CDW10 and 11 in a submission queue entry


class Ring(Generic[T]):
    """A submission queue and its completion queue, of the same number of entries.

    A command's identifier is the slot it was stored in.  While an older command of the same slot is
    still running, the newcomer takes that slot's number plus a multiple of the ring's size.
    """

    __slots__ = (
        "_at", "_cq", "_dwords", "_end", "_flip", "_head_doorbell", "_mask", "_slots", "_sq",
        "_tail_doorbell", "_write", "entries", "free", "head_iova", "qid", "rung", "table", "tail",
        "tail_iova", "trouble",
    )  # fmt: skip

    def __init__(self, qid: int, entries: int, dma: Dma, mmio: Mmio, cap: CAP, page: int) -> None:
        """Make rings of `entries`, a power of two from 2 to 4096, at multiples of `page`."""
        self.qid: Final = qid
        self.entries: Final = entries
        self._mask: Final = entries - 1
        self._sq: Final = dma.alloc(entries * SQE.size, align=page)
        self._cq: Final = dma.alloc(entries * CQE.size, align=page)
        self.tail_iova: Final = self._sq.iova
        self.head_iova: Final = self._cq.iova
        view = self._sq.view
        self._slots: Final = [view[i : i + SQE.size] for i in range(0, len(view), SQE.size)]
        self._dwords: Final = self._cq.view.cast("I")
        self._end: Final = len(self._dwords)
        self._write: Final = mmio.write32
        self._tail_doorbell: Final = tail_doorbell(qid, cap)
        self._head_doorbell: Final = head_doorbell(qid, cap)
        self.reset()

    def reset(self) -> None:
        """Empty both rings; only while the controller is disabled."""
        self._sq.view[:] = bytes(self._sq.size)
        self._cq.view[:] = bytes(self._cq.size)
        self.table: list[T | None] = [None] * self.entries
        self.tail = self.rung = 0  # `rung` is what the doorbell last said
        self.free = self.entries - 1  # commands that may still be issued
        self._at = _DW3  # dword 3 of the next completion
        self._flip = _PHASE  # makes a new completion's phase bit zero: it is 1 in the first round
        self.trouble = ""  # what the controller did that it must not do

    def in_flight(self) -> Iterator[tuple[int, T]]:
        """Every command that has not ended, with its identifier."""
        return ((cid, it) for cid, it in enumerate(self.table) if it is not None)

    def drain(self) -> list[T]:
        """Forget every command that has not ended, and return them."""
        commands = [it for it in self.table if it is not None]
        self.table = [None] * self.entries
        self.free = 0
        return commands

    def ring(self) -> None:
        """Tell the controller about the commands stored since the last time."""
        self.rung = self.tail
        self._write(self._tail_doorbell, self.tail)

    def release(self) -> None:
        """Give the memory back; only while the controller is disabled."""
        self._sq.free()
        self._cq.free()

    def _identifier(self, slot: int) -> int:
        """Find a free identifier for a slot: its own number unless that is taken."""
        cid = slot
        while self.table[cid] is not None:
            cid += self.entries
            if cid >= len(self.table):
                # There are fewer commands than entries, so CIDs stay below entries squared.
                self.table += [None] * self.entries
        return cid


class QueuePair(Ring[Command]):
    """An I/O queue pair.

    `lazy` is how many completions may be taken before the controller is told (the head doorbell).
    It is 1 with interrupts; a queue that is polled saves a register write per command by being
    lazier, and keeps so many entries free that the controller never runs out of them.
    """

    __slots__ = (
        "_capacity", "_fail", "_lazy", "_owed", "_quads", "_sqid", "_stored", "backlog", "next",
        "vector",
    )  # fmt: skip

    def __init__(
        self,
        qid: int,
        entries: int,
        dma: Dma,
        mmio: Mmio,
        cap: CAP,
        page: int,
        *,
        vector: int,
        lazy: int,
        fail: Callable[[Command, Status], None],
    ) -> None:
        self._lazy: Final = lazy
        self._capacity: Final = entries - lazy
        self._fail: Final = fail
        self._sqid: Final = CqeDw2(SQID=qid).raw
        self.vector: Final = vector
        self.backlog: Final[deque[Command]] = deque()  # what found the ring full
        self.next: QueuePair = self  # whose turn it is after a batch
        super().__init__(qid, entries, dma, mmio, cap, page)

    def reset(self) -> None:
        """Empty both rings; the backlog stays."""
        super().reset()
        self.free = self._capacity
        self._owed = 0  # completions taken and not yet told
        self._quads = self._sq.view.cast("Q")
        # What each slot holds under its own number as identifier.
        self._stored: list[Prepared | None] = [None] * self.entries

    @property
    def idle(self) -> bool:
        """True when every command has ended."""
        return self.free == self._capacity and not self.backlog

    @property
    def running(self) -> int:
        """How many commands the controller has, or is about to get."""
        return self._capacity - self.free

    def submit(
        self, opcode: int, nsid: int, prp1: int, prp2: int, cdw10: int, cdw12: int, done: Done, /
    ) -> None:
        """Store a command; the controller sees it at the next `ring`."""
        self.issue((opcode, nsid, prp1, prp2, cdw12), cdw10, done)

    def issue(self, prepared: Prepared, cdw10: int, done: Done, /) -> None:
        """Store a command, as `submit`; one that its slot held before costs one store."""
        if not self.free:
            self.backlog.append((prepared, cdw10, done))
            return
        tail = self.tail
        table = self.table
        if table[tail] is None and self._stored[tail] is prepared:
            table[tail] = prepared, cdw10, done
            self._quads[tail * _ENTRY_QUADS + _CDW10] = cdw10
        else:
            cid = tail
            if table[cid] is not None:
                cid = self._identifier(tail)
                table = self.table
            table[cid] = prepared, cdw10, done
            self._stored[tail] = prepared if cid == tail else None
            opcode, nsid, prp1, prp2, cdw12 = prepared
            _store(self._slots[tail], 0, opcode, cid, nsid, prp1, prp2, cdw10, cdw12)
        self.tail = tail + 1 & self._mask
        self.free -= 1

    def submit_many(
        self,
        opcode: int,
        nsid: int,
        lbas: Sequence[int],
        chunks: Sequence[DmaChunk],
        size: int,
        cdw12: int,
        dones: Sequence[Done],
        /,
    ) -> int:
        """Store one command per LBA, each for `size` bytes; return how many were stored.

        Stops early when the ring is full or a chunk is too small; the caller does the rest.
        """
        table, slots, mask, tail, free = self.table, self._slots, self._mask, self.tail, self.free
        stored = self._stored
        taken = 0
        for lba, chunk, done in zip(lbas[:free], chunks, dones, strict=False):
            if size > chunk.size:
                break
            cid = tail
            if table[cid] is not None:
                cid = self._identifier(tail)
            prp1 = chunk.iova
            prp2 = 0 if size <= chunk.page else chunk.prp2(size)
            table[cid] = (opcode, nsid, prp1, prp2, cdw12), lba, done
            stored[tail] = None
            _store(slots[tail], 0, opcode, cid, nsid, prp1, prp2, lba, cdw12)
            tail = tail + 1 & mask
            taken += 1
        self.tail = tail
        self.free = free - taken
        return taken

    def reap(self, looks: int = 1) -> int:
        """End the commands that the controller has completed; return how many.

        While there is none, looks again, up to `looks` times in all.

        Every `Done` is called after the rings are consistent again, so it may submit.  A completion
        for no command, or from another queue, stops the queue and sets `trouble`.
        """
        dwords, at, flip = self._dwords, self._at, self._flip
        word = dwords[at] ^ flip
        if word & _PHASE:
            for _ in repeat(None, looks - 1):
                word = dwords[at] ^ flip
                if not word & _PHASE:
                    break
            else:
                return 0
        table, end = self.table, self._end
        if word < _PHASE and at + _ENTRY < end and (dwords[at + _ENTRY] ^ flip) & _PHASE:
            # One alone, without an error and not at the wrap: the same as below, with less ado.
            command = table[word] if word < len(table) else None
            if command is not None:
                table[word] = None
                self._at = at + _ENTRY
                self.free += 1
                self._owed += 1
                if self._owed >= self._lazy:
                    self._owed = 0
                    self._write(self._head_doorbell, (at + _ENTRY) // _ENTRY)
                head = dwords[at - 1] - self._sqid
                if not 0 <= head <= self._mask:
                    self._mistrust(head)
                if self.backlog:
                    self._refill()
                command[2](0)
                return 1
        ended: list[Done] = []
        failed: list[tuple[Command, int]] | None = None
        while True:
            # A new completion without an error is its bare CID now.
            if word < _PHASE:
                try:
                    command = table[word]
                except IndexError:
                    command = None
                if command is None:
                    self.trouble = f"queue {self.qid} completed command {word:#x}, which is unknown"
                    break
                table[word] = None
                ended.append(command[2])
            elif word & _PHASE:
                break
            else:
                failed = failed or []
                if not self._take_failed(word, failed):
                    break
            at += _ENTRY
            if at > end:
                at = _DW3
                flip ^= _PHASE
            word = dwords[at] ^ flip
        self._at, self._flip = at, flip
        count = len(ended) if failed is None else len(ended) + len(failed)
        self.free += count
        self._owed += count
        if self._owed >= self._lazy:
            self._owed = 0
            self._write(self._head_doorbell, at // _ENTRY)
        # SQHD and SQID are looked at in the newest completion only; its index is negative at the
        # wrap.  What is read when there was none, after trouble, does not matter any more.
        head = dwords[at - _ENTRY - 1] - self._sqid
        if not 0 <= head <= self._mask:
            self._mistrust(head)
        if self.backlog:
            self._refill()
        for done in ended:
            done(0)
        if failed is not None:
            for command, word in failed:
                self._fail(command, Status.of(CqeDw3.of(word).SF << 1))
        return count

    def _mistrust(self, head: int) -> None:
        entry = CqeDw2.of(head + self._sqid)
        self.trouble = self.trouble or f"queue {self.qid} has {self.entries} entries, not {entry!r}"

    def _take_failed(self, word: int, failed: list[tuple[Command, int]]) -> bool:
        cid = CqeDw3.of(word).CID
        command = self.table[cid] if cid < len(self.table) else None
        if command is None:
            self.trouble = f"queue {self.qid} failed command {cid:#x}, which is unknown"
            return False
        self.table[cid] = None
        failed.append((command, word))
        return True

    def _refill(self) -> None:
        while self.backlog and self.free:
            self.issue(*self.backlog.popleft())
        if self.tail != self.rung:
            self.ring()


class Lobby:
    """Where commands wait while the controller is being reset, and where they end if it is dead.

    Stands in for a `QueuePair` wherever commands are submitted.
    """

    __slots__ = ("_refuse", "backlog", "errno", "next", "rung", "tail")

    def __init__(self, refuse: Callable[[Done, int], None]) -> None:
        self._refuse: Final = refuse
        self.backlog: Final[deque[Command]] = deque()
        self.errno = 0  # when not 0, commands are refused with it
        self.tail = self.rung = 0
        self.next = self

    def submit(
        self, opcode: int, nsid: int, prp1: int, prp2: int, cdw10: int, cdw12: int, done: Done, /
    ) -> None:
        """Keep a command, or refuse it."""
        self.issue((opcode, nsid, prp1, prp2, cdw12), cdw10, done)

    def issue(self, prepared: Prepared, cdw10: int, done: Done, /) -> None:
        """Keep a command, or refuse it."""
        if self.errno:
            self._refuse(done, self.errno)
        else:
            self.backlog.append((prepared, cdw10, done))

    def submit_many(self, *_batch: Any) -> int:
        """Take none: the caller submits one by one."""
        return 0

    def ring(self) -> None:
        """Nothing to tell: `tail` and `rung` never differ."""


class Answer(NamedTuple):
    """How an admin command ended."""

    status: Status | None  # None when the controller was reset before it answered
    result: int  # completion dword 0


AdminDone: TypeAlias = Callable[[Answer], None]


class AdminQueue(Ring[tuple[SQE, AdminDone]]):
    """The admin queue: few commands, whole records, no hurry."""

    __slots__ = ("_waiting",)

    def __init__(self, entries: int, dma: Dma, mmio: Mmio, cap: CAP, page: int) -> None:
        self._waiting: Final[deque[tuple[SQE, AdminDone]]] = deque()
        super().__init__(0, entries, dma, mmio, cap, page)

    def submit(self, sqe: SQE, done: AdminDone, /) -> None:
        """Issue `sqe`, whose CID is chosen here, now or as soon as the ring has room."""
        if not self.free:
            self._waiting.append((sqe, done))
            return
        slot = self._slots[self.tail]
        sqe.CID = self._identifier(self.tail)
        self.table[sqe.CID] = sqe, done
        sqe.store(slot)
        self.tail = self.tail + 1 & self._mask
        self.free -= 1
        self.ring()

    def in_flight(self) -> Iterator[tuple[int, tuple[SQE, AdminDone]]]:
        """Every command that should end by itself: not the wait for an asynchronous event."""
        return (
            (cid, it)
            for cid, it in super().in_flight()
            if it[0].OPC != AdminOpcode.ASYNCHRONOUS_EVENT_REQUEST
        )

    def drain(self) -> list[tuple[SQE, AdminDone]]:
        """Forget every command, also those that were not issued yet."""
        commands = super().drain() + list(self._waiting)
        self._waiting.clear()
        return commands

    def reap(self) -> int:
        """Answer the commands that the controller has completed; return how many."""
        answers: list[tuple[AdminDone, Answer]] = []
        while not (self._dwords[self._at] ^ self._flip) & _PHASE:
            cqe = CQE.load(self._cq.view, self._at // _ENTRY * CQE.size)
            entry = self.table[cqe.CID] if cqe.CID < len(self.table) else None
            if entry is None or cqe.SQID != 0 or cqe.SQHD >= self.entries:
                self.trouble = f"the admin queue completed {cqe!r}, which cannot be"
                break
            self.table[cqe.CID] = None
            answers.append((entry[1], Answer(Status.of(cqe.STATUS), cqe.DW0)))
            self._at += _ENTRY
            if self._at > self._end:
                self._at = _DW3
                self._flip ^= _PHASE
        if answers:
            self.free += len(answers)
            self._write(self._head_doorbell, self._at // _ENTRY)
        while self._waiting and self.free:
            self.submit(*self._waiting.popleft())
        for done, answer in answers:
            done(answer)
        return len(answers)
