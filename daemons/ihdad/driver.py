"""The card: start, on_interrupt, tick, stop, and what is done when it misbehaves.

Ref: Intel High Definition Audio Specification 1.0a, as in regs.py: 4.2 to 4.5.

The driver is synchronous.  It waits in `start`, in `stop`, when a card that misbehaves is reset,
and for codecs' answers when jacks change or their trees are read: some milliseconds, less than
lies before the card.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum, auto
from functools import partial
from typing import Final

from daemons.ihdad.capture import Capture
from daemons.ihdad.choice import Choice, choose_input, choose_output
from daemons.ihdad.codec import setting
from daemons.ihdad.codec.routes import Plugged
from daemons.ihdad.codec.text import render
from daemons.ihdad.codec.tree import Codec, Node
from daemons.ihdad.controller import TREES_S, Controller
from daemons.ihdad.jacks import Jacks
from daemons.ihdad.playback import Playback
from daemons.ihdad.quirks import read_pins
from daemons.ihdad.stream import FRAMES, Stream
from redbear_host.errors import DeviceError, Gone, Stuck
from redbear_host.hw.ports import Clock, PciFunction

__all__ = ["Card", "Counters", "State", "Wishes"]

DRAIN_S: Final = 0.06  # for what is still to be played when the driver stops
PERIOD_S: Final = 1.0  # between two ticks of a card that is silent
RUNS_S: Final = 0.03  # and of one that plays or records
POLLS_S: Final = 0.005  # and of one whose interrupts cannot be used
SETTLES_S: Final = 0.05  # from what a jack says to when it is felt
RESETS_MOST: Final = 5  # within RESETS_S; one more and the card is left alone for that time
RESETS_S: Final = 30.0
LATE_MOST: Final = 2  # ticks in a row that an interrupt may be late; then it is not waited for
VAIN_MOST: Final = 200  # interrupts in a row for nothing
_NEVER: Final = float("inf")

_log = logging.getLogger(__name__)


class State(Enum):
    """What the card is up to."""

    STOPPED = auto()
    RUNNING = auto()
    FAILED = auto()  # left alone for a while: resets did not help
    GONE = auto()  # has left


@dataclass(frozen=True)
class Wishes:
    """What a user may choose; see daemon.toml."""

    pins: str = ""


@dataclass(slots=True)
class Counters:
    """What went wrong so far."""

    resets: int = 0
    fifo_errors: int = 0  # the controller could not fetch, or store, in time
    late_interrupts: int = 0  # sub-buffers that a tick found before their interrupt came
    vain_interrupts: int = 0  # that were for nothing


def _ignore() -> None:
    """Nobody wants to know."""


class Card:
    """One controller with its codecs: a `SoundCard`."""

    def __init__(self, function: PciFunction, clock: Clock, wishes: Wishes) -> None:
        """Prepare to drive `function`; nothing is touched before `start`."""
        self.on_played: Callable[[], object] = _ignore
        self.on_recorded: Callable[[], object] = _ignore
        self.on_jacks: Callable[[], object] = _ignore
        self.state = State.STOPPED
        self.counters: Final = Counters()
        self._function: Final = function
        self._clock: Final = clock
        self._controller: Final = Controller(function, clock, read_pins(wishes.pins))
        self._name: Final = self._controller.name
        self._jacks: Final = Jacks(self._controller.ask_of, clock)
        self._codecs: dict[int, Codec] = {}
        self._out: Choice | None = None
        self._in: Choice | None = None
        self._playback: Playback | None = None
        self._capture: Capture | None = None
        self._due = 0.0
        self._feel_at = _NEVER
        self._heard = False  # an interrupt has come since the last tick
        self._unheard = 0  # ticks in a row that found what no interrupt had told
        self._vain = 0
        self._polls = False  # interrupts cannot be used
        self._resets: Final[deque[float]] = deque()

    # -- start and stop ----------------------------------------------------------------------------

    def start(self) -> None:
        """Bring the card up from whatever state it is in.

        Raises `Gone`, `Stuck` or another `DeviceError`; the card is off the bus then.
        """
        self._function.set_bus_master(False)
        try:
            self._bring_up()
        except DeviceError:
            self._function.set_bus_master(False)
            raise
        self._due = self._clock.now() + PERIOD_S
        _log.info("%s: %s", self._name, self._words)

    @property
    def _words(self) -> str:
        codecs = ", ".join(f"{it.vendor:08x}" for it in self._codecs.values())
        recorded = f", records at {self.capture_rate} Hz" * bool(self.capture_rate)
        return f"codecs {codecs}, plays at {self.rate} Hz{recorded}"

    def stop(self) -> None:
        """Play what was written, then switch the card off; never raises."""
        if self.state is State.RUNNING:
            with suppress(DeviceError):
                self._drain()
            self._controller.silence()
            with suppress(Stuck):
                self._controller.hold_in_reset()
        if self.state is not State.GONE:
            self._function.set_bus_master(False)
            self.state = State.STOPPED

    def _drain(self) -> None:
        playback = self._playback
        if playback is None:
            return
        playback.finish(self._clock.now())
        deadline = self._clock.now() + DRAIN_S
        while playback.ahead and self._clock.now() < deadline:
            self._check(playback.stream)
            playback.look(self._clock.now())
            self._clock.pause(0.002)

    def _bring_up(self) -> None:
        """Reset the controller and set everything up; the bus is closed to it."""
        controller = self._controller
        numbers = controller.reset()
        self._function.set_bus_master(True)
        link = controller.open_link()
        if set(self._codecs) - set(numbers) or not self._codecs:
            self._codecs = controller.walk(numbers)
        controller.power_up(self._codecs.values())
        if self._playback is None:
            self._choose()
        self._open()
        controller.set_up(self._streams)
        self._jacks.listen(unasked=not link.immediate)
        self._feel_at = self._clock.now() + PERIOD_S if self._jacks.silent else _NEVER
        self._vain = 0
        self._polls = False
        self.state = State.RUNNING

    def _choose(self) -> None:
        """Choose ways out and in, once: rates stay what they are."""
        codecs = self._codecs.values()
        felt: dict[int, Plugged] = {}
        for number in self._codecs:
            felt[number] = partial(self._feel, number)
        out = choose_output(codecs, felt)
        if out is None:
            raise DeviceError(f"{self._name}: no codec has a way out that we can use")
        into = choose_input(codecs, felt, out.rate)
        played, recorded = self._controller.make_streams()
        self._out, self._playback = out, Playback(played, out.rate, out.sample_format)
        if into is not None and recorded is not None:
            self._in, self._capture = into, Capture(recorded, into.rate, into.sample_format)

    def _feel(self, number: int, pin: Node) -> bool | None:
        """Feel a pin of a codec that need not be the one we choose: its silence ends nothing."""
        try:
            return setting.plugged(pin, self._controller.ask_of(number), self._clock)
        except Stuck as error:
            _log.warning("%s", error)
            return None

    @property
    def _streams(self) -> list[Stream]:
        return [it.stream for it in (self._playback, self._capture) if it is not None]

    def _open(self) -> None:
        """Open the ways that were chosen."""
        out, into, playback, capture = self._out, self._in, self._playback, self._capture
        if out is not None and playback is not None:
            ask = self._controller.ask_of(out.codec.number)
            for route in reversed(out.routes):  # what two disagree about is the best one's
                setting.open_output(route, playback.stream.tag, out.sample_format.raw, ask)
            self._jacks.use_outputs(out.codec, out.routes)
        if into is not None and capture is not None:
            ask = self._controller.ask_of(into.codec.number)
            tag, sample_format = capture.stream.tag, into.sample_format.raw
            setting.open_input(into.routes[0], tag, sample_format, ask)
            self._jacks.use_input(into.codec, into.routes[0], tag, sample_format)

    # -- what the card has to say ------------------------------------------------------------------

    def on_interrupt(self, vector: int = 0) -> bool:
        """Look after whatever the card interrupts for; tell whether there was anything."""
        if self.state is not State.RUNNING:
            return False
        try:
            causes = self._controller.causes()
            self._heard = True
            before, said = self._steps, False
            if causes.CIS:
                said = self._hear()
            if causes.SIS:
                self._look(self._clock.now())
            if said or self._steps > before:
                self._vain = 0
                return True
            self._count_vain()
        except Gone:
            self.leave()
        except DeviceError as error:
            self._recover(str(error))
        return False

    def _count_vain(self) -> None:
        self.counters.vain_interrupts += 1
        self._vain += 1
        if self._vain > VAIN_MOST and not self._polls:
            _log.warning("%s: it interrupts for nothing; it is polled until a reset", self._name)
            self._polls = True
            self._controller.mask()
            self._due = self._clock.now()

    def _hear(self) -> bool:
        """Take what codecs say unasked, if anything; jacks are felt later, once they rest."""
        said = self._controller.hear()
        if self._jacks.told(said):
            self._feel_at = min(self._feel_at, self._clock.now() + SETTLES_S)
        return bool(said)

    def _look(self, now: float) -> None:
        """Follow both streams, and tell who waits for them."""
        playback, capture = self._playback, self._capture
        if playback is not None:
            if playback.runs:
                self._check(playback.stream)
            if playback.look(now):
                self.on_played()
        if capture is not None and capture.runs:
            self._check(capture.stream)
            if capture.look(now):
                self.on_recorded()

    def _check(self, stream: Stream) -> None:
        status = stream.take_status()
        self.counters.fifo_errors += status.FIFOE
        if status.DESE:
            raise DeviceError(f"stream {stream.number} could not read its descriptors")

    def leave(self) -> None:
        """Hear that the function has left: nothing is played any more."""
        if self.state in (State.RUNNING, State.FAILED):
            self.state = State.GONE
            _log.error("%s has left", self._name)
            self._drop()

    def _drop(self) -> None:
        if self._playback is not None:
            self._playback.drop()
        self.on_played()
        self.on_recorded()

    # -- what no interrupt announces ---------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """Clock time by which to call `tick`."""
        start_by = _NEVER if self._playback is None else self._playback.start_by
        return min(self._due, self._feel_at, start_by)

    def tick(self, now: float) -> float:
        """Look for lost interrupts, hangs and jacks; return the time by which to call again."""
        if self.state is State.RUNNING:
            try:
                self._look_after(now)
            except Gone:
                self.leave()
            except DeviceError as error:
                self._recover(str(error))
            self._due = self._next(now)
        elif self.state is State.FAILED and now >= self._resets[-1] + RESETS_S:
            self._resets.clear()
            self._recover("another try after a while")
        if self.state is not State.RUNNING:
            self._feel_at = _NEVER
            self._due = now + PERIOD_S
        return self.deadline

    def _next(self, now: float) -> float:
        active = any(it is not None and it.runs for it in (self._playback, self._capture))
        if not active:
            return now + PERIOD_S
        return now + (POLLS_S if self._polls or self._unheard >= LATE_MOST else RUNS_S)

    def _look_after(self, now: float) -> None:
        self._controller.check()
        before = self._steps
        self._look(now)
        if self._heard:
            self._unheard = 0
        elif self._steps > before and not self._polls:
            self.counters.late_interrupts += 1
            self._unheard += 1
        self._heard = False
        playback, capture = self._playback, self._capture
        if playback is not None and playback.runs and (why := playback.follower.trouble(now)):
            raise DeviceError(why)
        if capture is not None and capture.runs and (why := capture.follower.trouble(now)):
            # An input that nothing comes from is no reason to disturb who listens.
            _log.warning("%s: nothing can be recorded: %s", self._name, why)
            capture.park()
            capture.deaf = True
            self.on_recorded()
        if now >= self._feel_at:
            self._feel_at = now + PERIOD_S if self._jacks.silent else _NEVER
            if self._jacks.feel():
                self.on_jacks()

    @property
    def _steps(self) -> int:
        return sum(it.follower.at for it in (self._playback, self._capture) if it is not None)

    def _recover(self, why: str) -> None:
        """Reset a card that cannot be trusted; what was written and not begun is played after."""
        now = self._clock.now()
        self.counters.resets += 1
        while self._resets and now - self._resets[0] > RESETS_S:
            self._resets.popleft()
        self._resets.append(now)
        self._function.set_bus_master(False)
        try:
            if len(self._resets) > RESETS_MOST:
                raise DeviceError("resets do not help")
            _log.warning("%s: %s; resetting it", self._name, why)
            if self._playback is not None:
                self._playback.interrupt(now)
            if self._capture is not None:
                self._capture.runs = False
            self._bring_up()
            self._resume()
        except Gone:
            self.leave()
        except DeviceError as error:
            self._give_up(why, error)

    def _resume(self) -> None:
        now = self._clock.now()
        if self._capture is not None and self._capture.wanted:
            self._capture.start(now)
        if self._playback is not None:
            self._playback.look(now)
        self._due = self._next(now)
        self.on_played()

    def _give_up(self, why: str, error: DeviceError) -> None:
        _log.error("%s: %s; it is left alone for %g s: %s", self._name, why, RESETS_S, error)
        self.state = State.FAILED
        self._controller.mask()
        self._function.set_bus_master(False)
        self._drop()

    # -- playing and recording ---------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """See `SoundCard.gone`."""
        return self.state is State.GONE

    @property
    def failed(self) -> bool:
        """See `SoundCard.failed`."""
        return self.state is State.FAILED

    @property
    def rate(self) -> int:
        """See `SoundCard.rate`."""
        return 0 if self._out is None else self._out.rate

    @property
    def capture_rate(self) -> int:
        """See `SoundCard.capture_rate`."""
        return 0 if self._in is None else self._in.rate

    def room(self) -> int:
        """See `SoundCard.room`."""
        playback = self._playback
        if self.state is not State.RUNNING or playback is None:
            return 0
        return playback.room

    def play(self, data: bytes | bytearray | memoryview, /) -> None:
        """See `SoundCard.play`."""
        playback = self._playback
        if playback is not None:
            now = self._clock.now()
            playback.put(data, now)
            self._due = min(self._due, now + RUNS_S)

    def finish(self) -> None:
        """See `SoundCard.finish`."""
        if self.state is State.RUNNING and self._playback is not None:
            self._playback.finish(self._clock.now())

    @property
    def written(self) -> int:
        """See `SoundCard.written`."""
        return 0 if self._playback is None else self._playback.written * FRAMES

    @property
    def played(self) -> int:
        """See `SoundCard.played`."""
        return 0 if self._playback is None else self._playback.played * FRAMES

    def record(self, on: bool, /) -> None:
        """See `SoundCard.record`."""
        capture = self._capture
        if capture is None or on is capture.wanted:
            return
        capture.wanted = on
        if self.state is State.RUNNING:
            now = self._clock.now()
            try:
                if on:
                    capture.start(now)
                elif capture.runs:
                    capture.park()
            except DeviceError as error:
                self._recover(str(error))
            self._due = min(self._due, now + RUNS_S)

    @property
    def deaf(self) -> bool:
        """See `SoundCard.deaf`."""
        return self._capture is not None and self._capture.deaf

    def recorded(self) -> memoryview | None:
        """See `SoundCard.recorded`."""
        return None if self._capture is None else self._capture.recorded()

    def release(self) -> None:
        """See `SoundCard.release`."""
        if self._capture is not None:
            self._capture.release()

    # -- the rest ----------------------------------------------------------------------------------

    def statistics(self) -> Mapping[str, int]:
        """See `SoundCard.statistics`."""
        playback, capture = self._playback, self._capture
        counted = asdict(self.counters)
        own: dict[str, int] = {}
        if playback is not None:
            link = self._controller.link
            counted |= {"ring_restarts": link.restarts, "stray_responses": link.strays}
            own = {"underruns": playback.underruns, "silence": playback.silence * FRAMES}
            counted |= {"lost": playback.lost, "nonsense": playback.follower.nonsense}
        if capture is not None:
            counted |= {"capture_lost": capture.lost, "capture_nonsense": capture.follower.nonsense}
        return {**own, **{f"DRIVER_{name.upper()}": value for name, value in counted.items()}}

    def jacks(self) -> str:
        """See `SoundCard.jacks`."""
        return self._jacks.text()

    def codecs(self) -> Sequence[int]:
        """See `SoundCard.codecs`."""
        return list(self._codecs)

    def codec_text(self, number: int, /) -> str:
        """See `SoundCard.codec_text`."""
        deadline = self._clock.now() + TREES_S
        return render(self._codecs[number], self._controller.ask_until(deadline, number))
