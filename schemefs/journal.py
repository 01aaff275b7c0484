"""The journal: what a daemon had in hand, kept where its death cannot reach.

A journal is a memfd that the shim holds beside the FUSE connection.  The kernel copies each request
straight into it, and a request leaves it only when the kernel has the answer, so a successor sees
every request its predecessor took and did not answer, however it died.

One word decides: the request's own length, the first thing the kernel writes and the last thing we
clear.  A slot whose length is zero is free (or waiting to be filled); any other holds a request.
Requests longer than a slot carry on in a data area; the slot names the area it owns, or owns the
staging area if it names none.  All cross-references are single aligned words, so a death between
any two stores leaves something a successor can read (docs/adr/0013-crash-only-daemons.md).

Beside requests it keeps what makes node ids and file handles mean the same to the successor: the
table of names the kernel knows, and the table of open handles.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from struct import Struct
from typing import Final

from redbear_host.errors import ProtocolError
from schemefs.protocol import HEAD_BYTES

PAGE: Final = 4096
MAGIC: Final = 0x4C4E4A4252  # "RBJNL"
VERSION: Final = 3

REQUEST_BYTES: Final = 128
MEDIUM_BYTES: Final = 16 << 10
BIG_BYTES: Final = 1 << 20  # max_write: the largest payload the kernel sends
NODE_BYTES: Final = 288
HANDLE_BYTES: Final = 64
NAME_MAX: Final = 255

# 64-bit words of the header page
_MAGIC, _VERSION, _REQUESTS, _MEDIUM, _BIG, _NODES, _HANDLES, _MINOR = range(8)
_STAGING = 2 * 8  # 32-bit words from here on: the big area that readv fills
_LIVES = 2 * 8 + 1  # how many daemons have served from this journal

# How many rows of a table have ever been used, from the first on; those behind take no memory.
SLOTS_USED: Final = 2 * 8 + 2
NODES_USED: Final = 2 * 8 + 3
HANDLES_USED: Final = 2 * 8 + 4

MOVE_AT: Final = 2048  # in the header page: a rename in progress (`schemefs.nodes`)

# 32-bit words of a request slot, after the bytes the kernel wrote
LENGTH: Final = 0
DATA: Final = HEAD_BYTES // 4  # data area + 1 that the request owns; 0: the staging area
TRIES: Final = HEAD_BYTES // 4 + 1  # how often a successor has run it again

LOST: Final = 0xFFFF_FFFF  # in DATA: the payload lived in the dead daemon's own memory


@dataclass(frozen=True)
class Geometry:
    """How many of each thing a journal holds at most; what was never used takes no memory."""

    requests: int = 12_544  # ten thousand may wait, and as many as ever there were go on beside
    medium: int = 64
    big: int = 8
    nodes: int = 1 << 18  # a kernel with memory to spare forgets no name: all that were looked at
    handles: int = 1 << 14

    @property
    def requests_at(self) -> int:
        """Where the request slots start, in bytes."""
        return PAGE

    @property
    def medium_at(self) -> int:
        """Where the 16 KiB data areas start."""
        return self.requests_at + self.requests * REQUEST_BYTES

    @property
    def big_at(self) -> int:
        """Where the 1 MiB data areas start."""
        return self.medium_at + self.medium * MEDIUM_BYTES

    @property
    def nodes_at(self) -> int:
        """Where the table of names starts."""
        return self.big_at + self.big * BIG_BYTES

    @property
    def handles_at(self) -> int:
        """Where the table of open handles starts."""
        return self.nodes_at + self.nodes * NODE_BYTES

    @property
    def size(self) -> int:
        """Bytes in the whole journal."""
        return self.handles_at + self.handles * HANDLE_BYTES


class Journal:
    """A mapped journal.  `words`, `quads` and `bytes` are three views of the same memory."""

    def __init__(self, fd: int, geometry: Geometry) -> None:
        self.fd: Final = fd
        self.geometry: Final = geometry
        self.bytes: Final = memoryview(mmap.mmap(fd, geometry.size, mmap.MAP_SHARED))
        self.words: Final = self.bytes.cast("I")
        self.quads: Final = self.bytes.cast("Q")

    @classmethod
    def create(cls, minor: int, geometry: Geometry | None = None) -> Journal:
        """Make an empty journal for a connection that speaks FUSE 7.`minor`."""
        shape = geometry or Geometry()
        fd = os.memfd_create("redbear-journal", os.MFD_CLOEXEC)
        os.ftruncate(fd, shape.size)
        journal = cls(fd, shape)
        quads = journal.quads
        quads[_VERSION] = VERSION
        quads[_REQUESTS], quads[_MEDIUM], quads[_BIG] = shape.requests, shape.medium, shape.big
        quads[_NODES], quads[_HANDLES], quads[_MINOR] = shape.nodes, shape.handles, minor
        quads[_MAGIC] = MAGIC
        return journal

    @classmethod
    def open(cls, fd: int) -> Journal:
        """Map a journal another process made."""
        size = os.fstat(fd).st_size
        found = Struct("=8Q").unpack(os.pread(fd, 64, 0).ljust(64, b"\0"))
        shape = Geometry(*found[_REQUESTS : _HANDLES + 1])
        if found[_MAGIC] != MAGIC or found[_VERSION] != VERSION or shape.size != size:
            raise ProtocolError(f"the journal is not one of version {VERSION}: header {found}")
        return cls(fd, shape)

    @property
    def minor(self) -> int:
        """The FUSE minor version the shim agreed on with the kernel."""
        return self.quads[_MINOR]

    @property
    def staging(self) -> int:
        """Which big area the next readv fills."""
        return self.words[_STAGING]

    @staging.setter
    def staging(self, area: int) -> None:
        self.words[_STAGING] = area

    def begin_life(self) -> int:
        """Count this daemon; 1 for the first."""
        self.words[_LIVES] += 1
        return self.words[_LIVES]

    def request(self, slot: int) -> tuple[memoryview, int]:
        """Return slot's first 80 bytes, and the index of its first 32-bit word."""
        at = self.geometry.requests_at + slot * REQUEST_BYTES
        return self.bytes[at : at + HEAD_BYTES], at // 4

    def area(self, index: int) -> memoryview:
        """Return a data area: big ones are numbered first, medium ones after them."""
        shape = self.geometry
        if index < shape.big:
            at = shape.big_at + index * BIG_BYTES
            return self.bytes[at : at + BIG_BYTES]
        at = shape.medium_at + (index - shape.big) * MEDIUM_BYTES
        return self.bytes[at : at + MEDIUM_BYTES]

    @property
    def slots_used(self) -> int:
        """How many request slots have ever been used."""
        return self.words[SLOTS_USED]

    def more_slots(self) -> range:
        """Put a page of slots to use that were not before; empty when there are no more.

        The page is touched now: a page fault under readv in a dying process would make the kernel
        answer the client EIO by itself, and the request would be lost.
        """
        first = self.words[SLOTS_USED]
        end = min(first + PAGE // REQUEST_BYTES, self.geometry.requests)
        if first < end:
            self.words[(self.geometry.requests_at + first * REQUEST_BYTES) // 4] = 0
            self.words[SLOTS_USED] = end
        return range(first, end)

    def touch(self, area: int) -> None:
        """Make the memory of a big area that nobody owns be there, for the same reason."""
        view = self.area(area)
        view[::PAGE] = bytes(len(view) // PAGE)

    def close(self) -> None:
        """Close the descriptor; the mapping goes with the last view of it."""
        os.close(self.fd)
