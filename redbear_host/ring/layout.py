"""The ring door's shared memory and messages: what a client and a daemon agree on.

A client connects to the scheme's socket, `/run/redbear-host/ring/NAME` (AF_UNIX, SOCK_SEQPACKET),
and sends one HELLO, without descriptors.  The daemon answers WELCOME, which brings two if it
agrees: a memfd of exactly `Layout.size` bytes, sealed against shrinking, growing and further seals;
and the **bell**, an eventfd that the client signals after it has written Sqes.  The daemon signals
the client by BELL, a message of one byte on the socket.  A client waits for that; one that looks at
the Cqes without waiting still reads the socket now and then, and a BELL whose Cqes it has seen
already means nothing.

(The memory and the bell are the daemon's because a client's might be anything: an eventfd's owner
can make a write to it block, and closing a file on FUSE waits for whoever serves it.)

```
0        header: magic and version, then four 32-bit indexes, each in a cache line of its own
4096     `entries` Sqes of 64 bytes                          (redbear_host.abi.sqe)
…        twice `entries` Cqes of 16 bytes, on the next page     (redbear_host.abi.cqe)
…        the arena, on the next page: `arena` bytes for paths and payloads
```

Indexes count up and wrap at 2**32; an entry's place is its index modulo the (power of two) number
of entries.  Who writes an entry writes the index after it.  SQ_TAIL and CQ_HEAD are the client's,
SQ_HEAD and CQ_TAIL the daemon's.  The daemon takes no Sqe for whose answer there would be no Cqe
left, so it never waits for a client; one that has seen all Cqes in use rings once more when it has
read some.

In an Sqe, every pointer is an offset into the arena, and everything else lies where
`redbear_host.abi.sqe.Opcode` says.  The arena belongs to the client: it chooses where the payload
of each call lies, and leaves it alone until the call is answered.  `caller` and the uid and gid in
`arg5` are not believed: the daemon takes them from the socket.  Handles are numbers of this
connection; 0 is the scheme's root and is open from the start.  The tag is the client's choice, but
of two calls that wait at once with one tag the second is answered EINVAL.  A call with `ONEWAY` is
done and not answered; one that would make a handle is not done at all.  A client with more than
`entries` calls waiting may find its CANCEL not taken before some are answered.

Answers are `RESPOND_REGULAR` with `result` as `abi.cqe.mux` makes it; that of an open or dup is the
new handle, with NewFdFlags in `extra_raw[0]`.  Events come as `SEND_FEVENT`: `tag` holds the event
flags, `result` the handle; those of one handle are merged while there is no room.

Descriptors travel over the socket, in an FDS message (its tag, how many) with SCM_RIGHTS.  A client
sends it before it writes the SENDFD entry of that tag, and sends no more while FDS_WAITING of them
have no answer.  The daemon sends it before it writes the Cqe, which is then `RESPOND_WITH_FD` (an
open, a dup or MMAP_PREP; `result` of MMAP_PREP is the offset in the file, of the others 0) or
`RESPOND_WITH_MULTIPLE_FDS` (RECVFD; `result` counts them).

Either side ends the connection by closing the socket; the daemon then closes all its handles.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

PAGE: Final = 4096
MAGIC: Final = 0x31424252  # "RBB1"
VERSION: Final = 1

ENTRIES_LEAST: Final = 2
ENTRIES_MOST: Final = 4096
ARENA_MOST: Final = 64 << 20  # bytes
FDS_MOST: Final = 64  # descriptors in one FDS message
FDS_WAITING: Final = 16  # FDS messages of a client whose SENDFD has not come yet
PATH_MOST: Final = 4096  # bytes of a path, without an end mark

HELLO: Final = Struct("=IHHIIQ")  # magic, version, 0, entries, 0, arena size in bytes
WELCOME: Final = Struct("=IHHi")  # magic, version, 0, 0 or a negated errno
FDS: Final = Struct("=II")  # tag, number of descriptors
BELL: Final = b"\1"  # from the daemon: there are new Cqes

# Byte offsets in the header; each a 32-bit word alone in its cache line.
MAGIC_AT: Final = 0
VERSION_AT: Final = 4
SQ_HEAD: Final = 64
SQ_TAIL: Final = 128
CQ_HEAD: Final = 192
CQ_TAIL: Final = 256

SQE_BYTES: Final = 64
CQE_BYTES: Final = 16
NO_OFFSET: Final = (1 << 64) - 1  # the offset argument for a stream


@dataclass(frozen=True)
class Layout:
    """Where everything is, for `entries` Sqes (a power of two) and `arena` bytes."""

    entries: int
    arena: int

    def check(self) -> None:
        """Raise `ValueError` for what no daemon accepts."""
        n = self.entries
        if not ENTRIES_LEAST <= n <= ENTRIES_MOST or n & (n - 1):
            raise ValueError(
                f"{n} entries: a power of two from {ENTRIES_LEAST} to {ENTRIES_MOST} is needed"
            )
        if not PAGE <= self.arena <= ARENA_MOST or self.arena % PAGE:
            raise ValueError(
                f"an arena of {self.arena} bytes: whole pages up to {ARENA_MOST} are needed"
            )

    @property
    def sq_at(self) -> int:
        """Where the Sqes start."""
        return PAGE

    @property
    def cq_at(self) -> int:
        """Where the Cqes start."""
        return _page_up(self.sq_at + self.entries * SQE_BYTES)

    @property
    def cq_entries(self) -> int:
        """How many Cqes there are."""
        return 2 * self.entries

    @property
    def arena_at(self) -> int:
        """Where the arena starts."""
        return _page_up(self.cq_at + self.cq_entries * CQE_BYTES)

    @property
    def size(self) -> int:
        """Bytes in the whole memfd."""
        return self.arena_at + self.arena


def _page_up(size: int) -> int:
    return -(-size // PAGE) * PAGE
