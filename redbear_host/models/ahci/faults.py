"""What a modelled port or its device does wrong, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Misdeed(Enum):
    """Ways to end a command badly, or not at all."""

    FAIL = auto()  # end it with the Error register `value`
    HOLD = auto()  # keep it until `AhciModel.release`
    LOSE_INTERRUPT = auto()  # complete it, but do not interrupt
    SHORT = auto()  # move nothing and say that all is well; unqueued commands only
    STRAY = auto()  # complete it, and say that tag `value` is active
    FATAL = auto()  # Interface Fatal Error instead of an end
    LINK = auto()  # the link drops and comes back, the device has forgotten it
    VANISH = auto()  # the adapter leaves the bus


@dataclass
class Fault:
    """A misdeed on the next `times` commands that match; None matches all."""

    misdeed: Misdeed
    value: int = 0
    times: int = 1
    port: int | None = None
    opcode: int | None = None
    lba: int | None = None  # a block the command touches

    def matches(self, port: int, opcode: int, lba: int, blocks: int) -> bool:
        """Whether a command is meant."""
        return (
            self.times > 0
            and (self.port is None or self.port == port)
            and (self.opcode is None or self.opcode == opcode)
            and (self.lba is None or lba <= self.lba < lba + blocks)
        )
