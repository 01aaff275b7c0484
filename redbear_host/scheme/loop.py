"""A daemon's event loop: file descriptors, timers, and a hook at the end of each round.

One thread, plain callbacks, epoll.  asyncio would do, but a daemon needs a fraction of it and pays
for the rest on every wake-up and at every restart (figures: docs/adr/0014-own-event-loop.md).

An exception in a callback ends the loop: daemons are crash-only, the supervisor restarts them.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count, repeat
from typing import Final, TypeAlias

Callback: TypeAlias = Callable[[], object]

_EVENTS_PER_ROUND: Final = 64
_LOOKS: Final = 150  # before it sleeps: some 60 us, as a wake-up of both sides takes
_SKIP_MOST: Final = 1024  # times not to look after it was in vain
_SWEEP_LEAST: Final = 64


class Timer:
    """A callback waiting for its time; `cancel` keeps it from running."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callback) -> None:
        self.when: Final = when
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Never run the callback; harmless when it already ran."""
        self.callback = None


class Loop:
    """Waits for whatever comes first and calls who asked for it."""

    def __init__(self) -> None:
        self._epoll: Final = select.epoll()
        self._watched: Final[dict[int, Callback]] = {}
        self._timers: Final[list[tuple[float, int, Timer]]] = []
        self._sweep_at = _SWEEP_LEAST  # how many of those, at most, before cancelled ones go
        self._order: Final = count()
        self._soon: list[Callback] = []
        self._ends: Final[list[Callback]] = []
        self._running = False
        self._skip = self._vain = 0  # how often not to look before we sleep
        self._woke = time.monotonic()  # when the loop last woke; the callbacks since took no time

    def now(self) -> float:
        """CLOCK_MONOTONIC, in seconds: the clock of `at`."""
        return time.monotonic()

    def watch(self, fd: int, callback: Callback) -> None:
        """Call `callback` whenever `fd` is readable; it must read, or it is called again."""
        self._epoll.register(fd, select.EPOLLIN)
        self._watched[fd] = callback

    def watch_signals(self, fd: int, callback: Callback) -> None:
        """Call `callback` when eventfd `fd` is signalled, and once now if it has been.

        Nobody has to read it, which saves a system call per interrupt: epoll sees each signal as an
        edge, and the count would take centuries to overflow.
        """
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        self._watched[fd] = callback

    def unwatch(self, fd: int) -> None:
        """Stop watching; harmless when `fd` was not watched."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, when: float, callback: Callback) -> Timer:
        """Call `callback` once, at `when` on `now`'s clock or a little later."""
        timer = Timer(when, callback)
        if not self._timers:
            self._woke = time.monotonic()  # it is not kept while there is nothing to wait for
        elif len(self._timers) >= self._sweep_at:
            self._sweep()
        heappush(self._timers, (when, next(self._order), timer))
        return timer

    def _sweep(self) -> None:
        """Let go of cancelled timers, whose time may be far off; it costs each `at` the same."""
        self._timers[:] = [entry for entry in self._timers if entry[2].callback is not None]
        heapify(self._timers)
        self._sweep_at = max(_SWEEP_LEAST, 2 * len(self._timers))

    def soon(self, callback: Callback) -> None:
        """Call `callback` in this round, after the descriptors that are ready."""
        self._soon.append(callback)

    def at_round_end(self, callback: Callback) -> None:
        """Call `callback` before the loop sleeps: as `run` begins, and when a round ends."""
        self._ends.append(callback)

    def stop(self) -> None:
        """Let `run` return after this round."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop`."""
        self._running = True
        for callback in self._ends:  # what was begun until now: nothing wakes the loop for it
            callback()
        while self._running:
            self.run_round()

    def run_until(self, done: Callable[[], bool], within: float) -> None:
        """Serve events until `done` holds, for at most `within` seconds."""
        deadline = self.now() + within
        timer = self.at(deadline, self.stop)
        while not done() and self.now() < deadline:
            self.run_round()
        timer.cancel()

    def run_round(self) -> None:
        """Wait for something to happen and deal with it."""
        wait = -1.0
        if self._soon:
            wait = 0.0
        elif self._timers:
            wait = max(0.0, self._timers[0][0] - self._woke)
        ready = self._wait(wait) if wait else self._epoll.poll(0.0, _EVENTS_PER_ROUND)
        if self._timers:
            # The one look at the clock in a round: on some machines it costs as much as an I/O.
            self._woke = time.monotonic()
        for fd, _ in ready:
            callback = self._watched.get(fd)
            if callback is not None:  # an earlier callback of this round may have dropped it
                callback()
        if self._timers and self._timers[0][0] <= self._woke:
            self._run_timers()
        while self._soon:
            due, self._soon = self._soon, []
            for callback in due:
                callback()
        for callback in self._ends:
            callback()

    def _wait(self, wait: float) -> list[tuple[int, int]]:
        """Return what is ready; wait for it at most `wait` seconds, for ever if that is negative.

        Before it sleeps it looks for about as long as a wake-up takes: on two processors, whoever
        waits for our answer asks again meanwhile.  Where that is in vain, because he shares our
        processor or is slower, it is soon given up for a while.
        """
        poll = self._epoll.poll
        if self._skip:
            self._skip -= 1
            return poll(wait, _EVENTS_PER_ROUND)
        ready = poll(0.0, _EVENTS_PER_ROUND)
        if ready:
            return ready  # it came while we worked: that says nothing about looking
        for _ in repeat(None, _LOOKS):
            ready = poll(0.0, _EVENTS_PER_ROUND)
            if ready:
                self._vain = 0
                return ready
        self._skip = self._vain = min(2 * self._vain + 1, _SKIP_MOST)
        return poll(wait, _EVENTS_PER_ROUND)

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self._woke:
            timer = heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    def close(self) -> None:
        """Give the epoll descriptor back."""
        self._epoll.close()
