"""What a modelled network card does wrong, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Misdeed(Enum):
    """Ways to receive a frame badly, or to send none."""

    LOSE_INTERRUPT = auto()  # bring the frame, but do not interrupt
    LENGTH = auto()  # report `value` bytes
    SKIP = auto()  # leave a descriptor out
    NO_END = auto()  # never set EOP
    ERRORS = auto()  # report the error bits `value`
    STATUS = auto()  # report the status bits `value`
    NO_REPORT = auto()  # send a frame, and do not say so where it was asked for
    HANG = auto()  # send nothing any more, until a reset
    VANISH = auto()  # leave the bus


@dataclass
class Fault:
    """A misdeed with the next `times` frames."""

    misdeed: Misdeed
    value: int = 0
    times: int = 1
