"""What libredox asks of the system rather than of a scheme; Linux answers."""

from __future__ import annotations

import errno
import os
import time
from typing import Final

from redbear_host.abi.stat import TimeSpec
from redbear_host.client.file import cannot

CLOCK_REALTIME: Final = 1
CLOCK_MONOTONIC: Final = 4

_CLOCKS: Final = {CLOCK_REALTIME: time.CLOCK_REALTIME, CLOCK_MONOTONIC: time.CLOCK_MONOTONIC}


def clock_gettime(clock: int) -> TimeSpec:
    """Read a clock, by Redox's number (`CLOCK_REALTIME` is 1, `CLOCK_MONOTONIC` 4)."""
    if clock not in _CLOCKS:
        raise cannot(errno.EINVAL)
    seconds, rest = divmod(time.clock_gettime_ns(_CLOCKS[clock]), 1_000_000_000)
    return TimeSpec(tv_sec=seconds, tv_nsec=rest)


def getpid() -> int:
    """Return this process's number."""
    return os.getpid()


def getruid() -> int:
    """Return the real user."""
    return os.getuid()


def geteuid() -> int:
    """Return the effective user."""
    return os.geteuid()


def getrgid() -> int:
    """Return the real group."""
    return os.getgid()


def getegid() -> int:
    """Return the effective group."""
    return os.getegid()


def kill(pid: int, signal: int) -> None:
    """Send a signal."""
    os.kill(pid, signal)


def waitpid(pid: int, options: int = 0) -> tuple[int, int]:
    """Wait for a child; return which, and its status."""
    return os.waitpid(pid, options)


def strerror(number: int) -> str:
    """Name an error."""
    return os.strerror(number)
