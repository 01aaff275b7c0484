"""A disk as a run of bytes: any offset, any length, many requests at once."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from redbear_host.abi import errno as e
from redbear_host.classes.disk import Disk
from redbear_host.classes.parts import Ending, Gather, Scatter, Trim
from redbear_host.classes.readahead import SEGMENTS_MOST, Ahead
from redbear_host.classes.transfers import Job, Pool, Transfer
from redbear_host.classes.writes import Edit, Patch, Store, Write
from redbear_host.classes.zeroing import ZEROES, Zeroing
from redbear_host.scheme.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable

SMALL_BYTES: Final = 16 << 10
SMALL_MOST: Final = 64
LARGE_MOST: Final = 16


class Fetch(Job):
    """Whole blocks to read, at most as many as a large transfer holds."""

    __slots__ = ("_blocks", "_io", "_lba")

    def __init__(
        self, io: DiskIo, lba: int, blocks: int, request: Request, origin: Request
    ) -> None:
        super().__init__(0, 0, request, origin)
        self._io: Final = io
        self._lba: Final = lba
        self._blocks: Final = blocks

    def begin(self, transfer: Transfer) -> None:
        """Read the blocks."""
        io = self._io
        transfer.request = self.request
        transfer.size = self._blocks << io.shift
        io.queued = True
        io.disk.read(self._lba, self._blocks, transfer.chunk, transfer.read_done)


class DiskIo:
    """Turns byte ranges of one disk into its commands.

    Ranges are absolute, not empty, and inside the disk: whoever calls has clamped them.  `request`
    is answered with the bytes (a view that is good until `answer` returns), the number of bytes
    written, or None; `origin` is the client's request behind it.  `queued` says that the disk holds
    commands it has not been told to begin; the scheme's `end_batch` clears it.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        small_bytes: int = SMALL_BYTES,
        small_most: int = SMALL_MOST,
        large_most: int = LARGE_MOST,
        ahead_most: int = SEGMENTS_MOST,
    ) -> None:
        size, longest = disk.block_size, disk.max_transfer
        if size & size - 1 or not 0 < size <= min(len(ZEROES), longest) or longest % size:
            raise ValueError(
                f"disk {disk.number} has blocks of {size} bytes and moves at most {longest}"
            )
        self.disk: Final = disk
        self.block_size: Final = size
        self.block_count: Final = disk.block_count
        self.mask: Final = size - 1
        self.shift: Final = size.bit_length() - 1
        self.queued = False
        self.zeroes_itself = True  # until the disk says EOPNOTSUPP
        self.edits: Final[dict[int, Edit]] = {}  # by block
        self.stalled: Final[deque[Write]] = deque()
        self.zeroing: Final[list[Zeroing]] = []
        large = min(longest, len(ZEROES))
        self.small: Final = Pool(self, min(large, max(small_bytes, size)), small_most)
        self.large: Final = (
            self.small if large == self.small.size else Pool(self, large, large_most)
        )
        self.ahead: Final = Ahead(self, ahead_most)
        self.read_ahead: Final = self.ahead.live  # empty: no write has to care
        self._altering: Final[list[tuple[int, int]]] = []

    # -- what a scheme asks for ------------------------------------------------------------------

    def read(self, start: int, size: int, request: Request, origin: Request) -> None:
        """Read `size` bytes from byte `start`."""
        origin.on_cancel = self.cancel
        first, skip = start >> self.shift, start & self.mask
        blocks = ((start + size + self.mask) >> self.shift) - first
        total = blocks << self.shift
        if total <= self.large.size:
            if total != size:
                request = Trim(request, skip, size)
            self.pool_for(total).take(Fetch(self, first, blocks, request, origin))
            return
        gather = Gather(request, total, skip, size)
        step = self.large.size >> self.shift
        for done in range(0, blocks, step):
            count = min(step, blocks - done)
            part = gather.part(done << self.shift)
            job = Fetch(self, first + done, count, part, origin)
            self.pool_for(count << self.shift).take(job)
        gather.sealed()

    def write(self, start: int, data: memoryview, request: Request, origin: Request) -> None:
        """Write `data` from byte `start` on; only blocks it covers in part are read first."""
        origin.on_cancel = self.cancel
        size = len(data)
        if not (start | size) & self.mask and size <= self.large.size:
            self.store(start >> self.shift, data, request, origin)
            return
        parts = Scatter(request, size)
        head, tail = self._edges(start, size)
        if head:
            self._patch(start, data[:head], parts.part(), origin)
        for done in range(head, size - tail, self.large.size):
            piece = data[done : min(done + self.large.size, size - tail)]
            self.store((start + done) >> self.shift, piece, parts.part(), origin)
        if tail:
            self._patch(start + size - tail, data[size - tail :], parts.part(), origin)
        parts.sealed()

    def zero(
        self, start: int, size: int, deallocate: bool, request: Request, origin: Request
    ) -> None:
        """Make `size` bytes from byte `start` read as zero."""
        origin.on_cancel = self.cancel
        parts = Scatter(request, None)
        head, tail = self._edges(start, size)
        if head:
            self._patch(start, ZEROES[:head], parts.part(), origin)
        first, stop = (start + head) >> self.shift, (start + size - tail) >> self.shift
        if first < stop:
            Zeroing(self, first, stop, deallocate, parts.part(), origin).step()
        if tail:
            self._patch(start + size - tail, ZEROES[:tail], parts.part(), origin)
        parts.sealed()

    def flush(self, request: Request, result: Any = None) -> None:
        """Make what was answered as written durable; then answer `result`."""
        self.queued = True
        self.disk.flush(Ending(request, result))

    def cancel(self, origin: Request) -> None:
        """Refuse what waits here for `origin`; what the device has is answered when it is done."""
        origin.cancelled = True
        queues: Iterable[deque[Any]] = (self.small.waiting, self.large.waiting, self.stalled)
        dropped: list[Any] = []
        for queue in queues:
            gone = [one for one in queue if one.origin.cancelled]
            if gone:
                dropped += gone
                kept = [one for one in queue if not one.origin.cancelled]
                queue.clear()
                queue.extend(kept)
        for edit in self.edits.values():
            dropped += edit.withdraw()
        for one in dropped:
            one.request.refuse(e.ECANCELED)
        if self.stalled:
            self.resume()

    def alter(self, first: int, end: int) -> None:
        """Hear that a command nobody here made is about to change blocks `first` up to `end`."""
        self._altering.append((first, end))
        self.ahead.changed(first, end)

    def altered(self, first: int, end: int) -> None:
        """Hear that it has ended, before its client does."""
        self._altering.remove((first, end))

    # -- what writes ask of each other -------------------------------------------------------------

    def pool_for(self, size: int) -> Pool:
        """Return the pool for a transfer of `size` bytes."""
        return self.small if size <= self.small.size else self.large

    def store(self, first: int, data: memoryview, request: Request, origin: Request) -> None:
        """Write whole blocks, at most a large transfer."""
        self.admit(Store(self, first, data, request, origin))

    def admit(self, write: Write) -> None:
        """Start a write, or let it stall."""
        if self.stalled or not write.may_start():
            self.stalled.append(write)
        else:
            write.start()

    def resume(self) -> None:
        """Start stalled writes, in their order, as far as nothing forbids it any more."""
        stalled = self.stalled
        while stalled and stalled[0].may_start():
            stalled.popleft().start()

    def edited(self, first: int, end: int) -> bool:
        """Tell whether a block from `first` up to `end` is being edited."""
        edits = self.edits
        if end - first < len(edits):
            return any(lba in edits for lba in range(first, end))
        return any(first <= lba < end for lba in edits)

    def overwriting(self, lba: int) -> bool:
        """Tell whether a whole write of the block is in flight or in the queue for memory."""
        for pool in (self.small, self.large):
            if any(one.first <= lba < one.end for one in pool.transfers):
                return True
            if any(one.first <= lba < one.end for one in pool.waiting):
                return True
        return any(one.first <= lba < one.end for one in self.zeroing)

    def changing(self, first: int, end: int) -> bool:
        """Tell whether the disk is changing a block from `first` up to `end`."""
        if self.edits and self.edited(first, end):
            return True
        busy = [(one.first, one.end) for one in (*self.small.transfers, *self.large.transfers)]
        busy += [(one.first, one.end) for one in self.zeroing]
        return any(start < end and first < stop for start, stop in busy + self._altering)

    def _edges(self, start: int, size: int) -> tuple[int, int]:
        """Return how many bytes a range has in blocks it covers in part, at its two ends."""
        head = min(-start & self.mask, size)
        return head, (start + size & self.mask) if size > head else 0

    def _patch(self, start: int, data: memoryview, request: Request, origin: Request) -> None:
        patch = Patch(self, start >> self.shift, start & self.mask, data, request, origin)
        self.admit(patch)
