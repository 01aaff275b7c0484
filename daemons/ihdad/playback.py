"""What is played: sub-buffers in a ring, a few ahead of the controller, silence behind it.

Sub-buffers are counted from the start of the stream; number N lies in slot N modulo 32.  What was
played is overwritten with silence: the ring holds nothing old when nobody writes.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from daemons.ihdad.follower import Follower
from daemons.ihdad.regs import FMT
from daemons.ihdad.stream import BUFFER, SUB_BUFFERS, Stream

AHEAD: Final = 3  # sub-buffers
START_S: Final = 0.01  # it begins with fewer ahead when nobody has written for so long
IDLE: Final = 64  # sub-buffers of silence, 0.75 s, after which the stream is stopped
_CLOSE: Final = 256  # bytes before the end of a sub-buffer, where the next may be fetched already
_SILENCE: Final = bytes(BUFFER)


class Playback:
    """The ring of one output stream."""

    def __init__(self, stream: Stream, rate: int, sample_format: FMT) -> None:
        """Play `rate` frames a second by `stream`."""
        self.stream: Final = stream
        self.follower: Final = Follower(stream, rate)
        self.runs = False
        self.written = 0  # sub-buffers that were put here
        self.played = 0  # of those, what was played or lost
        self.lost = 0  # of those, what a reset took
        self.underruns = 0
        self.silence = 0  # sub-buffers that were played where nobody had written
        self.start_by = float("inf")  # clock time by which to call `look`, to begin
        self._format: Final = sample_format
        self._waiting: Final[deque[int]] = deque()  # those that were written and are not played
        self._end = 0  # the one that is written next
        self._finishing = False
        self._quiet = 0  # sub-buffers of silence in a row

    @property
    def ahead(self) -> int:
        """How many sub-buffers are to be played until all are that were written."""
        return max(0, self._end - self.follower.at)

    @property
    def room(self) -> int:
        """How many sub-buffers there is room for."""
        return max(0, AHEAD - self.ahead)

    def put(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Write one sub-buffer; the caller has asked for room."""
        if self.runs:
            self._skip()
        elif not self._waiting:
            self.follower.begin(now)
            self._end = 0
            self.start_by = now + START_S
        self._finishing, self._quiet = False, 0
        self.stream.slots[self._end % SUB_BUFFERS][:] = data
        self._waiting.append(self._end)
        self._end += 1
        self.written += 1
        if not self.runs and self.ahead >= AHEAD:
            self._start(now)

    def _skip(self) -> None:
        """Leave out what the controller may have begun to fetch, whether it has told so or not."""
        reached = self.follower.peek()
        begun = reached % BUFFER > 0
        late = reached % BUFFER > BUFFER - _CLOSE
        first = reached // BUFFER + begun + late
        if first > self._end:
            self.underruns += bool(self._waiting) and not self._finishing
            self._end = first

    def finish(self, now: float) -> None:
        """Nothing more is coming for now."""
        self._finishing = True
        if self._waiting and not self.runs:
            self._start(now)

    def _start(self, now: float) -> None:
        self.start_by = float("inf")
        self.follower.begin(now)
        self.stream.start(self._format)
        self.runs = True

    def look(self, now: float) -> bool:
        """Follow the controller; return whether sub-buffers were played that somebody wrote."""
        if not self.runs:
            if self._waiting and now >= self.start_by:
                self._start(now)
            return False
        steps = self.follower.look(now)
        if not steps:
            return False
        waiting, at = self._waiting, self.follower.at
        before = len(waiting)
        while waiting and waiting[0] < at:
            self.stream.slots[waiting.popleft() % SUB_BUFFERS][:] = _SILENCE
        done = before - len(waiting)
        self.played += done
        self.silence += steps - done
        if not waiting:
            if done and not self._finishing:
                self.underruns += 1
            self._quiet += steps - done
            if self._quiet >= IDLE:
                self.park()
        return done > 0

    def park(self) -> None:
        """Stop the stream, with nothing in it; `Stuck` if it does not stop."""
        self.runs = False
        self.stream.reset()

    def interrupt(self, now: float) -> None:
        """Take what was not begun into a stream that starts over, after a reset."""
        at = self.follower.reached(now)
        while self._waiting and self._waiting[0] <= at and self.runs:
            self._waiting.popleft()
            self.played += 1
            self.lost += 1
        left = [bytes(self.stream.slots[it % SUB_BUFFERS]) for it in self._waiting]
        for slot in self.stream.slots:
            slot[:] = _SILENCE
        for slot, data in zip(self.stream.slots, left, strict=False):
            slot[:] = data
        self._waiting.clear()
        self._waiting.extend(range(len(left)))
        self._end = len(left)
        self.runs = False
        self.follower.begin(now)
        if left:
            self.start_by = now

    def drop(self) -> None:
        """Forget what was not played: the card is left alone, or has left."""
        self.lost += len(self._waiting)
        self.played += len(self._waiting)
        self._waiting.clear()
        self._end = self.follower.at
        self.runs = False
        self.start_by = float("inf")
