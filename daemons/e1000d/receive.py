"""The receive ring: the card fills buffers of `BSIZE` bytes, frames are lent out where they lie.

The buffers lie one after another, in the order of their descriptors, so that a frame of many
buffers is one piece of memory.  Only one that goes on at the ring's start has what is there copied
to spare room behind the ring's end.

A ring is looked at in columns: the status bytes of many descriptors are one slice, so a batch costs
a few operations and one view per frame, and not even that where frames have lengths seen before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import getitem
from typing import Final, cast

from daemons.e1000d.regs import (
    BSIZE,
    RX_ERRORS_AT,
    RX_LENGTH_AT,
    RX_LONGEST,
    RX_STATUS_AT,
    RxDescriptor,
    RxErrors,
    RxStatus,
)
from redbear_host.hw.ports import Dma

LEAST: Final = 14  # bytes of a frame: two addresses and a type
_SIZE: Final = RxDescriptor.size
_DONE: Final = RxStatus(DD=True).raw
_END: Final = RxStatus(EOP=True).raw
_TAGGED: Final = RxStatus(VP=True).raw
_BAD: Final = RxErrors(CE=True, SE=True, SEQ=True, CXE=True, RXE=True).raw
_FULL: Final = b"\1"  # how a descriptor shows that holds a frame and nothing unusual
_ALIKE_LEAST: Final = 8  # frames of one length in a row for which views are worth keeping
_ALIKE_MOST: Final = 4  # lengths
_part: Final = cast("Callable[[memoryview, slice], memoryview]", getitem)


class ReceiveRing:
    """Descriptors, their buffers, and where driver and card are in them."""

    def __init__(
        self,
        dma: Dma,
        entries: int,
        max_frame: int,
        tagged: bool,
        write: Callable[[int, int], None],
        register: int,
    ) -> None:
        """Make a ring of `entries`, a power of two from 64 to 4096.

        With `tagged`, frames that came without a tag are dropped.  `write` puts the new tail into
        `register` (RDT) when buffers were given back.
        """
        self.entries: Final = entries
        self.dropped = 0  # frames that were damaged, too long, or of no VLAN of ours
        self.trouble = ""  # what the card did that it must not do
        self._mask: Final = entries - 1
        self._max: Final = max_frame
        self._lazy: Final = entries // 16  # buffers that are given back at a time
        self._write: Final = write
        self._register: Final = register
        self._must: Final = _DONE | _END | (_TAGGED if tagged else 0)
        looked_at = _DONE | _END | _TAGGED if tagged else _DONE | _END
        # One byte's translation: all that is usual becomes `_FULL`.
        self._usual: Final = bytes(byte & looked_at == self._must for byte in range(256))
        self._end: Final = entries * BSIZE
        spare = -(-max_frame // BSIZE) * BSIZE
        self._buffers: Final = dma.alloc(self._end + spare)
        self._ring: Final = dma.alloc(entries * _SIZE)
        self.iova: Final = self._ring.iova
        self.size: Final = self._ring.size
        fresh = bytearray(self._ring.size)
        for index in range(entries):
            RxDescriptor(ADDRESS=self._buffers.iova + index * BSIZE).store(fresh, index * _SIZE)
        self._fresh: Final = memoryview(bytes(fresh))
        memory, buffers = self._ring.view, self._buffers.view
        self._memory: Final = memory
        self._bytes: Final = buffers
        self._status: Final = memory[RX_STATUS_AT::_SIZE]
        self._errors: Final = memory[RX_ERRORS_AT::_SIZE]
        self._lengths: Final = memory.cast("H")[RX_LENGTH_AT // 2 :: _SIZE // 2]
        self._each: Final = [buffers[at : at + BSIZE] for at in range(0, self._end, BSIZE)]
        self._fits: Final = min(BSIZE, max_frame)
        self._cut: Final = [slice(length) for length in range(self._fits + 1)]
        self._alike: Final[dict[int, list[memoryview]]] = {}  # length → a view of each buffer
        self.reset()

    def reset(self, head: int = 0) -> None:
        """Empty the ring; only while the card cannot reach it.  The card goes on at `head`."""
        self._memory[:] = self._fresh
        self.trouble = ""
        self._go_to(head)

    def _go_to(self, head: int) -> None:
        self.head = head  # the oldest descriptor that is not given back
        self.partial = False  # there is the beginning of a frame at `head`
        self._lent = 0  # frames that `received` returned last
        self._spans: list[int] | None = None  # how many descriptors each took; None: one
        self._owed = 0  # buffers given back that the card was not told of
        self._passed = 0  # descriptors given back, ever
        self._judged = 0  # how many were looked at when frames were dropped

    def find_head(self, card: int) -> None:
        """Go to the first frame that the card has brought since `reset`, which is at `card` now."""
        head = card
        for _ in range(self.entries - 1):
            before = head - 1 & self._mask
            if not self._status[before] & _DONE:
                break
            head = before
        self._go_to(head)

    @property
    def tail(self) -> int:
        """What RDT has to be while all buffers are the card's."""
        return self.head - 1 & self._mask

    @property
    def waiting(self) -> bool:
        """Whether there is a frame, or a piece of one, at the head."""
        return bool(self._status[self.head] & _DONE)

    def received(self, most: int, /) -> Sequence[memoryview]:
        """See `NetworkAdapter.received`."""
        head = self.head
        if not self._status[head] & _DONE or self.trouble:
            return ()
        most = min(most, self._mask)
        left = self.entries - head
        found = self._run(head, min(most, left))
        if len(found) == left < most:
            found = found + self._run(0, most - left)
        count = len(found)
        if count < most and self._status[head + count & self._mask] & _DONE:
            return self._walk(most)
        self._spans = None
        self._lent = count
        return found

    def _run(self, at: int, count: int) -> list[memoryview]:
        """Return the frames of usual descriptors from `at` on, before any that is not."""
        end = at + count
        status = self._status[at:end].tobytes().translate(self._usual)
        run = count - len(status.lstrip(_FULL))
        if not run:
            return []
        end = at + run
        if self._errors[at:end].tobytes().strip(b"\0"):
            return []
        lengths = self._lengths[at:end]
        first = lengths[0]
        known = self._alike.get(first)
        if known is not None or run >= _ALIKE_LEAST:
            raw = lengths.tobytes()
            if raw == raw[:2] * run and LEAST <= first <= self._fits:
                return (known or self._remember(first))[at:end]
        each = lengths.tolist()
        if min(each) < LEAST or max(each) > self._fits:
            return []
        return list(map(_part, self._each[at:end], map(self._cut.__getitem__, each)))

    def _remember(self, length: int) -> list[memoryview]:
        if len(self._alike) == _ALIKE_MOST:
            del self._alike[next(iter(self._alike))]
        views = self._alike[length] = [buffer[:length] for buffer in self._each]
        return views

    def _walk(self, most: int) -> list[memoryview]:
        """Do what `received` does one descriptor at a time, where any may be unusual."""
        frames: list[memoryview] = []
        spans: list[int] = []
        start = at = self.head
        size = span = 0
        for looked in range(1, self.entries):
            status, length = self._status[at], self._lengths[at]
            if not status & _DONE:
                break
            ends = bool(status & _END)
            size += length
            if length > BSIZE or size > RX_LONGEST or not (ends or length == BSIZE) or not size:
                self.trouble = f"its receive descriptor {at} has {length} bytes, status {status:#x}"
                break
            at = at + 1 & self._mask
            span += 1
            if not ends:
                continue
            if self._takes(status, self._errors[at - 1 & self._mask], size):
                frames.append(self._joined(start, size))
                spans.append(span)
                span = 0
            elif self._passed + looked > self._judged:
                self._judged = self._passed + looked
                self.dropped += 1
            start, size = at, 0
            if len(frames) == most:
                break
        self.partial = not frames and bool(size)
        if span and not frames and not size:
            # Nothing but frames to be dropped.
            self._give_back(span)
        self._spans = spans
        self._lent = len(frames)
        return frames

    def _takes(self, status: int, errors: int, size: int) -> bool:
        return (
            not errors & _BAD and status & self._must == self._must and LEAST <= size <= self._max
        )

    def _joined(self, start: int, size: int) -> memoryview:
        first = start * BSIZE
        over = first + size - self._end
        if over > 0:
            self._bytes[self._end : self._end + over] = self._bytes[:over]
        return self._bytes[first : first + size]

    def release(self, count: int, /) -> None:
        """See `NetworkAdapter.release`; ValueError for more than were lent out."""
        if count > self._lent:
            raise ValueError(f"{count} frames are given back, of which {self._lent} were received")
        self._lent -= count
        spans = self._spans
        if spans is not None:
            gone, self._spans = spans[:count], spans[count:]
            count = sum(gone)
        self._give_back(count)

    def _give_back(self, count: int) -> None:
        head, entries = self.head, self.entries
        end = head + count
        if end <= entries:
            here = slice(head * _SIZE, end * _SIZE)
            self._memory[here] = self._fresh[here]
        else:
            here = slice(head * _SIZE, None)
            self._memory[here] = self._fresh[here]
            rest = slice(0, (end - entries) * _SIZE)
            self._memory[rest] = self._fresh[rest]
        self.head = end & self._mask
        self._passed += count
        self._owed += count
        if self._owed >= self._lazy:
            self._owed = 0
            self._write(self._register, self.head - 1 & self._mask)
