"""Reads a disk's partition table through the disk's own queue, without waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from redbear_host.classes.diskio import DiskIo
from redbear_host.classes.partitions import read_table
from redbear_host.classes.table import Table
from redbear_host.errors import DeviceError
from redbear_host.scheme.request import Request


class Probe(Request):
    """Hands the parser's wishes to the disk; calls `found(io, table)` once, at the end."""

    __slots__ = ("_found", "_io", "_place", "_reads")

    def __init__(self, io: DiskIo, found: Callable[[DiskIo, Table], None]) -> None:
        super().__init__()
        self._io: Final = io
        self._found: Final = found
        self._reads: Final = read_table(io.block_size, io.block_count)
        self._place = (0, 0)

    def start(self) -> None:
        """Ask for the first block; `found` is called at once if there is none to ask for."""
        try:
            self._ask(next(self._reads))
        except StopIteration as end:
            self._found(self._io, end.value)

    def answer(self, result: Any, /) -> None:
        """Show the parser the blocks it asked for."""
        try:
            self._ask(self._reads.send(bytes(result)))
        except StopIteration as end:
            self._found(self._io, end.value)

    def refuse(self, errno: int, /) -> None:
        """Tell the parser that the disk could not read them."""
        lba, blocks = self._place
        error = DeviceError(f"reading {blocks} blocks from block {lba} failed with errno {errno}")
        try:
            self._ask(self._reads.throw(error))
        except StopIteration as end:
            self._found(self._io, end.value)

    def _ask(self, place: tuple[int, int]) -> None:
        self._place = lba, blocks = place
        self._io.read(lba * self._io.block_size, blocks * self._io.block_size, self, self)
