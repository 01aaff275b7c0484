"""Real time, for drivers on real machines."""

from __future__ import annotations

import time


class SystemClock:
    """`Clock` on CLOCK_MONOTONIC."""

    def now(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()

    def pause(self, seconds: float, /) -> None:
        """Let other processes run for `seconds`."""
        time.sleep(seconds)
