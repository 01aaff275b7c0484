"""Commands that clients send as they are; see `redbear_host.classes.commands.NvmeCommands`.

They go through the same queues as the driver's own and are looked after in the same way, but for
their patience: a client that asks for a longer one than the driver's gets it, a shorter one would
have the controller reset for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daemons.nvmed.prp import DmaChunk
from daemons.nvmed.queues import Answer
from daemons.nvmed.regs import SQE, NvmOpcode, Status
from redbear_host.abi import errno as e
from redbear_host.classes.commands import NvmeCommand, NvmeDone, NvmeResult

if TYPE_CHECKING:
    from daemons.nvmed.driver import Controller

LONGEST_S: Final = 3600.0

# An I/O command may be issued twice, as after a reset: these are the same then.
_REPEATABLE: Final = frozenset(
    (
        *(NvmOpcode.FLUSH, NvmOpcode.READ, NvmOpcode.WRITE, NvmOpcode.COMPARE),
        *(NvmOpcode.WRITE_UNCORRECTABLE, NvmOpcode.WRITE_ZEROES, NvmOpcode.DATASET_MANAGEMENT),
        *(NvmOpcode.VERIFY, NvmOpcode.RESERVATION_REPORT),
    )
)


class Forwarded:
    """Whom to tell how a client's command ended; the `Done` of either kind of queue."""

    __slots__ = ("_done", "timeout")

    def __init__(self, done: NvmeDone, timeout_ms: int) -> None:
        self._done: Final = done
        self.timeout: Final = min(timeout_ms / 1000, LONGEST_S)  # seconds

    def __call__(self, errno: int) -> None:
        """End an I/O command."""
        self._done(NvmeResult(errno))

    def answered(self, answer: Answer) -> None:
        """End an admin command; one that a reset caught has no status."""
        if answer.status is None:
            self._done(NvmeResult(e.EIO))
        else:
            self._done(NvmeResult(0, answer.status.raw >> 1, answer.result))

    def failed(self, status: Status) -> None:
        """End an I/O command that the controller refused or could not do."""
        self._done(NvmeResult(0, status.raw >> 1))


def forward(
    controller: Controller, command: NvmeCommand, chunk: DmaChunk | None, size: int, done: NvmeDone
) -> None:
    """Issue a command whose `size` bytes lie at the start of `chunk`.

    EOPNOTSUPP for what the I/O queues cannot carry: command dwords that no command of theirs has.
    """
    it = Forwarded(done, command.timeout_ms)
    prp1 = 0 if chunk is None else chunk.iova
    prp2 = 0 if chunk is None else chunk.prp2(size)
    if command.admin:
        sqe = SQE(
            OPC=command.opcode,
            NSID=command.nsid,
            CDW2=command.cdw2,
            CDW3=command.cdw3,
            PRP1=prp1,
            PRP2=prp2,
            CDW10=command.cdw10,
            CDW11=command.cdw11,
            CDW12=command.cdw12,
            CDW13=command.cdw13,
            CDW14=command.cdw14,
            CDW15=command.cdw15,
        )
        controller.submit_admin(sqe, it.answered)
        return
    more = command.cdw2 | command.cdw3 | command.cdw13 | command.cdw14 | command.cdw15
    if more or command.opcode not in _REPEATABLE:
        controller.refuse(it, e.EOPNOTSUPP)
        return
    cdw10 = command.cdw10 | command.cdw11 << 32
    controller.submit(command.opcode, command.nsid, prp1, prp2, cdw10, command.cdw12, it)


def patience(command: object, own: float) -> float:
    """Return how many seconds a command of either queue may take; `own` is the driver's."""
    done = command[-1] if isinstance(command, tuple) else None
    it = getattr(done, "__self__", done)  # an admin command's is the method `answered`
    return max(own, it.timeout) if isinstance(it, Forwarded) else own
