"""How a command ended, as an errno and in words."""

from __future__ import annotations

from daemons.ahcid.regs import Ata, TaskError, TaskStatus
from redbear_host.abi import errno as e
from redbear_host.classes.commands import AtaResult


def failed(result: AtaResult, /) -> bool:
    """Whether the device ended the command with an error, or did not end it."""
    status = TaskStatus.of(result.status)
    return bool(result.errno) or status.ERR or status.DF or status.BSY or status.DRQ


def errno_of(result: AtaResult, opcode: int, /) -> int:
    """Return the errno a client shall see: 0 for success, EIO for whatever has no better number."""
    if not failed(result):
        return 0
    if result.errno:
        return result.errno
    error = TaskError.of(result.error)
    if error.ABRT and opcode == Ata.DATA_SET_MANAGEMENT:
        return e.EOPNOTSUPP
    return e.EIO


def describe(result: AtaResult, /) -> str:
    """Put status and error in the specification's words, for a log line."""
    if result.errno:
        return f"no answer (errno {result.errno})"
    status, error = TaskStatus.of(result.status), TaskError.of(result.error)
    names = [name for bits in (status, error) for name in bits.fields if getattr(bits, name)]
    names = [name for name in names if name not in ("DRDY", "SERV", "ERR", "ALIGN", "SENSE")]
    return " ".join(names) or f"status {result.status:#04x}, error {result.error:#04x}"
