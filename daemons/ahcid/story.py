"""Sequences that wait, told in steps: whoever owns one asks for the next step when time has passed.

A recovery must not stop the daemon, so it is a generator.  It yields where it would wait, returns
what it found, and raises `Stuck` when a deadline has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

from redbear_host.bits import Clock
from redbear_host.errors import Stuck

T = TypeVar("T")
Story: TypeAlias = Generator[None, None, T]


def until(clock: Clock, ready: Callable[[], bool], within: float, what: str) -> Story[None]:
    """Wait until `ready`, for at most `within` seconds; `Stuck` says that it is not `what`.

    It is asked once more after the deadline: a machine that was asleep reports no false hang.
    """
    deadline = clock.now() + within
    while True:
        late = clock.now() >= deadline
        if ready():
            return
        if late:
            raise Stuck(f"not {what} after {within:g} s")
        yield


def pause(clock: Clock, seconds: float) -> Story[None]:
    """Wait for `seconds`, by the steps it takes."""
    deadline = clock.now() + seconds
    while clock.now() < deadline:
        yield
