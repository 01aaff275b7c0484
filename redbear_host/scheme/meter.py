"""A scheme's meter: how many calls its clients make, and a record of some or all of them.

The meter is a memfd that daemon, shim and the kernel's schemes share, so that looking costs a
daemon nothing: it counts, and each `every`-th call leaves a record when it is answered.  An
observer may set `every` to 1 (`redbear-host trace`); the daemon looks at it now and then.

One daemon writes, anyone reads.  A record is complete once `records` counts it; the ring holds the
last `RECORDS` of them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from struct import Struct
from typing import Final, NamedTuple

from redbear_host.errors import ProtocolError

RECORDS: Final = 4096  # a power of two
SAMPLE: Final = 64  # one call in so many is recorded while nobody asks for more

_MAGIC: Final = 0x3152544D4252  # "RBMTR1"
_HEADER: Final = 4096
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_RECORD: Final = Struct("=QQQQQIIiHH8x")
_SIZE: Final = _HEADER + RECORDS * 64

# 64-bit words of the header
_M, _EVERY, _CALLS, _RECORDED, _LATENCY = 0, 1, 2, 3, 4


class Record(NamedTuple):
    """One answered call."""

    when: int  # CLOCK_MONOTONIC in nanoseconds, when it was answered
    latency: int  # nanoseconds from the moment we took it
    subject: int  # FUSE: the node; ring: the handle
    offset: int
    size: int
    pid: int
    opcode: int  # the kernel's FUSE opcode, or that of the Sqe
    result: int  # bytes or another number, or a negated Redox errno
    door: int  # 0: FUSE, 1: ring


class Meter:
    """A mapped meter."""

    def __init__(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        if size != _SIZE:
            raise ProtocolError(f"a meter has {_SIZE} bytes, not {size}")
        self.fd: Final = fd
        self._bytes: Final = memoryview(mmap.mmap(fd, _SIZE))
        self._quads: Final = self._bytes.cast("Q")
        if self._quads[_M] != _MAGIC:
            raise ProtocolError(f"this is not a meter: it begins with {self._quads[_M]:#x}")

    @classmethod
    def create(cls) -> Meter:
        """Make one, at zero."""
        fd = os.memfd_create("redbear-meter", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _SIZE)
        # A daemon that could shorten it would kill whoever reads it.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        os.pwrite(fd, Struct("=QQ").pack(_MAGIC, SAMPLE), 0)
        return cls(fd)

    @property
    def every(self) -> int:
        """One call in so many is recorded; at least 1."""
        return self._quads[_EVERY] or 1

    @every.setter
    def every(self, value: int) -> None:
        self._quads[_EVERY] = value

    @property
    def calls(self) -> int:
        """Calls taken since the scheme was mounted, by all its daemons."""
        return self._quads[_CALLS]

    @calls.setter
    def calls(self, value: int) -> None:
        self._quads[_CALLS] = value

    def count(self, calls: int) -> None:
        """Count calls of one of the scheme's doors."""
        self._quads[_CALLS] += calls

    @property
    def recorded(self) -> int:
        """Calls that were recorded."""
        return self._quads[_RECORDED]

    @property
    def latency(self) -> int:
        """The sum of their latencies, in nanoseconds."""
        return self._quads[_LATENCY]

    def record(self, record: Record) -> None:
        """Write one call down."""
        number = self._quads[_RECORDED]
        at = _HEADER + (number % RECORDS) * 64
        when, latency, subject, offset, size, pid, opcode, result, door = record
        clipped = max(-(1 << 31), min(result, (1 << 31) - 1))
        _RECORD.pack_into(
            self._bytes, at, when, latency, subject, offset, size, pid, opcode, clipped, door, 0
        )
        self._quads[_LATENCY] += latency
        self._quads[_RECORDED] = number + 1

    def since(self, number: int) -> tuple[list[Record], int]:
        """Return the records from `number` on that are still there, and how many were lost."""
        end = self._quads[_RECORDED]
        # The oldest of a full ring may be overwritten while we look.
        first = max(number, end - RECORDS + 64)
        found = []
        for index in range(first, end):
            fields = _RECORD.unpack_from(self._bytes, _HEADER + (index % RECORDS) * 64)
            found.append(Record(*fields[:9]))
        return found, first - number

    def close(self) -> None:
        """Close the descriptor; the mapping goes with the last view of it."""
        os.close(self.fd)
