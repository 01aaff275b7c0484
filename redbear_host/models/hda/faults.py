"""What a modelled sound card does wrong, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Misdeed(Enum):
    """Ways to go wrong; each is looked at where its name says."""

    NO_ANSWER = auto()  # a verb is fetched, and nothing comes back
    STUCK_CORB = auto()  # the ring is not looked at; immediate commands work
    DEAF = auto()  # neither rings nor immediate commands are looked at
    WRONG_CODEC = auto()  # an answer comes from codec 9, then none
    GARBAGE = auto()  # an answer is `value`
    LOSE_INTERRUPT = auto()  # a sub-buffer ends without one
    STUCK_INTERRUPT = auto()  # the line stays up whatever is done
    STUCK_CAUSE = auto()  # a stream claims to have something to say whatever is done
    POSITION = auto()  # the position is told as `value`
    UNTOLD = auto()  # the position buffer is not written
    STALL = auto()  # streams run and do not move
    FIFO_ERROR = auto()  # a sub-buffer ends with one
    DESCRIPTOR_ERROR = auto()  # a stream stops, since it could not read its list
    HELD_IN_RESET = auto()  # CRST does not come out
    NO_CODECS = auto()  # nobody announces himself


@dataclass
class Fault:
    """A misdeed, the next `times` times."""

    misdeed: Misdeed
    value: int = 0
    times: int = 1
