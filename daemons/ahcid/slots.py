"""A port's command list: the slots, the memory of their commands, and who waits for them.

Two kinds of commands never mix on a port (SATA, 13.6.3).  Queued ones are reads and writes; their
tag is their slot, and up to `depth` of them run at once.  All others are `Single`s, which run alone
in slot 0 when everything queued has ended, one of them between two batches of queued ones.

`CommandList.submit` and `CommandList.reap` run once per command and set the speed of the daemon.
They use prepared views, one packed store per command, and make no object but the tuple that
remembers it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

from daemons.ahcid import fis
from daemons.ahcid.regs import (
    DEVICE_LBA,
    HEADER_SIZE,
    LIST_SIZE,
    PORT_BASE,
    PORT_SIZE,
    PRD_MOST,
    PRD_SIZE,
    RECEIVED_PSFIS,
    RECEIVED_RFIS,
    RECEIVED_SDBFIS,
    RECEIVED_SIZE,
    SLOTS,
    TABLE_ACMD,
    TABLE_PRDS,
    TABLE_PRDT,
    TABLE_SIZE,
    Ata,
    CommandHeader,
    CommandTable,
    HeaderDw0,
    Port,
)
from redbear_host.bits import Mmio
from redbear_host.classes.commands import AtaDone, AtaResult
from redbear_host.classes.disk import Done
from redbear_host.hw.ports import Dma

Command: TypeAlias = tuple[int, int, int, int, int, int, Done]
"""Header dword 0 without PRDTL, FIS dword 0, LBA, blocks, IOVA, bytes, and whom to tell: what it
takes to issue a queued command, and to issue it again."""

MOST_BYTES: Final = TABLE_PRDS * PRD_MOST  # one command can name
SCRATCH: Final = 512  # bytes for the driver's own commands

_store = CommandTable.codec.pack_into
_ONE_PRD: Final = HeaderDw0(PRDTL=1).raw
_PRDTL: Final = 16  # shift
_HEADER_DWORDS: Final = HEADER_SIZE // 4
_LBA: Final = DEVICE_LBA << 24
_SCRATCH_AT: Final = LIST_SIZE + RECEIVED_SIZE
_TABLES_AT: Final = 2048
_SDB: Final = RECEIVED_SDBFIS // 4
_ANSWERS: Final = (RECEIVED_RFIS // 4, RECEIVED_PSFIS // 4)
SDB_ERR: Final = 0x0001_0000  # Status.ERR in the first dword of a Set Device Bits FIS
_CLOSED: Final[list[int]] = []  # stands for the free slots while no queued command may start

READ_HEADER: Final = fis.header()
WRITE_HEADER: Final = fis.header(write=True)
READ_QUEUED: Final = fis.word(Ata.READ_FPDMA_QUEUED)
WRITE_QUEUED: Final = fis.word(Ata.WRITE_FPDMA_QUEUED)


class Single:
    """A command that runs alone; `done` hears how it ended."""

    __slots__ = ("done", "frame", "iova", "patience", "size", "tries")

    def __init__(
        self,
        frame: fis.Frame,
        iova: int,
        size: int,
        done: AtaDone,
        *,
        tries: int = 1,
        patience: float = 1.0,
    ) -> None:
        """Move `size` bytes at `iova`; `tries` is how often it may be issued.

        It may take `patience` times as long as a read or write.
        """
        self.frame: Final = frame
        self.iova: Final = iova
        self.size: Final = size
        self.done: Final = done
        self.tries = tries
        self.patience: Final = patience


class CommandList:
    """The command list of one port, and what the port runs and will run."""

    def __init__(self, number: int, mmio: Mmio, dma: Dma, depth: int, limit: int) -> None:
        """Lay out memory below IOVA `limit` for `depth` queued commands, 1 to 32."""
        self._memory: Final = dma.alloc(_TABLES_AT + SLOTS * TABLE_SIZE, limit=limit)
        view, iova = self._memory.view, self._memory.iova
        self.list_iova: Final = iova
        self.received_iova: Final = iova + LIST_SIZE
        self.received: Final = view[LIST_SIZE : LIST_SIZE + RECEIVED_SIZE]
        self._answers: Final = self.received.cast("I")
        self.scratch: Final = view[_SCRATCH_AT : _SCRATCH_AT + SCRATCH]
        self.scratch_iova: Final = iova + _SCRATCH_AT
        self._headers: Final = view[:LIST_SIZE].cast("I")
        self._tables: Final = []
        for slot in range(SLOTS):
            at = _TABLES_AT + slot * TABLE_SIZE
            self._tables.append(view[at : at + TABLE_SIZE])
            CommandHeader(CTBA=iova + at).store(view, slot * HEADER_SIZE)
        base = PORT_BASE + number * PORT_SIZE
        self._sact: Final = base + Port.SACT.offset
        self._ci: Final = base + Port.CI.offset
        self._tfd: Final = base + Port.TFD.offset
        self._read: Final = mmio.read32
        self._write: Final = mmio.write32
        self.backlog: Final[deque[Command]] = deque()  # queued commands that wait for a slot
        self.singles: Final[deque[Single]] = deque()
        self.running: Single | None = None
        self.closed = True  # nothing new may be issued
        self._turn = True  # a single command goes before what is in the backlog
        self.most_at_once = 0  # queued commands the device had together
        self.resize(depth)

    def resize(self, depth: int) -> None:
        """Use `depth` slots for queued commands; nothing may run."""
        self.table: list[Command | None] = [None] * depth
        self.free = list(range(depth - 1, -1, -1))
        self.room = _CLOSED  # `free`, or nothing while queued commands must wait
        self.pending = 0  # slots the port was not told about yet
        self.issued = 0  # slots of queued commands the device has
        self.stray = 0  # slots the port says are active, and are not
        self.running = None

    def release(self) -> None:
        """Give the memory back; only while the port is stopped for good."""
        self._memory.free()

    # -- queued commands ---------------------------------------------------------------------------

    def submit(
        self, header: int, word: int, lba: int, blocks: int, iova: int, size: int, done: Done, /
    ) -> None:
        """Store a queued command; the device sees it at the next `ring`."""
        room = self.room
        if not room:
            self.backlog.append((header, word, lba, blocks, iova, size, done))
            return
        slot = room.pop()
        self.table[slot] = header, word, lba, blocks, iova, size, done
        if size > PRD_MOST:
            header += self._more_prds(slot, iova, size) << _PRDTL
            size = PRD_MOST
        # Count's upper bits hold the tag, Features the number of blocks (ACS-3, 7.24).
        _store(
            self._tables[slot], 0,
            word | (blocks & 0xFF) << 24, lba & 0xFF_FFFF | _LBA,
            lba >> 24 | (blocks >> 8 & 0xFF) << 24, slot << 3, 0, iova, 0, size - 1,
        )  # fmt: skip
        self._headers[slot * _HEADER_DWORDS] = header + _ONE_PRD
        self.pending |= 1 << slot

    def submit_many(
        self,
        header: int,
        word: int,
        lbas: Sequence[int],
        blocks: int,
        iovas: Sequence[int],
        size: int,
        dones: Sequence[Done],
        /,
    ) -> int:
        """Store one command per LBA, each for `size` bytes; return how many were stored.

        Stops early when there is no slot or a transfer takes more than one PRD; the caller does the
        rest.
        """
        room = self.room
        if size > PRD_MOST or not room:
            return 0
        table, tables, headers, pending = self.table, self._tables, self._headers, self.pending
        first, high, last = word | (blocks & 0xFF) << 24, (blocks >> 8 & 0xFF) << 24, size - 1
        entry = header + _ONE_PRD
        taken = 0
        for lba, iova, done in zip(lbas[: len(room)], iovas, dones, strict=False):
            slot = room.pop()
            table[slot] = header, word, lba, blocks, iova, size, done
            _store(
                tables[slot], 0, first, lba & 0xFF_FFFF | _LBA, lba >> 24 | high, slot << 3, 0,
                iova, 0, last,
            )  # fmt: skip
            headers[slot * _HEADER_DWORDS] = entry
            pending |= 1 << slot
            taken += 1
        self.pending = pending
        return taken

    def ring(self) -> None:
        """Give the device the commands stored since the last time."""
        pending = self.pending
        self._write(self._sact, pending)  # before PxCI (5.5.1)
        self._write(self._ci, pending)
        self.issued |= pending
        self.pending = 0
        self.most_at_once = max(self.most_at_once, self.issued.bit_count())

    def reap(self) -> int:
        """End the queued commands that the device has completed; return how many.

        Every `Done` is called after successors were issued and the list is consistent again, so it
        may submit.
        """
        issued = self.issued
        active = self._read(self._sact)
        ended = issued & ~active
        if active & ~issued:
            self.stray = active & ~issued
            if not ended or self.stray | issued == 0xFFFF_FFFF:
                return 0  # nothing of this can be believed
        if not ended:
            return 0
        self.issued = issued & active
        table, free = self.table, self.free
        dones: list[Done] = []
        while ended:
            slot = (ended & -ended).bit_length() - 1
            ended &= ended - 1
            command = table[slot]
            table[slot] = None
            free.append(slot)
            if command is not None:
                dones.append(command[6])
        if self.backlog or self.singles:
            self.go_on()
        for done in dones:
            done(0)
        return len(dones)

    def arrived(self, looks: int = 1) -> int:
        """Look into memory whether a FIS has come in since the last time: its first dword, or 0.

        While there is none, looks again, up to `looks` times in all.
        """
        answers = self._answers
        if self.running is not None:
            rfis, psfis = _ANSWERS
            return answers[rfis] or answers[psfis]
        for _ in range(looks):
            word = answers[_SDB]
            if word:
                answers[_SDB] = 0
                return word
        return 0

    # -- commands that run alone -------------------------------------------------------------------

    def enqueue(self, single: Single, *, first: bool = False) -> None:
        """Run `single` when everything before it has ended; with `first` before other singles."""
        if first:
            self.singles.appendleft(single)
        else:
            self.singles.append(single)
        self.room = _CLOSED
        if self.pending:
            self.ring()
        self.go_on()

    def go_on(self) -> None:
        """Issue what may be issued now, if the port is open."""
        if self.closed or self.running is not None:
            return
        if self.singles:
            self.room = _CLOSED
            if self.issued or self.pending:
                return  # they drain
            if self._turn:
                self._turn = False
                self.begin(self.singles.popleft())
                return
        self._turn = True
        self.room = room = self.free
        while self.backlog and room:
            self.submit(*self.backlog.popleft())
        if self.pending:
            self.ring()
        if self.singles:
            self.room = _CLOSED
            if not self.issued:
                self.go_on()

    def begin(self, single: Single) -> None:
        """Issue a single command, now."""
        frame, size = single.frame, single.size
        self.received[:] = bytes(RECEIVED_SIZE)
        table = self._tables[0]
        dbc = min(size, PRD_MOST) - 1 if size else 0
        _store(table, 0, frame.dw0, frame.dw1, frame.dw2, frame.dw3, 0, single.iova, 0, dbc | 1)
        if frame.packet:
            table[TABLE_ACMD : TABLE_ACMD + len(frame.packet)] = frame.packet
        prds = 1 if size else 0
        if size > PRD_MOST:
            prds += self._more_prds(0, single.iova, size)
        self._headers[0] = frame.header | prds << _PRDTL
        self._headers[1] = 0  # PRDBC
        self.running = single
        single.tries -= 1
        self._write(self._ci, 1)

    @property
    def ended(self) -> bool:
        """Whether the single command that runs has ended, by PxCI."""
        return not self._read(self._ci) & 1

    def result(self) -> AtaResult:
        """How the single command that ran has ended: what the device wrote last."""
        return fis.result(self.received, self._read(self._tfd), self._headers[1])

    # -- all commands ------------------------------------------------------------------------------

    def open(self) -> None:
        """Let commands flow: those that waited go first."""
        self.closed = False
        self.room = self.free
        self.go_on()

    def close(self) -> None:
        """Issue nothing new; what was stored and not issued waits with the others."""
        self.closed = True
        self.room = _CLOSED
        pending, self.pending = self.pending, 0
        self.backlog.extendleft(self._take(pending).values())

    def evict(self) -> dict[int, Command]:
        """Take every queued command back that the device has, by its slot.

        Only while the port is stopped.
        """
        issued, self.issued, self.stray = self.issued, 0, 0
        return self._take(issued)

    def drain(self) -> tuple[list[Command], list[Single]]:
        """Take everything out, also what waits; only while the port is stopped."""
        self.close()
        commands = [*self.evict().values(), *self.backlog]
        singles = ([] if self.running is None else [self.running]) + list(self.singles)
        self.running = None
        self.backlog.clear()
        self.singles.clear()
        return commands, singles

    @property
    def busy(self) -> bool:
        """True while a command has not ended."""
        waiting = self.backlog or self.singles
        return bool(self.issued or self.pending or self.running is not None or waiting)

    def _take(self, mask: int) -> dict[int, Command]:
        taken: dict[int, Command] = {}
        for slot, command in enumerate(self.table):
            if mask >> slot & 1 and command is not None:
                self.table[slot] = None
                self.free.append(slot)
                taken[slot] = command
        return taken

    def _more_prds(self, slot: int, iova: int, size: int) -> int:
        """Write all PRDs but the first of a long transfer; return how many."""
        table, count = self._tables[slot], 0
        # The packed store of the first PRD ends before these.
        for at in range(PRD_MOST, size, PRD_MOST):
            count += 1
            place = TABLE_PRDT + count * PRD_SIZE
            piece = min(PRD_MOST, size - at)
            table[place : place + PRD_SIZE] = b"".join(
                (
                    (iova + at).to_bytes(8, "little"),
                    bytes(4),
                    (piece - 1).to_bytes(4, "little"),
                )
            )
        return count
