"""Time for tests: it passes only when someone says so."""

from __future__ import annotations


class FakeClock:
    """A `Clock` that never waits: `pause` moves it on and returns at once."""

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Seconds since an arbitrary start."""
        return self._now

    def pause(self, seconds: float, /) -> None:
        """Let `seconds` pass."""
        self._now += seconds
