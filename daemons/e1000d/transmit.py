"""The transmit ring: one slot of memory for each descriptor, filled in place, sent in batches.

Descriptors are written once, with address and command; what a frame adds is its length, and a
column of lengths is one slice.  Only one descriptor in `entries` / `_REPORTS` asks for a report
(RS): the card writes, and the driver looks at, no others.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from daemons.e1000d.regs import (
    BSIZE,
    TX_COMMAND_AT,
    TX_LENGTH_AT,
    TX_STATUS_AT,
    TxCommand,
    TxDescriptor,
    TxStatus,
)
from redbear_host.hw.ports import Dma

SHORTEST: Final = 60  # bytes; 82540's and 82545's own padding is not to be relied on
LEAST: Final = 14
_SIZE: Final = TxDescriptor.size
_DONE: Final = TxStatus(DD=True).raw
_COLUMNS_MOST: Final = 64  # lengths whose columns are kept
_REPORTS: Final = 8  # in a ring: slots come back by its eighths


class TransmitRing:
    """Descriptors, their slots, and where driver and card are in them."""

    def __init__(
        self,
        dma: Dma,
        entries: int,
        max_frame: int,
        tag: int,
        write: Callable[[int, int], None],
        register: int,
    ) -> None:
        """Make a ring of `entries`, a power of two from 64 to 4096.

        With `tag`, the card puts frames into that VLAN.  `write` puts the new tail into `register`
        (TDT).
        """
        self.entries: Final = entries
        self.on_full: Callable[[], None] = lambda: None
        """Called when someone was refused a slot; `reclaim` is to be looked at then."""
        self._mask: Final = entries - 1
        self._part: Final = entries // _REPORTS
        self._max: Final = max_frame
        self._write: Final = write
        self._register: Final = register
        stride = -(-max_frame // BSIZE) * BSIZE
        self._memory: Final = dma.alloc(entries * stride)
        self._ring: Final = dma.alloc(entries * _SIZE)
        self.iova: Final = self._ring.iova
        self.size: Final = self._ring.size
        command = TxCommand(EOP=True, IFCS=True, VLE=bool(tag)).raw
        self._plain: Final = command
        self._report: Final = command | TxCommand(RS=True).raw
        fresh = bytearray(self._ring.size)
        for index in range(entries):
            TxDescriptor(
                ADDRESS=self._memory.iova + index * stride, CMD=command, SPECIAL=tag
            ).store(fresh, index * _SIZE)
        self._fresh: Final = bytes(fresh)
        view, slots = self._ring.view, self._memory.view
        self._descriptors: Final = view
        self._lengths: Final = view.cast("H")[TX_LENGTH_AT // 2 :: _SIZE // 2]
        self._commands: Final = view[TX_COMMAND_AT::_SIZE]
        self._states: Final = view[TX_STATUS_AT::_SIZE]
        once = [slots[at : at + max_frame] for at in range(0, entries * stride, stride)]
        self._slots: Final = once + once  # a batch is one slice of it, also at the ring's end
        self._columns: Final[dict[int, memoryview[int]]] = {}
        self.reset()

    def reset(self, tail: int = 0) -> None:
        """Empty the ring; only while the card cannot reach it.  The card goes on at `tail`."""
        self._descriptors[:] = self._fresh
        self._tail = self.rung = tail  # `rung` is what the card was told last
        self._clean = tail  # the oldest descriptor that is not known to be done
        self._next = tail + self._part - 1 & self._mask  # the next one that is to report
        self._unmarked = self._part  # how many until then, itself included
        self._room = self._mask
        self._marks: deque[int] = deque()  # descriptors that are to report
        self.starved = False  # someone was refused, and waits

    def slots(self, most: int, /) -> Sequence[memoryview]:
        """See `NetworkAdapter.slots`."""
        room = self._room
        if room < most:
            room = self.reclaim() or self._refuse()
            most = min(most, room)
        return self._slots[self._tail : self._tail + most]

    def _refuse(self) -> int:
        self.starved = True
        self.on_full()
        # What was reported before the card was asked to interrupt for it is found now.
        room = self.reclaim()
        self.starved = not room
        return room

    def commit(self, lengths: Sequence[int], /) -> None:
        """See `NetworkAdapter.commit`; ValueError for frames and lengths that cannot be."""
        count = len(lengths)
        if count > self._room:
            raise ValueError(f"{count} frames are committed where {self._room} have room")
        tail = self._tail
        if count == 1:
            length = lengths[0]
            if not SHORTEST <= length <= self._max:
                length = self._pad(tail, length)
            self._lengths[tail] = length
        elif count:
            end = tail + count
            column = self._column(lengths, count)
            if end <= self.entries:
                self._lengths[tail:end] = column[:count]
            else:
                split = self.entries - tail
                self._lengths[tail:] = column[:split]
                self._lengths[: count - split] = column[split:count]
        self._tail = tail + count & self._mask
        self._room -= count
        self._unmarked -= count
        if self._unmarked <= 0:
            self._mark()

    def put(self, frame: bytes | memoryview, /) -> bool:
        """See `NetworkAdapter.put`; ValueError for a frame that cannot be."""
        room = self._room or self.reclaim() or self._refuse()
        if not room:
            return False
        tail, length = self._tail, len(frame)
        if SHORTEST <= length <= self._max:
            self._slots[tail][:length] = frame
        else:
            # Checked first: what is longer than a slot would not fit, and say so in other words.
            self._check(length)
            self._slots[tail][:length] = frame
            length = self._pad(tail, length)
        self._lengths[tail] = length
        self._room = room - 1
        self._unmarked -= 1
        if self._unmarked <= 0:
            self._mark()
        self._tail = tail + 1 & self._mask
        return True

    def _mark(self) -> None:
        """Ask for the reports that are due."""
        while self._unmarked <= 0:
            at = self._next
            self._commands[at] = self._report
            self._marks.append(at)
            self._next = at + self._part & self._mask
            self._unmarked += self._part

    def _column(self, lengths: Sequence[int], count: int) -> memoryview[int]:
        """Return at least `count` lengths, as the ring holds them."""
        first = lengths[0]
        if lengths.count(first) == count and SHORTEST <= first <= self._max:
            column = self._columns.get(first)
            if column is None:
                if len(self._columns) == _COLUMNS_MOST:
                    self._columns.clear()
                column = memoryview(array("H", [first]) * self.entries)
                self._columns[first] = column
            return column
        if min(lengths) < SHORTEST or max(lengths) > self._max:
            lengths = [self._pad(self._tail + i & self._mask, n) for i, n in enumerate(lengths)]
        return memoryview(array("H", lengths))

    def _pad(self, index: int, length: int) -> int:
        """Fill a short frame up with zeroes; return its length then."""
        self._check(length)
        if length < SHORTEST:
            self._slots[index][length:SHORTEST] = bytes(SHORTEST - length)
        return max(length, SHORTEST)

    def _check(self, length: int) -> None:
        if not LEAST <= length <= self._max:
            raise ValueError(f"a frame has {LEAST} to {self._max} bytes, not {length}")

    def flush_queue(self) -> None:
        """See `NetworkAdapter.flush_queue`."""
        tail = self._tail
        if tail != self.rung:
            self.rung = tail
            self._write(self._register, tail)

    def reclaim(self) -> int:
        """Take back what the card has sent; return how many slots are free."""
        marks, states = self._marks, self._states
        done = -1
        while marks and states[marks[0]] & _DONE:
            done = marks.popleft()
            states[done] = 0
            self._commands[done] = self._plain
        if done >= 0:
            self._clean = done + 1 & self._mask
            self._room = self._clean - self._tail - 1 & self._mask
        return self._room
