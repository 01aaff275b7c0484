"""What a controller is up to, and what went wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class State(Enum):
    """What the controller is up to."""

    STOPPED = auto()
    RUNNING = auto()
    RECOVERING = auto()  # being reset; commands wait
    FAILED = auto()  # given up; commands end with EIO
    GONE = auto()  # has left; commands end with ENODEV


@dataclass(slots=True)
class Counters:
    """What went wrong so far."""

    errors: int = 0  # commands the controller ended with an error
    aborts: int = 0  # commands whose abort was asked for
    timeouts: int = 0  # commands that ended because nothing else helped
    resets: int = 0
    nonsense: int = 0  # completions that cannot be
    late_interrupts: int = 0  # completions a tick found before their interrupt came
