"""Where a controller is in a ring, counted on and on, from positions that need not be true."""

from __future__ import annotations

from typing import Final

from daemons.ihdad.stream import BUFFER, FRAMES, RING, SUB_BUFFERS, Stream

STALLS_S: Final = 0.5  # without a step
_BACK: Final = SUB_BUFFERS - 1  # one back: LPIB may be ahead of the position buffer
_STRANGE_MOST: Final = 3  # positions in a row that cannot be


class Follower:
    """Counts the sub-buffers a running stream has gone through."""

    def __init__(self, stream: Stream, rate: int) -> None:
        """Follow `stream`, which goes through `rate` frames a second."""
        self._stream: Final = stream
        self._each: Final = FRAMES / rate  # seconds
        self.nonsense = 0  # positions that cannot be
        self.at = 0  # the sub-buffer it is in
        self._stepped = 0.0  # when `at` moved last
        self._looked = 0.0
        self._strange = 0

    def begin(self, now: float) -> None:
        """Start over: the stream has been started."""
        self.at = self._strange = 0
        self._stepped = self._looked = now

    def look(self, now: float) -> int:
        """Look where it is; return how many sub-buffers it has finished since the last time."""
        position = self._stream.position()
        if position == RING:  # some tell the end of the ring so
            position = 0
        steps = self._steps(position, now)
        self._looked = now
        if steps < 0:
            self.nonsense += 1
            self._strange += 1
            return 0
        self._strange = 0
        if steps:
            self.at += steps
            self._stepped = now
        return steps

    def peek(self) -> int:
        """Return how many bytes it has gone through since the start, by its word, counting none.

        Where that makes no sense it is a sub-buffer further than it was.
        """
        position = self._stream.position()
        if position > RING:
            return (self.at + 1) * BUFFER
        return (self.at + self._ahead(position)) * BUFFER + position % BUFFER

    def _ahead(self, position: int) -> int:
        """Return how many sub-buffers `position` is ahead, less than a turn.

        How fast it went is no matter: QEMU's stands still and hurries then, when it got no time.
        """
        steps = (position // BUFFER - self.at) % SUB_BUFFERS
        return 0 if steps == _BACK else steps

    def _steps(self, position: int, now: float) -> int:
        """Return how many sub-buffers it has finished; -1 if the position cannot be."""
        if position > RING:
            return -1
        steps = self._ahead(position)
        away = (now - self._looked) / self._each
        if away >= SUB_BUFFERS:  # we were, for a whole turn or more
            steps += SUB_BUFFERS * max(0, round((away - steps) / SUB_BUFFERS))
        return steps

    def reached(self, now: float) -> int:
        """Return the sub-buffer it has begun last; by our clock, where it tells nonsense."""
        if not self._strange:
            return self.at
        return self.at + int((now - self._stepped) / self._each) + 1

    def trouble(self, now: float) -> str:
        """Say why the controller cannot be trusted any more, if so."""
        if self._strange >= _STRANGE_MOST:
            return f"its position is {self._stream.position():#x} in a ring of {RING:#x} bytes"
        if now - self._stepped > STALLS_S:
            return f"it has not moved for {now - self._stepped:.1f} s"
        return ""
