"""Between streams and card: whenever the card has taken a block, the next is mixed.

The card sets the pace.  One block is on its way at a time, and counts as played for its streams
when the card has taken it, so that none is lost with the card's daemon, or with us.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Final

from daemons.audiod import store as st
from daemons.audiod.format import Format
from daemons.audiod.mixer import Mixer
from daemons.audiod.stream import FILL_S, Stream
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.client import calls
from redbear_host.client.calls import Answer
from redbear_host.client.looped import Looped
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop, Timer
from redbear_host.scheme.request import Caller, Request

log = logging.getLogger(__name__)

BLOCK: Final = 512  # frames: audiohw's sub-buffer
RATE: Final = 44100  # Hz, until the card says otherwise
WEIGHT_OF_ONE: Final = 64  # of the streams of one user but root, who must not starve the others

_AHEAD: Final = 3  # blocks that audiohw keeps ahead of what is heard, unless it says otherwise
_AHEAD_MOST: Final = 64
_LINGER: Final = 43  # blocks of silence, half a second, before the card is left alone
_WAKE_AT: Final = st.QUEUE - 2 * BLOCK  # frames: whoever waits for room goes on then
_AGAIN_S: Final = 0.1
_TEXT: Final = 4096  # bytes of `format`


class Player:
    """All streams, and the card."""

    def __init__(
        self, loop: Loop, store: st.Store, volume: int, name_of: Callable[[int], tuple[int, str]]
    ):
        """Begin with what a predecessor left; `name_of` tells a thread's process."""
        self.loop: Final = loop
        self.streams: Final[dict[int, Stream]] = {}  # by number; those with a slot
        self.room_for: Final[dict[int, Callable[[], object]]] = {}  # hear of room, by number
        self.on_card: Callable[[Looped, int], object] = lambda wire, handle: None
        self.on_trouble: Callable[[], object] = lambda: None  # the card cannot be opened
        self.rate = RATE
        self._ahead = _AHEAD
        self.blocks = 0  # taken by the card
        self.connections = 0
        self.underruns = 0  # of streams that have ended
        self.mixer: Final = Mixer(BLOCK)
        self._store: Final = store
        self._name_of: Final = name_of
        self._volume = store.volume(volume)
        self._wire: Looped | None = None
        self._handle = -1  # of audiohw
        self._busy = False  # a call of ours is in hand there
        self._trouble: int | None = None  # errno of the last refusal, until something is taken
        self._silence = _LINGER  # blocks in which nobody was heard
        self._rested = True  # the card knows that nothing follows for now
        self._waiting: Final[deque[tuple[int, Request]]] = deque()  # fsync: at which block
        self._timer: Timer | None = None
        self._of_user: Final[Counter[int]] = Counter()  # the weight of his streams

    def adopt(self) -> None:
        """Play to the end what predecessors had queued for streams that nobody has open now."""
        known = {stream.number for stream in self.streams.values()}
        for slot in self._store.taken():
            words = self._store.words(slot)
            number = int(words[st.ID])
            if number in known:
                continue
            caller = Caller(int(words[st.PID]), int(words[st.UID]), 0)
            stream = Stream(number, Format(self.rate), caller)
            self._attach(stream, slot)
            self.close(stream)

    # -- streams -----------------------------------------------------------------------------------

    def open(self, spelling: Format, caller: Caller, number: int) -> Stream:
        """Make a stream; `number` is that of an earlier life of audiod, or 0."""
        stream = Stream(number or self._store.next_id(), spelling, caller)
        if number:
            for slot in self._store.taken():
                if int(self._store.words(slot)[st.ID]) == number:
                    self._attach(stream, slot)
                    stream.due = self.loop.now()
                    self._begin_at(stream.due)
                    break
        return stream

    def _attach(self, stream: Stream, slot: int) -> None:
        stream.attach(self._store, slot, self.rate)
        self.streams[stream.number] = stream
        self._of_user[stream.caller.uid] += stream.format.weight

    def write(self, stream: Stream, data: memoryview, pid: int) -> int:
        """Queue what there is room for; 0 if there is none.  ENFILE, EMFILE: too many streams."""
        if stream.slot < 0:
            if not data:
                return 0
            uid = stream.caller.uid
            if uid and self._of_user[uid] + stream.format.weight > WEIGHT_OF_ONE:
                raise Refused(e.EMFILE)
            slot = self._store.free()
            if slot is None:
                raise Refused(e.ENFILE)
            stream.pid, stream.program = self._name_of(pid)
            self._attach(stream, slot)
        before = stream.level
        count = stream.write(data)
        if stream.filling and not before and stream.level:
            stream.due = self.loop.now() + FILL_S
            self._begin_at(stream.due)
        if not self._busy and stream.ready(self.loop.now()):
            self._pump()
        return count

    def drain(self, stream: Stream, request: Request) -> bool:
        """Answer `request` when all that is queued was played; True if it is so already."""
        end = stream.finish()
        if stream.slot < 0 or (end <= stream.head and not self._busy and not self._waiting):
            return True
        stream.waiters.append((end, request))
        request.on_cancel = partial(self._give_up, stream)
        self._settle(stream)
        self._kick()
        return False

    def _give_up(self, stream: Stream, request: Request) -> None:
        """Answer a fsync whose client waits no more."""
        kept = [one for one in stream.waiters if one[1] is not request]
        stream.waiters.clear()
        stream.waiters.extend(kept)
        waiting = [one for one in self._waiting if one[1] is not request]
        self._waiting.clear()
        self._waiting.extend(waiting)
        request.refuse(e.ECANCELED)

    def close(self, stream: Stream) -> None:
        """Play what is queued to the end; then the stream is no more."""
        stream.finish()
        stream.closed = True
        if stream.slot >= 0:
            self._settle(stream)
            self._kick()

    def _settle(self, stream: Stream) -> None:
        """See whether a stream's end has been reached, or that of somebody who waits for it."""
        while stream.waiters and stream.waiters[0][0] <= stream.head:
            self._waiting.append((self.blocks + self._ahead + 1, stream.waiters.popleft()[1]))
        if stream.closed and not stream.level:
            while stream.waiters:
                self._waiting.append((self.blocks + self._ahead + 1, stream.waiters.popleft()[1]))
            self.underruns += stream.underruns
            del self.streams[stream.number]
            self._of_user[stream.caller.uid] -= stream.format.weight
            stream.detach()

    @property
    def volume(self) -> int:
        """The volume of all, 0 to 100."""
        return self._volume

    @volume.setter
    def volume(self, volume: int) -> None:
        self._volume = volume
        self._store.set_volume(volume)

    # -- the card ----------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is a card."""
        return self._handle >= 0

    def on_open(self, wire: Looped) -> None:
        """Take a connection to audiohw: open it, ask for its rate, go on."""
        self._wire = wire
        self.connections += 1

        def opened(answer: Answer | OSError) -> None:
            if isinstance(answer, OSError):
                self._on_failed(wire, answer)
            else:
                handle = answer.handle
                wire.perform(calls.dup(handle, b"format"), partial(self._on_format, wire, handle))

        wire.perform(calls.openat(0, b"", f.O_WRONLY), opened)

    def _on_format(self, wire: Looped, handle: int, answer: Answer | OSError) -> None:
        if isinstance(answer, OSError):  # it has none to tell
            self._on_open(wire, handle, b"")
        else:
            read = calls.read(answer.handle, _TEXT, 0)
            wire.perform(read, partial(self._on_open, wire, handle))
            wire.drop(answer.handle)

    def _on_open(self, wire: Looped, handle: int, text: bytes | OSError) -> None:
        if wire is not self._wire:
            return
        text = b"" if isinstance(text, OSError) else text
        self._handle, self._busy, self._silence = handle, False, _LINGER
        self.on_card(wire, handle)
        rate, self._ahead = _told(text)
        if rate != self.rate:
            log.info("the card plays %d frames a second", rate)
            self.rate = rate
            for stream in self.streams.values():
                stream.retune(rate)
        self._pump()

    def on_lost(self) -> None:
        """Hear that the card's daemon has gone: the block on its way there is mixed again."""
        self._wire, self._handle, self._busy = None, -1, False

    def _on_failed(self, wire: Looped, error: OSError) -> None:
        if wire is not self._wire or not wire.is_open:
            return
        if error.errno != self._trouble:  # a card may refuse for hours, ten times a second
            self._trouble = error.errno
            log.warning("%s: %s", wire.name, error.strerror)
        if self._handle < 0:
            self.on_trouble()
            return
        self.loop.at(self.loop.now() + _AGAIN_S, partial(self._retry, wire))

    def _retry(self, wire: Looped) -> None:
        if wire is self._wire:
            self._busy = False
            self._pump()

    # -- the pump ----------------------------------------------------------------------------------

    def _begin_at(self, when: float) -> None:
        """Look again then: a stream may begin, however little it has."""
        if self._timer is None or self._timer.callback is None or self._timer.when > when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.at(when, self._kick)

    def _kick(self) -> None:
        if not self._busy:
            self._pump()

    def _pump(self) -> None:
        """Mix a block and send it; nothing while the card has one, or nobody is to be heard."""
        wire = self._wire
        if wire is None or self._handle < 0 or self._busy:
            return
        now = self.loop.now()
        heard = [stream for stream in self.streams.values() if stream.ready(now)]
        if not heard:
            self._silence += 1
            if self._silence > _LINGER or not any(not s.ending for s in self.streams.values()):
                self._rest(wire)
                return
        else:
            self._silence = 0
        block, mixed = self.mixer.mix(heard, self._volume)
        self._busy = True
        wire.perform(calls.write(self._handle, block), partial(self._on_taken, wire, mixed))

    def _on_taken(
        self, wire: Looped, mixed: list[tuple[Stream, int]], count: int | OSError
    ) -> None:
        if isinstance(count, OSError):
            self._on_failed(wire, count)
            return
        if wire is not self._wire:
            return
        self._busy = self._rested = False
        self._trouble = None
        self.blocks += 1
        for stream, frames in mixed:
            if stream.slot < 0:
                continue  # it had nothing to give, and was closed meanwhile
            stream.take(frames, BLOCK)
            self._settle(stream)
            if stream.wanted and stream.level <= _WAKE_AT:
                stream.wanted = False
                self.room_for.get(stream.number, _nobody)()
        while self._waiting and self._waiting[0][0] <= self.blocks:
            self._waiting.popleft()[1].answer(None)
        self._pump()

    def _rest(self, wire: Looped) -> None:
        """Tell the card that this was all for now; who waits for the end hears when it came."""
        self._silence = _LINGER
        if self._rested and not self._waiting:
            return
        self._rested = self._busy = True
        wire.perform(calls.fsync(self._handle), partial(self._on_rest, wire))

    def _on_rest(self, wire: Looped, _: object) -> None:
        if wire is not self._wire:
            return
        self._busy = False
        while self._waiting:  # also who came meanwhile: no block was sent since
            self._waiting.popleft()[1].answer(None)
        self._pump()


def _nobody() -> None:
    """Stand for the handle of a stream that is closed."""


def _told(text: bytes) -> tuple[int, int]:
    """Find `rate` and `ahead` among the lines `NAME VALUE` of audiohw's `format`."""
    said = {"rate": RATE, "ahead": _AHEAD}
    for line in text.decode("ascii", "replace").splitlines():
        name, _, value = line.partition(" ")
        if name in said and value.isdecimal():
            said[name] = int(value)
    rate = said["rate"] if 8000 <= said["rate"] <= 192_000 else RATE
    return rate, min(said["ahead"], _AHEAD_MOST)
