"""A disk in memory that does nothing until it is told to, in any order and with any error.

It stands where a driver stands below `redbear_host.classes.block`.  Whoever plays the device calls
`Command.execute` (the bytes move) and `Command.end` (the driver is told), at the times and in the
order he likes: a real disk promises no more.  What a driver may not be asked is a `ValueError`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from redbear_host.abi import errno as e

POISON: Final = 0xA5  # what a chunk holds before a read, so that answering too early shows


class Memory(Protocol):
    """Memory for one transfer, as the class adapter hands it back."""

    @property
    def view(self) -> memoryview: ...


class RamChunk:
    """Memory for one transfer, from `RamDisk.chunk`."""

    def __init__(self, size: int) -> None:
        self.view: Final = memoryview(bytearray(size))


class Command:
    """One command the disk was given and has not ended."""

    def __init__(
        self,
        disk: RamDisk,
        kind: str,
        lba: int,
        blocks: int,
        chunk: Memory | None,
        done: Callable[[int], None],
    ) -> None:
        self.kind: Final = kind
        self.lba: Final = lba
        self.blocks: Final = blocks
        self._disk: Final = disk
        self._chunk: Final = chunk
        self._done: Final = done
        self._executed = False

    def execute(self) -> None:
        """Move the bytes, once."""
        if self._executed:
            return
        self._executed = True
        size, data = self._disk.block_size, self._disk.data
        place = slice(self.lba * size, (self.lba + self.blocks) * size)
        if self.kind == "zero":
            data[place] = bytes(self.blocks * size)
        elif self._chunk is not None:
            view = self._chunk.view[: self.blocks * size]
            if self.kind == "read":
                view[:] = data[place]
            else:
                data[place] = view

    def end(self, error: int = 0) -> None:
        """Tell the driver's client; without an error the bytes have moved."""
        if not error:
            self.execute()
        self._disk.running.remove(self)
        if self._chunk is not None:
            self._disk.lent.remove(id(self._chunk))
        self._done(error)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.blocks} blocks from {self.lba}>"


class RamDisk:
    """`redbear_host.classes.disk.Disk` over `data`."""

    def __init__(
        self,
        block_count: int,
        block_size: int = 512,
        *,
        number: int = 0,
        writable: bool = True,
        max_transfer: int = 1 << 20,
        chunks: int = 1 << 20,
        zeroes: bool = True,
    ) -> None:
        self.number: Final = number
        self.block_size: Final = block_size
        self.block_count: Final = block_count
        self.writable: Final = writable
        self.max_transfer: Final = max_transfer
        self.data: Final = bytearray(block_count * block_size)
        self.queued: list[Command] = []  # not rung for
        self.running: list[Command] = []
        self.lent: Final[set[int]] = set()  # ids of the chunks commands have
        self._chunks = chunks  # how many may still be made
        self._zeroes: Final = zeroes

    def chunk(self, size: int) -> RamChunk:
        """Make a chunk, unless there were `chunks` of them."""
        if not self._chunks:
            raise MemoryError("no memory for one more chunk")
        self._chunks -= 1
        return RamChunk(size)

    def read(self, lba: int, blocks: int, chunk: Memory, done: Callable[[int], None], /) -> None:
        """Queue a read."""
        self._queue("read", lba, blocks, chunk, done)
        chunk.view[: blocks * self.block_size] = bytes([POISON]) * (blocks * self.block_size)

    def write(self, lba: int, blocks: int, chunk: Memory, done: Callable[[int], None], /) -> None:
        """Queue a write."""
        if not self.writable:
            raise ValueError("a disk that cannot be written was asked to write")
        self._queue("write", lba, blocks, chunk, done)

    def flush(self, done: Callable[[int], None], /) -> None:
        """Queue a flush."""
        self._queue("flush", 0, 0, None, done)

    def write_zeroes(
        self, lba: int, blocks: int, deallocate: bool, done: Callable[[int], None], /
    ) -> None:
        """Queue zeroing; it may end with EOPNOTSUPP only, where the disk has no `zeroes`."""
        self._queue("zero" if self._zeroes else "unknown", lba, blocks, None, done)

    def discard(self, lba: int, blocks: int, done: Callable[[int], None], /) -> None:
        """Queue a discard; the bytes stay, as they may."""
        self._queue("discard", lba, blocks, None, done)

    def flush_queue(self) -> None:
        """Begin what was queued."""
        self.running += self.queued
        self.queued.clear()

    def end_all(self) -> None:
        """End everything that runs, in order, without errors but those the disk is made for."""
        for command in list(self.running):
            command.end(e.EOPNOTSUPP if command.kind == "unknown" else 0)

    def _queue(
        self,
        kind: str,
        lba: int,
        blocks: int,
        chunk: Memory | None,
        done: Callable[[int], None],
    ) -> None:
        if lba < 0 or blocks < 0 or lba + blocks > self.block_count:
            raise ValueError(f"{kind} of {blocks} blocks from {lba} on {self.block_count}")
        if kind != "flush" and not blocks:
            raise ValueError(f"{kind} of no blocks")
        if chunk is not None:
            if id(chunk) in self.lent:
                raise ValueError(f"{kind} at {lba} into memory another command has")
            if blocks * self.block_size > min(len(chunk.view), self.max_transfer):
                raise ValueError(f"{kind} of {blocks} blocks is too long")
            self.lent.add(id(chunk))
        self.queued.append(Command(self, kind, lba, blocks, chunk, done))
