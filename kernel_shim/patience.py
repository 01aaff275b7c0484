"""How long a daemon that starts is waited for.

The limit is there for one that hangs, and not for a machine that is slow: only what a process lets
pass asleep counts against it.  While it runs, or stands in the queue for a processor, it is at
work, and a dozen that start side by side on a loaded machine each need many times what one needs
alone.  One that never ends its work is found as well, only later.

Ref: Linux, Documentation/scheduler/sched-stats.rst: /proc/PID/schedstat is nanoseconds on a
processor, nanoseconds in the queue for one, and how often it got one.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

_BUSY_MOST: Final = 4  # times the limit, however hard it works
_LEAST_S: Final = 0.05  # between two looks


def left(pid: int, spawned_at: float, within: float) -> float:
    """Return how many seconds a process may still let pass before it is ready; 0: none.

    `spawned_at` is on CLOCK_MONOTONIC; `within` seconds are allowed asleep, four times that in all.
    """
    passed = time.monotonic() - spawned_at
    rest = min(within - (passed - _at_work(pid)), within * _BUSY_MOST - passed)
    return max(rest, _LEAST_S) if rest > 0 else 0.0


def _at_work(pid: int) -> float:
    """Return the seconds a process has run or waited for a processor."""
    try:
        ran, queued, _ = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()
    except (OSError, ValueError):  # it has ended, or this Linux does not count
        return 0.0
    return (int(ran) + int(queued)) / 1e9
