"""An ATA disk; see `redbear_host.classes.disk.Disk` and `redbear_host.classes.commands`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from daemons.ahcid import fis
from daemons.ahcid.chunk import DmaChunk
from daemons.ahcid.identify import AtaIdentity
from daemons.ahcid.port import Port
from daemons.ahcid.regs import DSM_TRIM, Ata, Scsi
from daemons.ahcid.slots import (
    MOST_BYTES,
    READ_HEADER,
    READ_QUEUED,
    WRITE_HEADER,
    WRITE_QUEUED,
    Single,
)
from daemons.ahcid.status import errno_of, failed
from redbear_host.abi import errno as e
from redbear_host.classes.commands import AtaCommand, AtaDone, AtaResult
from redbear_host.classes.disk import Chunk, Done

MOST_BLOCKS_48: Final = 1 << 16  # one command's Count
MOST_BLOCKS_28: Final = 1 << 8
TRIM_ENTRY: Final = 8  # bytes of a range
TRIM_BLOCK: Final = 512  # ranges come in blocks of this, whatever the device's block size
TRIM_MOST: Final = 0xFFFF  # blocks in one range
TRIES: Final = 3  # how often a command may be issued that the link spoils, or a reset catches
LONGEST_S: Final = 86_400.0  # a client's command may take: a disk erases itself for hours
PATIENCE: Final = 6.0  # times a read may take: a cache to be flushed, a client's own command


class AtaDisk:
    """A disk on a running port.

    Commands that make no sense end with EINVAL, those outside the disk with ENXIO, like any other
    command by `Done`.
    """

    __slots__ = (
        "_commands", "_count", "_most", "_port", "_queued", "_shift", "_trust_trim", "facts",
        "number",
    )  # fmt: skip

    def __init__(
        self, port: Port, facts: AtaIdentity, number: int, max_transfer: int, *, trust_trim: bool
    ) -> None:
        """Serve `port`; `trust_trim` believes a disk that says trimmed blocks read as zero."""
        self.number: Final = number
        self.facts: Final = facts
        self._port: Final = port
        self._commands: Final = port.commands
        self._queued: Final = port.ncq and facts.depth > 0
        self._shift: Final = facts.block_size.bit_length() - 1
        self._count: Final = facts.blocks
        blocks = MOST_BLOCKS_48 if facts.lba48 else MOST_BLOCKS_28
        longest = min(max_transfer, blocks << self._shift, MOST_BYTES)
        self._most: Final = longest >> self._shift << self._shift
        self._trust_trim: Final = trust_trim

    @property
    def block_size(self) -> int:
        """Bytes in one logical block."""
        return 1 << self._shift

    @property
    def block_count(self) -> int:
        """Logical blocks."""
        return self._count

    @property
    def writable(self) -> bool:
        """Always: an ATA disk has no way to say that it is not."""
        return True

    @property
    def max_transfer(self) -> int:
        """Most bytes of one read or write."""
        return self._most

    @property
    def identify(self) -> bytes:
        """IDENTIFY DEVICE as it answered at the start, 512 bytes."""
        return self.facts.raw

    def chunk(self, size: int, /) -> DmaChunk:
        """Prepare memory for transfers of up to `size` bytes."""
        if not 0 < size <= MOST_BYTES:
            raise ValueError(f"a transfer has at most {MOST_BYTES} bytes, not {size}")
        return DmaChunk(self._port.dma, size, self._port.limit)

    # -- reads and writes --------------------------------------------------------------------------

    def read(self, lba: int, blocks: int, chunk: Chunk, done: Done, /) -> None:
        """Read `blocks` blocks from `lba` to the start of `chunk`."""
        if not isinstance(chunk, DmaChunk):
            raise TypeError(f"{chunk!r} is no chunk of this driver")
        size = blocks << self._shift
        if not (0 <= lba <= self._count - blocks and 0 < size <= chunk.size):
            self._refuse(lba, blocks, done)
        elif self._queued:
            self._commands.submit(READ_HEADER, READ_QUEUED, lba, blocks, chunk.iova, size, done)
        else:
            self._single(False, lba, blocks, chunk, size, done)

    def write(self, lba: int, blocks: int, chunk: Chunk, done: Done, /) -> None:
        """Write `blocks` blocks from the start of `chunk` to `lba`."""
        if not isinstance(chunk, DmaChunk):
            raise TypeError(f"{chunk!r} is no chunk of this driver")
        size = blocks << self._shift
        if not (0 <= lba <= self._count - blocks and 0 < size <= chunk.size):
            self._refuse(lba, blocks, done)
        elif self._queued:
            self._commands.submit(WRITE_HEADER, WRITE_QUEUED, lba, blocks, chunk.iova, size, done)
        else:
            self._single(True, lba, blocks, chunk, size, done)

    def read_many(
        self, lbas: Sequence[int], blocks: int, chunks: Sequence[DmaChunk], dones: Sequence[Done], /
    ) -> None:
        """As `read` for each LBA with its chunk and `Done`; cheaper per command."""
        taken = self._many(READ_HEADER, READ_QUEUED, lbas, blocks, chunks, dones)
        for lba, chunk, done in zip(lbas[taken:], chunks[taken:], dones[taken:], strict=False):
            self.read(lba, blocks, chunk, done)

    def write_many(
        self, lbas: Sequence[int], blocks: int, chunks: Sequence[DmaChunk], dones: Sequence[Done], /
    ) -> None:
        """As `write` for each LBA with its chunk and `Done`; cheaper per command."""
        taken = self._many(WRITE_HEADER, WRITE_QUEUED, lbas, blocks, chunks, dones)
        for lba, chunk, done in zip(lbas[taken:], chunks[taken:], dones[taken:], strict=False):
            self.write(lba, blocks, chunk, done)

    def flush_queue(self) -> None:
        """Hand everything queued since the last call to the device."""
        self._port.flush_queue()

    def _many(
        self,
        header: int,
        word: int,
        lbas: Sequence[int],
        blocks: int,
        chunks: Sequence[DmaChunk],
        dones: Sequence[Done],
    ) -> int:
        # One odd address sends the whole batch the slow way, where each command is judged alone.
        size = blocks << self._shift
        if not (lbas and self._queued and 0 < size <= min(chunk.size for chunk in chunks)):
            return 0
        if min(lbas) < 0 or max(lbas) > self._count - blocks:
            return 0
        iovas = [chunk.iova for chunk in chunks]
        return self._commands.submit_many(header, word, lbas, blocks, iovas, size, dones)

    def _single(
        self, write: bool, lba: int, blocks: int, chunk: DmaChunk, size: int, done: Done
    ) -> None:
        if self.facts.lba48:
            opcode = Ata.WRITE_DMA_EXT if write else Ata.READ_DMA_EXT
            frame = fis.ext(opcode, lba, blocks & 0xFFFF, write=write)
        else:
            opcode = Ata.WRITE_DMA if write else Ata.READ_DMA
            frame = fis.short(opcode, lba, blocks & 0xFF, write=write)
        port = self._port

        def ended(result: AtaResult) -> None:
            if failed(result):
                port.report(result, f"{opcode.name} at block {lba}")
                done(errno_of(result, opcode))
            else:
                # A device that moved less than it was asked for, and says that all is well.
                done(0 if result.moved == size else e.EIO)

        port.enqueue(Single(frame, chunk.iova, size, ended, tries=TRIES))

    # -- the other commands ------------------------------------------------------------------------

    def flush(self, done: Done, /) -> None:
        """Make every finished write durable; nothing to do where there is no volatile cache."""
        facts = self.facts
        if not (facts.cache and facts.flush):
            self._port.refuse(done, 0)
            return
        opcode = Ata.FLUSH_CACHE_EXT if facts.lba48 else Ata.FLUSH_CACHE
        frame = fis.ext(opcode) if facts.lba48 else fis.short(opcode)
        self._plain(opcode, frame, done)

    def write_zeroes(self, lba: int, blocks: int, deallocate: bool, done: Done, /) -> None:
        """Make blocks read as zero, by a TRIM the disk is trusted with; else EOPNOTSUPP.

        ATA has no other command for it, and disks are known that claim zeroes and do not give them.
        """
        if deallocate and self._trust_trim and self.facts.trim_zeroes:
            self.discard(lba, blocks, done)
        else:
            self._port.refuse(done, e.EOPNOTSUPP)

    def discard(self, lba: int, blocks: int, done: Done, /) -> None:
        """Trim blocks (DATA SET MANAGEMENT); EOPNOTSUPP where the disk cannot, ENOMEM without room.

        More than one command can name take several; the first error is the one reported.
        """
        facts = self.facts
        if not facts.trim_blocks:
            self._port.refuse(done, e.EOPNOTSUPP)
            return
        if not self._inside(lba, blocks):
            self._refuse(lba, blocks, done)
            return
        entries = facts.trim_blocks * TRIM_BLOCK // TRIM_ENTRY
        pieces = range(lba, lba + blocks, entries * TRIM_MOST)
        parts = _Parts(len(pieces), done)
        for start in pieces:
            self._trim(start, min(entries * TRIM_MOST, lba + blocks - start), parts)

    def _trim(self, lba: int, blocks: int, done: Done) -> None:
        starts = range(lba, lba + blocks, TRIM_MOST)
        count = -(-len(starts) * TRIM_ENTRY // TRIM_BLOCK)
        try:
            ranges = self.chunk(count * TRIM_BLOCK)
        except MemoryError:
            self._port.refuse(done, e.ENOMEM)
            return
        for index, start in enumerate(starts):
            length = min(TRIM_MOST, lba + blocks - start)
            entry = (start | length << 48).to_bytes(TRIM_ENTRY, "little")
            ranges.view[index * TRIM_ENTRY : (index + 1) * TRIM_ENTRY] = entry

        def ended(errno: int) -> None:
            ranges.free()
            done(errno)

        opcode = Ata.DATA_SET_MANAGEMENT
        frame = fis.ext(opcode, 0, count, DSM_TRIM, write=True)
        self._plain(opcode, frame, ended, ranges.iova, count * TRIM_BLOCK)

    def _plain(
        self, opcode: Ata, frame: fis.Frame, done: Done, iova: int = 0, size: int = 0
    ) -> None:
        port = self._port

        def ended(result: AtaResult) -> None:
            if failed(result):
                port.report(result, opcode.name)
            done(errno_of(result, opcode))

        port.enqueue(Single(frame, iova, size, ended, tries=TRIES, patience=PATIENCE))

    def ata(self, command: AtaCommand, chunk: Chunk | None, size: int, done: AtaDone, /) -> None:
        """Execute a command as it is, alone; EINVAL for a queued one, or one that fits nowhere.

        A reset that catches it ends it: nobody knows whether it may be issued twice.
        """
        forward(self._port, command, fis.of(command, size), chunk, size, done)

    def _inside(self, lba: int, blocks: int) -> bool:
        return blocks > 0 and 0 <= lba <= self._count - blocks

    def _refuse(self, lba: int, blocks: int, done: Done) -> None:
        outside = blocks > 0 and lba >= 0 and not self._inside(lba, blocks)
        self._port.refuse(done, e.ENXIO if outside else e.EINVAL)

    def __repr__(self) -> str:
        return f"<AtaDisk {self.number}: {self._count} blocks of {self.block_size} bytes>"


def forward(
    port: Port,
    command: AtaCommand,
    frame: fis.Frame | None,
    chunk: Chunk | None,
    size: int,
    done: AtaDone,
) -> None:
    """Give a client's command to the device."""
    if chunk is not None and not isinstance(chunk, DmaChunk):
        raise TypeError(f"{chunk!r} is no chunk of this driver")
    if frame is None or size < 0 or size > (0 if chunk is None else chunk.size):

        def refused(errno: int) -> None:
            done(AtaResult(errno))

        port.refuse(refused, e.EINVAL)
        return
    iova = 0 if chunk is None else chunk.iova
    # Sense data is about the command before, so nothing may come between.
    first = frame.packet[:1] == bytes([Scsi.REQUEST_SENSE])
    asked = min(command.timeout_ms / 1000, LONGEST_S) / port.timeout
    patience = max(PATIENCE, asked)
    port.enqueue(Single(frame, iova, size, done, tries=1, patience=patience), first=first)


class _Parts:
    """Counts the commands of one request; passes on the first error once all have ended."""

    __slots__ = ("_done", "_errno", "_left")

    def __init__(self, count: int, done: Done) -> None:
        self._left = count
        self._errno = 0
        self._done: Final = done

    def __call__(self, errno: int) -> None:
        self._left -= 1
        self._errno = self._errno or errno
        if not self._left:
            self._done(self._errno)
