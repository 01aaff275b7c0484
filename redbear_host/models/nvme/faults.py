"""What a modelled controller does wrong, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Misdeed(Enum):
    """Ways to end a command badly, or not at all."""

    STATUS = auto()  # fail it with status field `value` (SCT << 8 | SC)
    HOLD = auto()  # keep it until `NvmeModel.release`
    LOSE_INTERRUPT = auto()  # complete it, but do not interrupt
    DUPLICATE = auto()  # complete it twice
    WRONG_CID = auto()  # complete command `value` instead
    STALE_PHASE = auto()  # write the completion with the phase of the round before
    SKIP_SLOT = auto()  # write the completion one slot too far
    WRONG_SQHD = auto()  # report submission queue head `value`
    WRONG_SQID = auto()  # report submission queue `value`
    FATAL = auto()  # set CSTS.CFS and stop
    RESET = auto()  # fall back to CSTS.RDY = 0 and forget everything
    VANISH = auto()  # leave the bus


@dataclass
class Fault:
    """A misdeed on the next `times` commands that match; None matches all."""

    misdeed: Misdeed
    value: int = 0
    times: int = 1
    opcode: int | None = None
    admin: bool = False  # admin commands, or I/O commands
    lba: int | None = None  # a block the command touches (Read, Write, Write Zeroes)

    def matches(self, qid: int, opcode: int, lba: int, blocks: int) -> bool:
        """Whether a command is meant."""
        return (
            self.times > 0
            and self.admin == (qid == 0)
            and (self.opcode is None or self.opcode == opcode)
            and (self.lba is None or lba <= self.lba < lba + blocks)
        )
