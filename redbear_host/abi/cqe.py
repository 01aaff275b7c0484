"""Scheme protocol version 2, from the scheme: what is answered (redox_syscall, src/schemev2.rs)."""

from __future__ import annotations

from enum import IntFlag
from typing import Final

from redbear_host.bits import SpecEnum, Struct, at

OPCODE_MASK: Final = 0b111  # the bits of `Cqe.flags` that hold the opcode

_WORD: Final = 1 << 64
_ERRORS: Final = _WORD - 4096  # results above this are errors


class CqeOpcode(SpecEnum):
    """What an answer is."""

    RESPOND_REGULAR = 0  # `result` as `mux` makes it
    RESPOND_WITH_FD = 1  # `result` is a descriptor, handed to the caller
    SEND_FEVENT = 2  # no answer: `tag` holds events, `result` the handle they are true for
    OBTAIN_FD = 3  # `extra_raw` is 24 bits of flags; until 2025
    RESPOND_WITH_MULTIPLE_FDS = 4  # `result` counts them
    RESPOND_AND_NOTIFY_ON_DETACH = 5  # as 0; the scheme then hears DETACH


class NewFdFlags(IntFlag):
    """First byte of `extra_raw` in the answer to an open or dup."""

    POSITIONED = 1  # the handle has an offset; without it the file is a stream


class Cqe(Struct, size=16):
    """Completion queue entry; `tag` is that of the call it answers."""

    flags: int = at(0, "B")
    extra_raw: bytes = at(1, "3s")
    tag: int = at(4, "I")
    result: int = at(8, "Q")

    @property
    def opcode(self) -> CqeOpcode:
        """What this answer is."""
        return CqeOpcode(self.flags & OPCODE_MASK)


def mux(result: int, /) -> int:
    """Turn a value, or a negated errno, into the word that travels."""
    if not -4096 < result <= _ERRORS:
        raise ValueError(f"{result} is neither a result nor a negated errno")
    return result % _WORD


def demux(word: int, /) -> int:
    """Undo `mux`: a value, or a negated errno."""
    if not 0 <= word < _WORD:
        raise ValueError(f"{word:#x} is no word of 64 bits")
    return word - _WORD if word > _ERRORS else word
