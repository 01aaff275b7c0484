"""Reading ahead for those who read in order, so that the disk works while they copy.

A handle whose reads follow each other gets a `Stream`: a window of bytes behind its position, kept
as `Segment`s, each one command of the disk into memory of its own.  The window doubles when a
segment was used up and halves when the reader jumps or somebody writes into it; a reader who jumps
twice has no stream any more.  Nothing is read ahead for anybody else.

What was read ahead may never be older than an answered write.  So a change withdraws what it
touches when it begins (`Ahead.changed`), and until it has ended nothing is read ahead there.  An
error while reading ahead is nobody's: the segment is dropped, and whoever waits for it has his
bytes read by themselves.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from redbear_host.classes.disk import Chunk, Done
from redbear_host.classes.parts import Gather
from redbear_host.scheme.request import LATER, Later, Request

if TYPE_CHECKING:
    from redbear_host.classes.diskio import DiskIo

SEGMENTS_MOST: Final = 8  # of one disk, each as long as a large transfer: all the memory there is
SEGMENT_BYTES: Final = 1 << 20
WINDOW_MOST: Final = 4 << 20  # bytes of one stream
WINDOW_LEAST: Final = 16 << 10
SHARES: Final = 4  # segments that make up a window
RUN: Final = 2  # reads that have to follow the one before them
JUMPS: Final = 2  # reads elsewhere in a row that end a stream
WASTES: Final = 8  # segments lost to writers, less those that were used, which end it as well ...
PENALTY: Final = 64  # ... for so many reads

_log = logging.getLogger(__name__)


class Segment:
    """Memory for one command, and the bytes of the disk from `start` to `end` that are in it.

    `base` is the byte the memory begins with; `start` moves up and `end` down when others write.
    """

    __slots__ = (
        "_ahead",
        "base",
        "chunk",
        "cut",
        "done",
        "end",
        "left",
        "running",
        "start",
        "stream",
        "view",
        "waiting",
    )

    def __init__(self, ahead: Ahead, chunk: Chunk) -> None:
        self._ahead: Final = ahead
        self.chunk: Final = chunk
        self.view: Final = chunk.view
        self.done: Final[Done] = self._done
        self.base = self.start = self.end = 0
        self.left = 0  # bytes the stream has not read yet
        self.cut = False  # somebody wrote into what the stream was to read
        self.running = False  # the device has it
        self.stream: Stream | None = None  # None: nobody wants it any more
        self.waiting: list[tuple[Request, Request, int, int]] = []  # whom to answer with what

    def begin(self, stream: Stream, start: int, end: int) -> None:
        """Read bytes `start` to `end`, whole blocks."""
        io = self._ahead.io
        self.base = self.start = start
        self.end = end
        self.left = end - max(start, stream.position)
        self.stream = stream
        self.cut = False
        self.running = True
        io.queued = True
        io.disk.read(start >> io.shift, (end - start) >> io.shift, self.chunk, self.done)

    def bytes(self, start: int, size: int) -> memoryview:
        """Return what was read."""
        start -= self.base
        return self.view[start : start + size]

    def _done(self, error: int) -> None:
        ahead = self._ahead
        self.running = False
        waiting, self.waiting = self.waiting, []
        for request, origin, start, size in waiting:
            if error:
                ahead.io.read(start, size, request, origin)
            else:
                request.answer(self.bytes(start, size))
        if self.stream is None:
            ahead.free.append(self)
        elif error:
            self.stream.fail(self)


class Stream:
    """What one handle reads in order: `position` is where it is, `limit` where its file ends.

    The segments lie one behind the other.  Bytes are counted from the start of the disk.
    """

    __slots__ = (
        "_ahead",
        "_jumps",
        "_size",
        "_wastes",
        "limit",
        "position",
        "segments",
        "window",
    )

    def __init__(self, ahead: Ahead, position: int, limit: int) -> None:
        self._ahead: Final = ahead
        self.limit: Final = limit
        self.position = position
        self.segments: list[Segment] = []
        self.window = 0
        self._size = 0  # of the last read
        self._jumps = self._wastes = 0

    @property
    def hopeless(self) -> bool:
        """True when reading ahead has not helped lately."""
        return self._jumps >= JUMPS or self._wastes >= WASTES

    @property
    def penalty(self) -> int:
        """For how many reads not to try again."""
        return PENALTY if self._wastes >= WASTES else 0

    def read(self, start: int, size: int, request: Request) -> memoryview | Later | None:
        """Return the bytes, or `LATER` when the disk is about to bring them.

        None when nobody has asked it for them: then the caller has to.
        """
        end = start + size
        segments = self.segments
        for segment in segments:
            if segment.start <= start < segment.end:
                break
        else:
            self._miss(start, end)
            return None
        if end > segment.end:
            return self._gather(segment, start, end, request)
        self._jumps = 0
        self._size = size
        if end > self.position:
            self.position = end
        segment.left -= size
        if segment.left <= 0:
            self._ahead.feed_soon(self)
            if self._wastes and not segment.cut:
                self._wastes -= 1
        if segment.running:
            segment.waiting.append((request, request, start, size))
            return LATER
        return segment.bytes(start, size)

    def _miss(self, start: int, end: int) -> None:
        if start == self.position:
            self._size = end - start
            self.position = end
            self._ahead.feed_soon(self)
        else:
            self._jumps += 1
            self._shrink()

    def _gather(self, segment: Segment, start: int, end: int, request: Request) -> Later | None:
        """Put a read together that begins in `segment` and goes on in those behind it."""
        index = self.segments.index(segment)
        reach = segment.end
        used = [segment]
        for one in self.segments[index + 1 :]:
            if reach >= end or one.start != reach:
                break
            reach = one.end
            used.append(one)
        if reach < end:
            self._miss(start, end)
            return None
        gather = Gather(request, end - start, 0, end - start)
        for one in used:
            first, last = max(start, one.start), min(end, one.end)
            one.left -= last - first
            part = gather.part(first - start)
            if one.running:
                one.waiting.append((part, request, first, last - first))
            else:
                part.answer(one.bytes(first, last - first))
        self._jumps = 0
        self._size = end - start
        self.position = max(self.position, end)
        self._ahead.feed_soon(self)
        gather.sealed()
        return LATER

    def feed(self) -> None:
        """Give back what was read, and have more read until the window is full."""
        used = [one for one in self.segments if one.left <= 0 and not one.running]
        behind = self.position - self._ahead.longest  # what arrives out of order is no older
        used += [one for one in self.segments if one.left > 0 and one.end <= behind]
        for segment in used:
            self.segments.remove(segment)
            self._ahead.let_go(segment)
        if self._wastes >= WASTES:
            return  # the next read ends it
        if used or not self.window:
            least = max(WINDOW_LEAST, 2 * self._size)
            self.window = max(least, min(2 * self.window, self._ahead.widest))
        at = max(self.position, self.segments[-1].end if self.segments else 0)
        while at < self.limit and at - self.position < self.window:
            length = min(self.window // SHARES, self._ahead.longest)
            length = max(length - length % self._size, self._size)
            begun = self._ahead.begin(self, at, min(at + length, self.limit))
            if begun is None:
                break
            self.segments.append(begun)
            at = begun.end

    def changed(self, segment: Segment, first: int, end: int) -> None:
        """Somebody writes bytes `first` to `end`, some of which `segment` has."""
        if end <= self.position:
            segment.start = end  # he has read them already
        else:
            segment.end = max(first, segment.start)
            segment.cut = True
            self._shrink()
            index = self.segments.index(segment)
            self._wastes += len(self.segments) - index
            for one in self.segments[index + 1 :]:
                self._ahead.let_go(one)
            del self.segments[index + 1 :]
        segment.left = segment.end - max(segment.start, self.position)
        if segment.start >= segment.end:
            self.segments.remove(segment)
            self._ahead.let_go(segment)

    def fail(self, segment: Segment) -> None:
        """Drop a segment that the disk could not read, and what is behind it."""
        index = self.segments.index(segment)
        for one in self.segments[index:]:
            self._ahead.let_go(one)
        del self.segments[index:]
        self._shrink()

    def _shrink(self) -> None:
        self.window = max(self.window // 2, 1)  # 1: not more than the reader is about to ask for

    def close(self) -> None:
        """Drop everything."""
        for segment in self.segments:
            self._ahead.let_go(segment)
        self.segments.clear()
        self._ahead.forget(self)


class Ahead:
    """All that is read ahead of one disk."""

    def __init__(self, io: DiskIo, most: int) -> None:
        """Keep at most `most` segments, each as long as a large transfer; 0 reads nothing ahead."""
        self.io: Final = io
        self.longest: Final = min(io.large.size, SEGMENT_BYTES)
        self.widest: Final = min(WINDOW_MOST, self.longest * SHARES)
        self.free: Final[list[Segment]] = []
        self.live: Final[list[Segment]] = []  # those of a stream
        self._most = most
        self._made = 0
        self._hungry: dict[Stream, None] = {}
        self._used: Final[dict[Stream, None]] = {}  # with segments; who was fed last comes last

    def stream(self, position: int, limit: int) -> Stream | None:
        """Begin to read ahead behind byte `position`; None if that is not done here."""
        return Stream(self, position, limit) if self._most else None

    def feed_soon(self, stream: Stream) -> None:
        """Look after a stream at the end of the batch: its last answer is then out of our hands."""
        self._hungry[stream] = None
        self.io.queued = True

    def feed(self) -> None:
        """Look after those who asked for it."""
        if self._hungry:
            hungry, self._hungry = self._hungry, {}
            for stream in hungry:
                stream.feed()

    def begin(self, stream: Stream, start: int, end: int) -> Segment | None:
        """Have the blocks around bytes `start` to `end` read; None where that must not be now."""
        io = self.io
        start &= ~io.mask
        end = min((end + io.mask) & ~io.mask, start + self.longest)
        if io.changing(start >> io.shift, end >> io.shift):
            return None
        segment = self._take(stream)
        if segment is not None:
            self._used.pop(stream, None)
            self._used[stream] = None
            self.live.append(segment)
            segment.begin(stream, start, end)
        return segment

    def _take(self, stream: Stream) -> Segment | None:
        if self.free:
            return self.free.pop()
        if self._made < self._most:
            try:
                chunk = self.io.disk.chunk(self.longest)
            except MemoryError:
                self._most = self._made
                _log.info("disk %d reads ahead with %d segments", self.io.disk.number, self._made)
            else:
                self._made += 1
                return Segment(self, chunk)
        for other in list(self._used):
            if other is not stream:
                other.close()
                if self.free:
                    return self.free.pop()
        return None

    def let_go(self, segment: Segment) -> None:
        """Take a segment from its stream; one that the device has is free when it is done."""
        self.live.remove(segment)
        segment.stream = None
        if not segment.running:
            self.free.append(segment)

    def forget(self, stream: Stream) -> None:
        """Forget a stream that has nothing any more."""
        self._used.pop(stream, None)
        self._hungry.pop(stream, None)

    def changed(self, first: int, end: int) -> None:
        """Hear that the disk begins to change blocks `first` up to `end`."""
        shift = self.io.shift
        first, end = first << shift, end << shift
        for segment in list(self.live):
            stream = segment.stream
            if stream is not None and segment.start < end and first < segment.end:
                stream.changed(segment, first, end)
