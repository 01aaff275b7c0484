"""By when the calls of this thread have to be answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


class _Mine(threading.local):
    until: float | None = None  # on the clock of CLOCK_MONOTONIC, in seconds


mine: Final = _Mine()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let every libredox call inside end within `seconds`: `with client.deadline(2): fd.read(1)`.

    A call that is not answered by then is cancelled and raises `TimeoutError`.  Of deadlines inside
    each other the earlier counts.
    """
    outer = mine.until
    until = time.monotonic() + seconds
    mine.until = until if outer is None else min(outer, until)
    try:
        yield
    finally:
        mine.until = outer


def current() -> float | None:
    """Return this thread's deadline."""
    return mine.until


def remaining(until: float | None) -> float | None:
    """Return how many seconds are left, at least 0; None for ever."""
    return None if until is None else max(0.0, until - time.monotonic())
