"""Writes, and the rule that keeps partial ones from losing others' bytes.

A write of part of a block has to read the block, change it and write it back.  While that is going
on (an `Edit`), no whole write may touch the block: it would be undone.  So a write that finds an
edit on one of its blocks stalls, and so does a partial write whose block is being overwritten.
Two partial writes to one block share its edit: the block is read once.

Stalled writes go on in the order they came, and nothing that could stall passes them, so none waits
for ever.  Without partial writes all this costs two truth tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from redbear_host.classes.transfers import NOBODY, Job, Transfer
from redbear_host.scheme.request import Request

if TYPE_CHECKING:
    from redbear_host.classes.diskio import DiskIo


class Write(Protocol):
    """What can stall."""

    @property
    def request(self) -> Request: ...

    @property
    def origin(self) -> Request: ...

    def may_start(self) -> bool:
        """Tell whether nothing in flight forbids it."""
        ...

    def start(self) -> None:
        """Go on to the device, or to the queue before it."""
        ...


class Store(Job):
    """Whole blocks, at most as many as a large transfer holds."""

    __slots__ = ("_data", "_io")

    def __init__(
        self, io: DiskIo, first: int, data: memoryview, request: Request, origin: Request
    ) -> None:
        super().__init__(first, first + (len(data) >> io.shift), request, origin)
        self._io: Final = io
        self._data: Final = data

    def may_start(self) -> bool:
        """Wait for edits of any of the blocks."""
        return not self._io.edited(self.first, self.end)

    def start(self) -> None:
        """Queue for a transfer."""
        self._io.pool_for(len(self._data)).take(self)

    def begin(self, transfer: Transfer) -> None:
        """Copy the bytes and write them."""
        io, size = self._io, len(self._data)
        transfer.request = self.request
        transfer.first, transfer.end, transfer.size = self.first, self.end, size
        transfer.view[:size] = self._data
        io.queued = True
        if io.read_ahead:
            io.ahead.changed(self.first, self.end)
        io.disk.write(self.first, self.end - self.first, transfer.chunk, transfer.write_done)


class Patch:
    """Some bytes of one block, from byte `offset` of it on."""

    __slots__ = ("_io", "data", "lba", "offset", "origin", "request")

    def __init__(
        self,
        io: DiskIo,
        lba: int,
        offset: int,
        data: memoryview,
        request: Request,
        origin: Request,
    ) -> None:
        self._io: Final = io
        self.lba: Final = lba
        self.offset: Final = offset
        self.data: Final = data
        self.request: Final = request
        self.origin: Final = origin

    def may_start(self) -> bool:
        """Wait for whole writes of the block."""
        return self.lba in self._io.edits or not self._io.overwriting(self.lba)

    def start(self) -> None:
        """Join the block's edit, or begin one."""
        io = self._io
        edit = io.edits.get(self.lba)
        if edit is not None:
            edit.patches.append(self)
        else:
            edit = io.edits[self.lba] = Edit(io, self)
            io.small.take(edit)


class Edit(Job):
    """One block being read, patched and written back, again as long as there are new patches."""

    __slots__ = ("_begun", "_io", "_lba", "_running", "_transfer", "patches")

    _transfer: Transfer

    def __init__(self, io: DiskIo, patch: Patch) -> None:
        super().__init__(0, 0, NOBODY, NOBODY)  # it stands in `io.edits` while it waits
        self._io: Final = io
        self._lba: Final = patch.lba
        self._begun = False
        self._running: list[Patch] = []  # their bytes are on the way to the disk
        self.patches = [patch]  # their bytes are not in the chunk yet

    def withdraw(self) -> list[Patch]:
        """Drop patches whose client gave up, while the edit waits for memory; return them."""
        if self._begun:
            return []
        dropped = [patch for patch in self.patches if patch.origin.cancelled]
        self.patches = [patch for patch in self.patches if not patch.origin.cancelled]
        return dropped

    def begin(self, transfer: Transfer) -> None:
        """Read the block."""
        self._begun = True
        self._transfer = transfer
        if self.patches:
            self._read()
        else:
            self._finish()

    def _read(self) -> None:
        self._io.queued = True
        self._io.disk.read(self._lba, 1, self._transfer.chunk, self._read_done)

    def _read_done(self, error: int) -> None:
        if not error:
            self._write()
            return
        failed, self.patches = self.patches, []
        for patch in failed:
            patch.request.refuse(error)
        self._go_on(fresh=False)

    def _write(self) -> None:
        view = self._transfer.view
        self._running, self.patches = self.patches, []
        for patch in self._running:
            view[patch.offset : patch.offset + len(patch.data)] = patch.data
        self._io.queued = True
        self._io.ahead.changed(self._lba, self._lba + 1)
        self._io.disk.write(self._lba, 1, self._transfer.chunk, self._write_done)

    def _write_done(self, error: int) -> None:
        ended, self._running = self._running, []
        for patch in ended:
            if error:
                patch.request.refuse(error)
            else:
                patch.request.answer(len(patch.data))
        # After an error nobody knows what the block holds, so the chunk is no copy of it any more.
        self._go_on(fresh=not error)

    def _go_on(self, *, fresh: bool) -> None:
        if not self.patches:
            self._finish()
        elif fresh:
            self._write()
        else:
            self._read()

    def _finish(self) -> None:
        io = self._io
        del io.edits[self._lba]
        io.small.give(self._transfer)
        if io.stalled:
            io.resume()
