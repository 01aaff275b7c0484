"""The medium of a packet device as a disk that cannot be written."""

from __future__ import annotations

import struct
from typing import Final

from daemons.ahcid import fis
from daemons.ahcid.chunk import DmaChunk
from daemons.ahcid.disk import PATIENCE, TRIES, forward
from daemons.ahcid.identify import PacketIdentity
from daemons.ahcid.medium import (
    CAPACITY_SIZE,
    READ_CAPACITY,
    REQUEST_SENSE,
    Medium,
    Sense,
    capacity,
    gone,
    sense,
)
from daemons.ahcid.port import Port
from daemons.ahcid.regs import SENSE_SIZE, Scsi, SenseKey
from daemons.ahcid.slots import MOST_BYTES, Single
from daemons.ahcid.status import failed
from redbear_host.abi import errno as e
from redbear_host.classes.commands import AtaCommand, AtaDone, AtaResult
from redbear_host.classes.disk import Chunk, Done
from redbear_host.errors import DeviceError

MAX_TRANSFER: Final = 128 << 10  # what drives are used to
ATTEMPTS: Final = 4  # at a read; each UNIT ATTENTION costs one

_READ_12: Final = struct.Struct(">BBIIxx").pack


class Cd:
    """A CD or DVD drive on a running port, and the medium that was in it at the start.

    A medium that was changed since answers EMEDIUMTYPE if it has another size, none ENOMEDIUM.
    """

    def __init__(self, port: Port, facts: PacketIdentity, medium: Medium, number: int) -> None:
        """Serve the drive on `port`."""
        self.number: Final = number
        self.facts: Final = facts
        self._port: Final = port
        self._medium: Final = medium
        self._shift: Final = medium.block_size.bit_length() - 1
        # Sense is asked for by one command at a time, so one buffer is enough.
        self._answer: Final = DmaChunk(port.dma, SENSE_SIZE, port.limit)

    @property
    def block_size(self) -> int:
        """Bytes in one block."""
        return 1 << self._shift

    @property
    def block_count(self) -> int:
        """Blocks; 0 without a medium."""
        return self._medium.blocks

    @property
    def writable(self) -> bool:
        """Never."""
        return False

    @property
    def max_transfer(self) -> int:
        """Most bytes of one read."""
        return MAX_TRANSFER

    @property
    def identify(self) -> bytes:
        """IDENTIFY PACKET DEVICE as it answered at the start, 512 bytes."""
        return self.facts.raw

    def chunk(self, size: int, /) -> DmaChunk:
        """Prepare memory for transfers of up to `size` bytes."""
        if not 0 < size <= MOST_BYTES:
            raise ValueError(f"a transfer has at most {MOST_BYTES} bytes, not {size}")
        return DmaChunk(self._port.dma, size, self._port.limit)

    def read(self, lba: int, blocks: int, chunk: Chunk, done: Done, /) -> None:
        """Read `blocks` blocks from `lba` to the start of `chunk`."""
        if not isinstance(chunk, DmaChunk):
            raise TypeError(f"{chunk!r} is no chunk of this driver")
        size = blocks << self._shift
        if blocks <= 0 or lba < 0 or size > chunk.size:
            self._port.refuse(done, e.EINVAL)
        elif lba > self._medium.blocks - blocks:
            self._port.refuse(done, e.ENXIO)
        else:
            _Read(self, lba, blocks, chunk.iova, size, done).go(first=False)

    def write(self, lba: int, blocks: int, chunk: Chunk, done: Done, /) -> None:
        """Refuse: EROFS."""
        self._port.refuse(done, e.EROFS)

    def flush(self, done: Done, /) -> None:
        """Do nothing: nothing was written."""
        self._port.refuse(done, 0)

    def write_zeroes(self, lba: int, blocks: int, deallocate: bool, done: Done, /) -> None:
        """Refuse: EROFS."""
        self._port.refuse(done, e.EROFS)

    def discard(self, lba: int, blocks: int, done: Done, /) -> None:
        """Refuse: EROFS."""
        self._port.refuse(done, e.EROFS)

    def flush_queue(self) -> None:
        """Hand everything queued since the last call to the device."""
        self._port.flush_queue()

    def ata(self, command: AtaCommand, chunk: Chunk | None, size: int, done: AtaDone, /) -> None:
        """Execute a command as it is; see `AtaDisk.ata`."""
        frame = fis.of(command, size, dma=self.facts.dma, dmadir=self.facts.dmadir)
        forward(self._port, command, frame, chunk, size, done)

    def issue(self, cdb: bytes, iova: int, size: int, done: AtaDone, *, first: bool = True) -> None:
        """Queue a packet command that reads `size` bytes to `iova`; `first` before all others."""
        frame = fis.packet(
            cdb.ljust(self.facts.packet, b"\0"), size,
            to_device=False, dma=self.facts.dma, dmadir=self.facts.dmadir,
        )  # fmt: skip
        single = Single(frame, iova, size, done, tries=TRIES, patience=PATIENCE)
        self._port.enqueue(single, first=first)

    @property
    def answer(self) -> DmaChunk:
        """Where the answers to REQUEST SENSE and READ CAPACITY go, one at a time."""
        return self._answer

    def unchanged(self, raw: memoryview) -> bool:
        """Whether an answer to READ CAPACITY is that of the medium we know."""
        try:
            return capacity(raw) == self._medium
        except DeviceError:
            return False

    def report(self, result: AtaResult, what: str) -> None:
        """Count and log a failed command."""
        self._port.report(result, what)

    def release(self) -> None:
        """Give the drive's own memory back; only when its port is stopped for good."""
        self._answer.free()

    def __repr__(self) -> str:
        return f"<Cd {self.number}: {self._medium}>"


