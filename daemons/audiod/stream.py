"""One client's stream: bytes come in as it writes them, frames go out as the card plays them."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
import soxr

from daemons.audiod import store as st
from daemons.audiod.format import Format, Frames, to_frames
from redbear_host.scheme.request import Caller, Request

QUEUE: Final = st.QUEUE
FILL: Final = QUEUE // 2  # frames to begin with: what comes late then is in time
_AT_ONCE: Final = 2048  # frames that are resampled at a time: the card waits for the next block
FILL_S: Final = 0.05  # and it begins with less after this time
_FACTORS: Final = tuple((volume / 100) ** 3 for volume in range(101))


class Stream:
    """A queue of at most QUEUE frames at the card's rate, with what it takes to fill it.

    It waits (`filling`) until it has FILL frames or FILL_S has passed, also when it ran dry.
    """

    def __init__(self, number: int, spelling: Format, caller: Caller) -> None:
        self.number: Final = number
        self.format: Final = spelling
        self.caller: Final = caller
        self.slot = -1
        self.pid = caller.pid  # who writes: a shell that has opened it may have passed it on
        self.program = ""
        self.closed = False
        self.filling = True
        self.due = float("inf")  # when it begins, however little there is
        self.played = 0  # frames, in this life of audiod
        self.waiters: Final[deque[tuple[int, Request]]] = deque()  # frames they wait for; fsync
        self.wanted = False  # somebody waits for room
        self._rate = 0  # the card's
        self._resampler: soxr.ResampleStream | None = None
        self._over: Frames = np.empty((0, 2), np.int16)  # what the resampler had too much
        self._head = self._tail = 0
        self._words: st.Words
        self._ring: Frames

    def attach(self, store: st.Store, slot: int, rate: int) -> None:
        """Use a slot: a free one, or the one this stream had in an earlier life of audiod."""
        self._rate = rate
        words = self._words = store.words(slot)
        self._ring = store.ring(slot)
        if int(words[st.ID]) != self.number:
            words[:] = 0
            words[st.VOLUME] = 100
            words[st.UID], words[st.PID] = self.caller.uid, self.pid
            name = self.program.encode()[:15].ljust(16, b"\0")
            words[st.NAME_AT : st.NAME_AT + 2].view(np.uint8)[:] = np.frombuffer(name, np.uint8)
            words[st.ID] = self.number
        else:
            name = words[st.NAME_AT : st.NAME_AT + 2].tobytes()
            self.program = name.rstrip(b"\0").decode("utf-8", "replace")
            self.pid = int(words[st.PID])
        self._head, self._tail = int(words[st.HEAD]), int(words[st.TAIL])
        if not 0 <= self._tail - self._head <= QUEUE:
            self._head = self._tail = 0
            words[st.HEAD] = words[st.TAIL] = 0
        self.slot = slot

    def retune(self, rate: int) -> None:
        """Hear that the card has another rate; what is queued sounds wrong, what comes right."""
        self.finish()
        self._rate = rate

    def detach(self) -> None:
        """Let the slot go."""
        if self.slot >= 0:
            self._words[st.ID] = 0
            self.slot = -1

    # -- what its client sees ----------------------------------------------------------------------

    @property
    def level(self) -> int:
        """How many frames are queued."""
        return self._tail - self._head + len(self._over)

    @property
    def volume(self) -> int:
        """Its own volume, 0 to 100."""
        return min(int(self._words[st.VOLUME]), 100) if self.slot >= 0 else 100

    @volume.setter
    def volume(self, volume: int) -> None:
        self._words[st.VOLUME] = volume

    @property
    def underruns(self) -> int:
        """How often it had nothing more when it was due."""
        return int(self._words[st.UNDERRUNS]) if self.slot >= 0 else 0

    @property
    def silence(self) -> int:
        """How many frames were missing then."""
        return int(self._words[st.SILENCE]) if self.slot >= 0 else 0

    def write(self, data: memoryview) -> int:
        """Take what there is room for; return how many bytes, 0 when there is no room at all.

        A frame cut in two by its writer waits for its other part; whoever writes less than a frame
        gets it taken, so that pipes may break anywhere and channels never change places.
        """
        words, frame = self._words, self.format.frame
        kept = int(words[st.REST]) % frame
        whole = (kept + len(data)) // frame
        count = min(whole, self._room())
        if count < whole:
            if count == 0:
                return 0
            taken = count * frame - kept
        else:
            taken = len(data)
        rest = words[st.REST_AT : st.REST_AT + 4].view(np.uint8)
        raw = rest[:kept].tobytes() + bytes(data[:taken])
        at = count * frame
        if at:
            self._put(raw[:at])
        left = raw[at:]
        rest[: len(left)] = np.frombuffer(left, np.uint8)
        words[st.REST] = len(left)
        return taken

    def _room(self) -> int:
        """How many of the client's frames can be taken."""
        room = QUEUE - self.level
        if self.format.rate == self._rate or room <= 0:
            return max(room, 0)
        return max(min(room, _AT_ONCE) * self.format.rate // self._rate, 1)

    def _put(self, data: bytes) -> None:
        if self.format.rate == self._rate:
            self._append(self.format.frames(data))
            return
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(
                self.format.rate, self._rate, 2, dtype="float32", quality="HQ"
            )
        self._queue(self._resampler.resample_chunk(self.format.floats(data)))

    def _queue(self, floats: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        frames = to_frames(floats)
        self._over = np.concatenate((self._over, frames)) if len(self._over) else frames
        self._top_up()

    def _append(self, frames: Frames) -> None:
        """Put frames for which there is room into the ring."""
        at, count = self._tail % QUEUE, len(frames)
        first = min(count, QUEUE - at)
        self._ring[at : at + first] = frames[:first]
        self._ring[: count - first] = frames[first:]
        self._tail += count
        self._words[st.TAIL] = self._tail

    def _top_up(self) -> None:
        count = min(len(self._over), QUEUE - (self._tail - self._head))
        if count:
            self._append(self._over[:count])
            self._over = self._over[count:]

    def finish(self) -> int:
        """Take the end of the sound for what was written last; return at which frame it is played.

        The resampler gives up what it had kept to see what comes next.
        """
        if self.slot < 0:
            return 0
        if self._resampler is not None:
            nothing = np.empty((0, 2), np.float32)
            self._queue(self._resampler.resample_chunk(nothing, last=True))
            self._resampler = None
        return self._tail + len(self._over)

    # -- what the card sees ------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Whether nothing need follow: it was closed, or somebody waits until all is played."""
        return self.closed or bool(self.waiters)

    def ready(self, now: float) -> bool:
        """Tell whether it is to be heard now."""
        if self.filling and self.level:
            self.filling = not (self.level >= FILL or self.ending or now >= self.due)
        return not self.filling

    def peek(self, most: int) -> tuple[Frames, Frames]:
        """Return the next frames, at most so many, in two parts; they stay in the queue."""
        at = self._head % QUEUE
        count = min(most, self._tail - self._head)
        first = min(count, QUEUE - at)
        return self._ring[at : at + first], self._ring[: count - first]

    def take(self, count: int, most: int) -> None:
        """Hear that `count` frames of `most` that were due have gone to the card."""
        self._head += count
        self._words[st.HEAD] = self._head
        self.played += count
        if len(self._over):
            self._top_up()
        if count < most:
            self.filling, self.due = True, float("inf")
            if not self.ending:
                self._words[st.UNDERRUNS] += np.uint64(1)
                self._words[st.SILENCE] += np.uint64(most - count)

    @property
    def head(self) -> int:
        """How many frames have gone to the card."""
        return self._head


def factor(volume: int) -> float:
    """Return what samples are multiplied by: Redox's curve."""
    return _FACTORS[volume]
