"""What is recorded: a ring that the controller fills, read behind it."""

from __future__ import annotations

from typing import Final

from daemons.ihdad.follower import Follower
from daemons.ihdad.regs import FMT
from daemons.ihdad.stream import SUB_BUFFERS, Stream

_KEPT_MOST: Final = SUB_BUFFERS - 4  # sub-buffers that wait; the controller is near the others


class Capture:
    """The ring of one input stream."""

    def __init__(self, stream: Stream, rate: int, sample_format: FMT) -> None:
        """Record `rate` frames a second by `stream`."""
        self.stream: Final = stream
        self.follower: Final = Follower(stream, rate)
        self.wanted = False
        self.runs = False
        self.deaf = False  # the stream does not move; nothing comes in until it is started anew
        self.lost = 0  # sub-buffers nobody took in time
        self._format: Final = sample_format
        self._taken = 0

    def start(self, now: float) -> None:
        """Begin to record."""
        self._taken = 0
        self.deaf = False
        self.follower.begin(now)
        self.stream.start(self._format)
        self.runs = True

    def park(self) -> None:
        """Stop; `Stuck` if it does not."""
        self.runs = False
        self.stream.reset()

    def look(self, now: float) -> bool:
        """Follow the controller; return whether something waits to be read."""
        if self.runs:
            self.follower.look(now)
        late = self.follower.at - self._taken - _KEPT_MOST
        if late > 0:
            self.lost += late
            self._taken += late
        return self.waiting

    @property
    def waiting(self) -> bool:
        """Whether a sub-buffer waits."""
        return self._taken < self.follower.at

    def recorded(self) -> memoryview | None:
        """Return the oldest sub-buffer that waits."""
        return self.stream.slots[self._taken % SUB_BUFFERS] if self.waiting else None

    def release(self) -> None:
        """Give it back."""
        self._taken += self.waiting
