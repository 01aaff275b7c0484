"""Redox's two clocks, and alarms on them.

`Loop.at` would do for the monotonic clock alone.  A deadline on the wall clock must also follow
when somebody sets that clock, which only Linux's timers are told of (timerfd_create(2),
TFD_TIMER_CANCEL_ON_SET).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

from redbear_host import linux
from redbear_host.abi import errno as e
from redbear_host.abi.stat import TimeSpec
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Callback, Loop

REALTIME: Final = 1  # Redox's CLOCK_REALTIME
MONOTONIC: Final = 4
SECOND: Final = 1_000_000_000

_LINUX: Final = {REALTIME: time.CLOCK_REALTIME, MONOTONIC: time.CLOCK_MONOTONIC}
_SWEEP_AFTER: Final = 64
_LATEST: Final = (1 << 63) - 1  # nanoseconds: Linux's clocks end there, in the year 2262


def clock_of(name: str) -> int:
    """Return the clock that a path names; ENOENT for any other."""
    if name not in ("1", "4"):
        raise Refused(e.ENOENT)
    return int(name)


def now(clock: int) -> int:
    """Return a clock's time, in nanoseconds."""
    return time.clock_gettime_ns(_LINUX[clock])


def resolution(clock: int) -> int:
    """Return a clock's resolution, in nanoseconds."""
    return round(time.clock_getres(_LINUX[clock]) * SECOND)


def to_timespec(nanoseconds: int) -> bytes:
    """Pack a time as Redox's TimeSpec."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return bytes(TimeSpec(tv_sec=seconds, tv_nsec=rest))


def from_timespec(seconds: int, nanoseconds: int) -> int:
    """Read a time that a caller wrote; EINVAL for what is none."""
    if not 0 <= nanoseconds < SECOND or seconds < 0:
        raise Refused(e.EINVAL)
    return min(seconds * SECOND + nanoseconds, _LATEST)


class Alarm:
    """A callback that waits for a time on one of the clocks."""

    __slots__ = ("_owner", "callback")

    def __init__(self, owner: Alarms, callback: Callback) -> None:
        self._owner: Final = owner
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Never run the callback; harmless when it already ran."""
        if self.callback is not None:
            self.callback = None
            self._owner.forget_one()


class Alarms:
    """Alarms on one clock, all on one timer of Linux, which is made when it is first needed."""

    def __init__(self, loop: Loop, clock: int, read: Callable[[int], int] = now) -> None:
        self._loop: Final = loop
        self._clock: Final = clock
        self._now: Final = read
        self._fd = -1
        self._waiting: list[tuple[int, int, Alarm]] = []
        self._cancelled = 0
        self._order: Final = count()

    def at(self, when: int, callback: Callback) -> Alarm:
        """Call `callback` once the clock shows `when` nanoseconds or more; at once if it does."""
        if self._fd < 0:
            self._fd = linux.timerfd_create(_LINUX[self._clock])
            self._loop.watch(self._fd, self._on_time)
        alarm = Alarm(self, callback)
        heappush(self._waiting, (when, next(self._order), alarm))
        if self._waiting[0][2] is alarm:
            self._arm()
        return alarm

    def forget_one(self) -> None:
        """One more of those that wait was cancelled; many are swept out, near or far in time."""
        self._cancelled += 1
        if self._cancelled > _SWEEP_AFTER and 2 * self._cancelled > len(self._waiting):
            self._waiting = [entry for entry in self._waiting if entry[2].callback is not None]
            heapify(self._waiting)
            self._cancelled = 0

    def close(self) -> None:
        """Give the timer back; nothing rings any more."""
        self._waiting.clear()
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _arm(self) -> None:
        when = max(1, self._waiting[0][0]) if self._waiting else 0
        try:
            linux.timerfd_settime(self._fd, when, self._clock == REALTIME)
        except OSError as err:
            if err.errno != errno.ECANCELED:  # somebody has set the clock; it is armed all the same
                raise

    def _on_time(self) -> None:
        # ECANCELED instead of a count: somebody has set the clock.
        with suppress(OSError):
            os.read(self._fd, 8)
        now = self._now(self._clock)
        while self._waiting:
            when, _, alarm = self._waiting[0]
            if alarm.callback is not None and when > now:
                break
            heappop(self._waiting)
            callback, alarm.callback = alarm.callback, None
            if callback is None:
                self._cancelled -= 1
            else:
                callback()
        self._arm()
