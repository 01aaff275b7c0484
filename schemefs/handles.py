"""Open handles: FUSE file handles, kept in the journal so that a successor can open them again.

The kernel's file handle is a row of the table, for as long as the file is open.  The scheme's own
number behind it changes when a successor opens the file anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from struct import Struct
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.scheme.listings import Listings
from redbear_host.scheme.request import Caller
from schemefs.journal import HANDLE_BYTES, HANDLES_USED, Journal

RECORD: Final = Struct("=QQIIIII")  # the opening request's unique, node, flags, pid, uid, gid, kind
_DIRECTORY, _CACHED = 1, 2  # bits of kind
# 64-bit words of a record: the last poll handle, the file's inode number, the kernel's number for
# the file it reads instead; 0 where there is none
_POLL, _INODE, _BACKING = 5, 6, 7
_STEP: Final = HANDLE_BYTES // 8


class Handle:
    """One open file or directory."""

    __slots__ = (
        "backing",
        "cached",
        "caller",
        "directory",
        "fh",
        "flags",
        "inode",
        "node",
        "number",
        "parked",
        "stream",
        "unique",
    )

    def __init__(
        self, fh: int, node: int, flags: int, caller: Caller, directory: bool, unique: int
    ) -> None:
        self.fh: Final = fh
        self.node: Final = node
        self.flags: Final = flags  # Redox's
        self.caller: Final = caller
        self.directory: Final = directory
        self.unique: Final = unique  # of the request that opened it
        self.cached = False  # the kernel keeps its pages
        self.backing = 0  # the kernel's number for the file it reads instead of asking us
        self.inode = 0  # what the scheme said when it was opened; 0: nothing
        self.number = -1  # the scheme's; -1: its daemon died, and it cannot be opened again
        self.stream = False  # no offset: the scheme did not say POSITIONED
        self.parked: dict[object, None] = {}  # requests waiting for an event, in their order


class Handles:
    """The table, and the way back from the scheme's numbers."""

    def __init__(self, journal: Journal) -> None:
        shape = journal.geometry
        end = shape.handles_at + shape.handles * HANDLE_BYTES
        self._table: Final = journal.bytes[shape.handles_at : end]
        self._quads: Final = self._table.cast("Q")
        self._words: Final = journal.words
        self._most: Final = shape.handles
        self._most_of_a_user: Final = max(1, shape.handles // 4)  # but root: not to lock others out
        self._of_user: Final[Counter[int]] = Counter()
        self._free: Final[list[int]] = []
        self.open: Final[dict[int, Handle]] = {}  # by file handle
        self.by_number: Final[dict[int, Handle]] = {}
        self.listings: Final = Listings()
        for row in reversed(range(journal.words[HANDLES_USED])):
            unique, node, flags, pid, uid, gid, kind = RECORD.unpack_from(
                self._table, row * HANDLE_BYTES
            )
            if unique == 0:
                self._free.append(row)
                continue
            directory = bool(kind & _DIRECTORY)
            handle = Handle(row, node, flags, Caller(pid, uid, gid), directory, unique)
            handle.cached = bool(kind & _CACHED)
            handle.inode = self._quads[row * _STEP + _INODE]
            handle.backing = self._quads[row * _STEP + _BACKING]
            self.open[row] = handle
            self._of_user[uid] += 1

    def __iter__(self) -> Iterator[Handle]:
        return iter(self.open.values())

    def opened_by(self, unique: int) -> Handle | None:
        """Return the handle that this open request already made, if any."""
        return next((h for h in self.open.values() if h.unique == unique), None)

    def add(
        self,
        unique: int,
        node: int,
        flags: int,
        caller: Caller,
        directory: bool,
        cached: bool = False,
        backing: int = 0,
        inode: int = 0,
    ) -> Handle:
        """Write a new handle down; `bind` gives it the scheme's number.

        EMFILE if it is one too many of its user's, ENFILE if of all.
        """
        uid = caller.uid
        if uid and self._of_user[uid] >= self._most_of_a_user:
            raise Refused(e.EMFILE)
        row = self._free.pop() if self._free else self._new_row()
        at = row * _STEP
        self._quads[at + _POLL] = 0
        self._quads[at + _INODE] = inode
        self._quads[at + _BACKING] = backing
        kind = directory * _DIRECTORY | cached * _CACHED
        # The unique decides whether the row is in use: it goes in last.
        RECORD.pack_into(self._table, row * HANDLE_BYTES, 0, node, flags, *caller, kind)
        self._quads[at] = unique
        handle = self.open[row] = Handle(row, node, flags, caller, directory, unique)
        handle.cached, handle.backing, handle.inode = cached, backing, inode
        self._of_user[uid] += 1
        return handle

    def _new_row(self) -> int:
        used = self._words[HANDLES_USED]
        if used == self._most:
            raise Refused(e.ENFILE)
        self._words[HANDLES_USED] = used + 1
        return used

    def bind(self, handle: Handle, number: int) -> None:
        """Say which number the scheme gave the handle."""
        handle.number = number
        self.by_number[number] = handle

    def drop(self, handle: Handle) -> None:
        """Forget a handle."""
        self._quads[handle.fh * _STEP] = 0
        self.listings.drop(handle)
        del self.open[handle.fh]
        uid = handle.caller.uid
        self._of_user[uid] -= 1
        if not self._of_user[uid]:
            del self._of_user[uid]
        if self.by_number.get(handle.number) is handle:
            del self.by_number[handle.number]
        self._free.append(handle.fh)

    def poll_handle(self, handle: Handle) -> int:
        """Return the kernel's poll handle that waits for an event here, or 0."""
        return self._quads[handle.fh * _STEP + _POLL]

    def set_poll_handle(self, handle: Handle, kh: int) -> None:
        """Remember (or with 0 forget) who polls."""
        self._quads[handle.fh * _STEP + _POLL] = kh
