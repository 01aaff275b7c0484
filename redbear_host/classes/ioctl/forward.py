"""Hands commands to a disk as they are, one at a time, through DMA memory kept for that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.classes.commands import (
    AtaCommand,
    AtaCommands,
    AtaResult,
    NvmeCommand,
    NvmeCommands,
    NvmeResult,
    Transfer,
)
from redbear_host.classes.disk import Chunk
from redbear_host.classes.diskio import DiskIo
from redbear_host.classes.ioctl.story import Story, Turns
from redbear_host.errors import Refused

_SIZES: Final = (16 << 10, 128 << 10, 1 << 20)  # of the memory; what was needed once is kept

_TO_DEVICE: Final = (Transfer.PIO_OUT, Transfer.DMA_OUT)


class Forwarder:
    """A disk that takes commands as they are."""

    def __init__(self, io: DiskIo, commands: AtaCommands | NvmeCommands) -> None:
        self._io: Final = io
        self._commands: Final = commands
        self._ata: Final = commands if isinstance(commands, AtaCommands) else None
        self._nvme: Final = commands if isinstance(commands, NvmeCommands) else None
        self._turns: Final = Turns()
        self._chunks: Final[dict[int, Chunk]] = {}

    @property
    def speaks_nvme(self) -> bool:
        """Whether commands for it are NVMe's."""
        return self._nvme is not None

    def ata(
        self, command: AtaCommand, size: int, data: bytes, *, alters: bool = False
    ) -> Story[tuple[AtaResult, bytes]]:
        """Execute an ATA command that moves `size` bytes; return what the device sent.

        `alters` says that what the disk holds may be something else afterwards.
        """
        commands = self._ata
        if commands is None:
            raise Refused(e.EOPNOTSUPP)
        out = command.transfer in _TO_DEVICE
        out = out or (command.transfer is Transfer.PACKET and not command.data_in)
        yield self._turns.take
        try:
            chunk = self._load(size, data if out else b"")
            with self._altering(alters):
                self._io.queued = True
                result: AtaResult = yield lambda told: commands.ata(command, chunk, size, told)
            moved = min(max(0, result.moved), size)
            found = b"" if out or chunk is None else bytes(chunk.view[:moved])
        finally:
            self._turns.give()
        return result, found

    def nvme(
        self, command: NvmeCommand, size: int, data: bytes, *, alters: bool = False
    ) -> Story[tuple[NvmeResult, bytes]]:
        """Execute an NVMe command that moves `size` bytes; return what is in its memory then."""
        commands = self._nvme
        if commands is None:
            raise Refused(e.EOPNOTSUPP)
        yield self._turns.take
        try:
            chunk = self._load(size, data)
            with self._altering(alters):
                self._io.queued = True
                result: NvmeResult = yield lambda told: commands.nvme(command, chunk, size, told)
            found = b"" if chunk is None else bytes(chunk.view[:size])
        finally:
            self._turns.give()
        return result, found

    @contextmanager
    def _altering(self, alters: bool) -> Iterator[None]:
        if not alters:
            yield
            return
        blocks = self._io.block_count
        self._io.alter(0, blocks)
        try:
            yield
        finally:
            self._io.altered(0, blocks)

    def _load(self, size: int, data: bytes) -> Chunk | None:
        """Return memory with `data` in it, and zeroes behind; None for a command that needs none.

        EINVAL for more than the disk moves at once, ENOMEM when there is no memory.
        """
        if not size:
            return None
        most = min(self._io.disk.max_transfer, _SIZES[-1])
        if size > most:
            raise Refused(e.EINVAL)
        rounded = min(next(step for step in _SIZES if size <= step), most)
        chunk = self._chunks.get(rounded)
        if chunk is None:
            try:
                chunk = self._commands.chunk(rounded)
            except MemoryError:
                raise Refused(e.ENOMEM) from None
            self._chunks[rounded] = chunk
        # A device that sends less must not pass on what the last client got.
        data = data[:size]
        chunk.view[:size] = data + bytes(size - len(data))
        return chunk
