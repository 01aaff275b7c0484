"""The scheme `itimer`: interval timers, one per open.

```
/scheme/itimer/1      on the wall clock          /scheme/itimer/4      on the monotonic clock
```

Writing 32 bytes (ITimerSpec: interval, value) arms the timer as setitimer(2) does: it expires once
`value` has passed, and every `interval` after that.  Reading gives the interval and what is left.
Each expiry is an EVENT_READ.

Redox had the name until April 2025 and never the timer: a read gave zeros, a write was only printed
in its log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kernel_shim.schemes.clocks import (
    MONOTONIC,
    REALTIME,
    SECOND,
    Alarm,
    Alarms,
    clock_of,
    from_timespec,
    now,
)
from kernel_shim.schemes.handles import Handles
from kernel_shim.schemes.kernel import Kernel
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.event import ITimerSpec
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import ROOT, Entry, Opened, Scheme

_CLOCKS: Final = ("1", "4")
_SHORTEST: Final = 1_000_000  # nanoseconds: a shorter interval would be all this process does


@dataclass
class _Timer:
    clock: int  # 0 for the root
    interval: int = 0
    due: int = 0  # on its clock, in nanoseconds; 0: it is not armed
    alarm: Alarm | None = None
    expired: bool = False  # since the last read


class ITimerScheme(Scheme):
    """See the module."""

    name = "itimer"

    def __init__(self, loop: Loop) -> None:
        self._alarms: Final = {clock: Alarms(loop, clock) for clock in (REALTIME, MONOTONIC)}
        self._handles: Final[Handles[_Timer]] = Handles()

    def close(self) -> None:
        """Give the timers back."""
        for alarms in self._alarms.values():
            alarms.close()

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open the directory, or a timer of one's own on a clock."""
        if parent != ROOT and self._handles[parent].clock:
            raise Refused(e.ENOTDIR)
        path = path.strip("/")
        clock = clock_of(path) if path else 0
        if clock and flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        return Opened(self._handles.add(_Timer(clock), request.caller))

    def fpath(self, handle: int) -> str:
        """Return `/scheme/itimer/CLOCK`."""
        clock = self._handles[handle].clock
        return f"/scheme/{self.name}/{clock or ''}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the clocks."""
        if self._handles[handle].clock:
            raise Refused(e.ENOTDIR)
        return [Entry(clock, f.DT_REG) for clock in _CLOCKS]

    def on_close(self, handle: int) -> None:
        """Forget the timer."""
        timer = self._handles.remove(handle)
        if timer is not None:
            _disarm(timer)

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return interval and time left, 32 bytes; EINVAL for less room."""
        timer = self._timer(handle)
        if size < ITimerSpec.size:
            raise Refused(e.EINVAL)
        timer.expired = False
        left = max(1, timer.due - now(timer.clock)) if timer.due else 0
        (seconds, rest), (every, part) = divmod(left, SECOND), divmod(timer.interval, SECOND)
        return bytes(
            ITimerSpec(
                it_interval_sec=every,
                it_interval_nsec=part,
                it_value_sec=seconds,
                it_value_nsec=rest,
            )
        )

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Arm the timer, or with a value of zero disarm it."""
        timer = self._timer(handle)
        if len(data) < ITimerSpec.size:
            raise Refused(e.EINVAL)
        spec = ITimerSpec.load(data)
        value = from_timespec(spec.it_value_sec, spec.it_value_nsec)
        interval = from_timespec(spec.it_interval_sec, spec.it_interval_nsec)
        _disarm(timer)
        timer.expired = False
        timer.interval = max(interval, _SHORTEST) if interval else 0
        if value:
            self._arm(handle, timer, now(timer.clock) + value)
        return ITimerSpec.size

    def _arm(self, handle: int, timer: _Timer, due: int) -> None:
        def expire() -> None:
            timer.alarm, timer.due, timer.expired = None, 0, True
            if timer.interval:
                # Those that were missed (a suspended machine, a clock that was set) count as one.
                missed = max(0, now(timer.clock) - due) // timer.interval
                self._arm(handle, timer, due + (missed + 1) * timer.interval)
            self.post_fevent(handle, f.EVENT_READ)

        timer.due = due
        timer.alarm = self._alarms[timer.clock].at(due, expire)

    def _timer(self, handle: int) -> _Timer:
        timer = self._handles[handle]
        if not timer.clock:
            raise Refused(e.EISDIR)
        return timer

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a timer or the directory."""
        if not self._handles[handle].clock:
            return Stat(st_mode=MODE_DIR | 0o555, st_nlink=2, st_blksize=4096)
        return Stat(st_mode=MODE_FILE | 0o666, st_nlink=1, st_size=ITimerSpec.size, st_blksize=4096)

    def fsize(self, handle: int) -> int:
        """Return the size of what a read gives."""
        return ITimerSpec.size if self._handles[handle].clock else 0

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Do nothing: `… > /scheme/itimer/4` asks for it."""
        self._handles[handle]

    def fevent(self, handle: int, mask: int) -> int:
        """Say that a timer is readable once it has expired, until it is read."""
        timer = self._handles[handle]
        return mask if timer.expired or not timer.clock else mask & f.EVENT_WRITE


def _disarm(timer: _Timer) -> None:
    if timer.alarm is not None:
        timer.alarm.cancel()
    timer.alarm, timer.due = None, 0


def build(kernel: Kernel) -> ITimerScheme:
    """Make the scheme."""
    return ITimerScheme(kernel.loop)
