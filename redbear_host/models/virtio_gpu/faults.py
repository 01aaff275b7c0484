"""What a modelled graphics card does wrong, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Misdeed(Enum):
    """Ways to end a command badly, or not at all."""

    ANSWER = auto()  # say `value` instead of what is true, and do nothing
    LENGTH = auto()  # claim to have written `value` bytes
    IDENTITY = auto()  # end descriptor `value` instead
    JUMP = auto()  # move the used index on by `value` more
    HOLD = auto()  # end it only when it is released
    LOSE_INTERRUPT = auto()  # end it, but do not interrupt
    LOSE = auto()  # never end it, and go on with all others
    HANG = auto()  # end nothing any more, until a reset
    NEEDS_RESET = auto()  # end nothing, and ask for a reset
    GARBAGE = auto()  # fill the response with ones, behind its header
    VANISH = auto()  # leave the bus


@dataclass
class Fault:
    """A misdeed with the next `times` commands of a type; 0: of any."""

    misdeed: Misdeed
    value: int = 0
    times: int = 1
    type: int = 0