class _Read:
    """One read, with what it takes to find out why it failed.

    Sense data and capacity are asked for right behind, before any other command can change them:
    singles that follow from one another go first.
    """

    __slots__ = ("_attempts", "_blocks", "_cd", "_done", "_iova", "_lba", "_size", "_why")

    def __init__(self, cd: Cd, lba: int, blocks: int, iova: int, size: int, done: Done) -> None:
        self._cd: Final = cd
        self._lba: Final = lba
        self._blocks: Final = blocks
        self._iova: Final = iova
        self._size: Final = size
        self._done: Final = done
        self._attempts = ATTEMPTS
        self._why = AtaResult(e.EIO)

    def go(self, *, first: bool = True) -> None:
        """Issue it, again with `first`."""
        self._attempts -= 1
        cdb = _READ_12(Scsi.READ_12, 0, self._lba, self._blocks)
        self._cd.issue(cdb, self._iova, self._size, self._ended, first=first)

    def _ended(self, result: AtaResult) -> None:
        if result.errno:
            self._done(result.errno)
        elif not failed(result):
            self._done(0 if result.moved == self._size else e.EIO)
        else:
            self._why = result
            self._cd.issue(REQUEST_SENSE, self._cd.answer.iova, SENSE_SIZE, self._sensed)

    def _sensed(self, result: AtaResult) -> None:
        why = sense(self._cd.answer.view)
        if result.errno or failed(result):
            self._fail(result.errno or e.EIO, why)
        elif gone(why) and self._attempts:
            self.go()  # a drive that was just closed says so once, and then what is new
        elif gone(why):
            self._fail(e.ENOMEDIUM, why)
        elif why.key is SenseKey.UNIT_ATTENTION and self._attempts:
            # The medium may be another one now.
            self._cd.issue(READ_CAPACITY, self._cd.answer.iova, CAPACITY_SIZE, self._measured)
        elif why.key is SenseKey.ABORTED_COMMAND and self._attempts:
            self.go()
        else:
            self._fail(e.EIO, why)

    def _measured(self, result: AtaResult) -> None:
        if result.errno:
            self._done(result.errno)
        elif failed(result):
            self._attempts = max(0, self._attempts - 1)
            self._cd.issue(REQUEST_SENSE, self._cd.answer.iova, SENSE_SIZE, self._sensed)
        elif self._cd.unchanged(self._cd.answer.view):
            self.go()
        else:
            self._done(e.EMEDIUMTYPE)

    def _fail(self, errno: int, why: Sense) -> None:
        self._cd.report(
            self._why, f"READ (12) at block {self._lba}: {why.key.name} {why.code:#04x}"
        )
        self._done(errno)
