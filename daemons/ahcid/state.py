"""What a port is up to, how far up the ladder, and what went wrong so far."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class State(Enum):
    """What a port is up to."""

    STARTING = auto()
    EMPTY = auto()  # nothing it could serve
    RUNNING = auto()
    RECOVERING = auto()  # commands wait
    ABSENT = auto()  # its device has left; commands end with ENXIO
    DEAD = auto()  # given up; commands end with EIO, or ENODEV when the adapter has left


class Rung(Enum):
    """How far up the ladder a port is, while it recovers."""

    RESTART = auto()  # of the command list
    COMRESET = auto()
    ADAPTER = auto()  # the adapter was reset


@dataclass(slots=True)
class Counters:
    """What went wrong so far."""

    errors: int = 0  # commands the device ended with an error
    timeouts: int = 0  # commands that ended because nothing else helped
    restarts: int = 0
    comresets: int = 0
    nonsense: int = 0
    late_interrupts: int = 0  # commands a tick found ended before their interrupt came
