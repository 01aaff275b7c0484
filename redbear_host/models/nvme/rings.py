"""The controller's side of queues."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass
class Submission:
    """A submission queue."""

    qid: int
    base: int
    entries: int
    cqid: int
    head: int = 0
    tail: int = 0


@dataclass
class Completion:
    """A completion queue."""

    qid: int
    base: int
    entries: int
    vector: int
    interrupts: bool
    head: int = 0
    tail: int = 0
    phase: int = 1

    @property
    def full(self) -> bool:
        """One entry stays free, or full would look like empty (4.1.1)."""
        return (self.tail + 1) % self.entries == self.head


@dataclass(frozen=True)
class Sqe:
    """A submission queue entry, taken apart (4.2)."""

    raw: bytes
    opcode: int
    flags: int
    cid: int
    nsid: int
    prp1: int
    prp2: int
    dwords: tuple[int, ...]  # CDW10 to CDW15

    @classmethod
    def of(cls, raw: bytes) -> Sqe:
        """Take an entry as it lay in the queue."""
        opcode, flags, cid, nsid, prp1, prp2, *dwords = struct.unpack("<BBHI16xQQ6I", raw)
        return cls(raw, opcode, flags, cid, nsid, prp1, prp2, tuple(dwords))

    @property
    def slba(self) -> int:
        """Starting LBA of Read, Write, Write Zeroes."""
        return self.dwords[0] | self.dwords[1] << 32

    @property
    def blocks(self) -> int:
        """Number of Logical Blocks of Read, Write, Write Zeroes."""
        return (self.dwords[2] & 0xFFFF) + 1


@dataclass
class Running:
    """A command that was fetched and not yet completed."""

    sq: Submission
    sqe: Sqe
    held: bool = False
    abort_status: int | None = None  # set once an Abort reached it
