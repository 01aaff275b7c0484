"""A modelled SATA disk: what IDENTIFY says, and what commands do to its blocks.

Ref: ATA/ATAPI Command Set - 3, T13/2161-D revision 5 ("ACS-3"); sections in parentheses.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

READ_FPDMA, WRITE_FPDMA = 0x60, 0x61
READ_DMA_EXT, WRITE_DMA_EXT, READ_DMA, WRITE_DMA = 0x25, 0x35, 0xC8, 0xCA
READ_LOG_EXT, IDENTIFY, FLUSH, FLUSH_EXT, TRIM = 0x2F, 0xEC, 0xE7, 0xEA, 0x06
QUEUED: Final = (READ_FPDMA, WRITE_FPDMA)
ABRT, IDNF = 0x04, 0x10
NCQ_LOG: Final = 0x10
PIO_IN: Final = (IDENTIFY, READ_LOG_EXT)


@dataclass
class Task:
    """A command as its FIS says it."""

    opcode: int
    feature: int
    count: int
    lba: int
    device: int

    @property
    def queued(self) -> bool:
        """Whether it has a tag."""
        return self.opcode in QUEUED

    @property
    def tag(self) -> int:
        """The tag of a queued command."""
        return self.count >> 3 & 0x1F

    @property
    def blocks(self) -> int:
        """How many blocks it reads or writes; 0 for other commands."""
        if self.queued:
            return self.feature or 1 << 16
        if self.opcode in (READ_DMA_EXT, WRITE_DMA_EXT):
            return self.count or 1 << 16
        if self.opcode in (READ_DMA, WRITE_DMA):
            return self.count & 0xFF or 256
        return 0

    @property
    def address(self) -> int:
        """The first block, by 28 or 48 bits."""
        if self.opcode in (READ_DMA, WRITE_DMA):
            return self.lba & 0xFF_FFFF | (self.device & 0xF) << 24
        return self.lba

    @property
    def writes(self) -> bool:
        """Whether its data goes to the device."""
        return self.opcode in (WRITE_FPDMA, WRITE_DMA_EXT, WRITE_DMA, TRIM)


@dataclass
class Drive:
    """One disk.  `durable` is what a power cut leaves, `cache` what was not flushed yet."""

    blocks: int = 2048
    shift: int = 9  # log2 of the block size
    serial: str = "MODEL-1"
    model: str = "Red Bear model disk"
    depth: int = 32  # queued commands; 0 for none
    lba48: bool = True
    trim: bool = True
    trim_zeroes: bool = True
    logs: bool = True
    identity: bytes | None = None  # answered in place of a true one
    durable: dict[int, bytes] = field(default_factory=dict)
    cache: dict[int, bytes] = field(default_factory=dict)
    ncq_error: tuple[int, int, int] | None = None  # tag, status, error: until the log was read

    @property
    def block_size(self) -> int:
        """Bytes per block."""
        return 1 << self.shift

    def read(self, lba: int) -> bytes:
        """Return one block; one never written is all zero."""
        block = self.cache.get(lba)
        return block if block is not None else self.durable.get(lba, bytes(self.block_size))

    def write(self, lba: int, block: bytes) -> None:
        """Keep one block in the cache."""
        self.cache[lba] = block

    def cut_power(self) -> None:
        """Lose what was not flushed."""
        self.cache.clear()

    def size(self, task: Task) -> int:
        """Bytes a command moves."""
        if task.opcode in PIO_IN:
            return 512
        if task.opcode == TRIM:
            return task.count * 512
        return task.blocks << self.shift

    def execute(self, task: Task, data: bytes) -> tuple[int, bytes]:
        """Do it; return the Error register, and what goes to the host."""
        if self.ncq_error is not None and not (task.opcode == READ_LOG_EXT and self.logs):
            return ABRT, b""  # until the host knows which command failed (13.6.3)
        match task.opcode:
            case 0xEC:
                return 0, self.identify()
            case 0xEA | 0xE7:
                self.durable.update(self.cache)
                self.cache.clear()
                return 0, b""
            case 0x2F if self.logs and task.lba == NCQ_LOG:
                return 0, self._log()
            case 0x06 if self.trim and task.feature == 1:
                return self._trim(data)
            case 0x60 | 0x61 if not self.depth:
                return ABRT, b""
        if not task.blocks:
            return ABRT, b""
        if task.address + task.blocks > self.blocks:
            return IDNF, b""
        where = range(task.address, task.address + task.blocks)
        if not task.writes:
            return 0, b"".join(self.read(lba) for lba in where)
        for index, lba in enumerate(where):
            self.write(lba, data[index << self.shift : index + 1 << self.shift])
        return 0, b""

    def _trim(self, data: bytes) -> tuple[int, bytes]:
        for (entry,) in struct.iter_unpack("<Q", data):
            lba, count = entry & (1 << 48) - 1, entry >> 48
            if lba + count > self.blocks:
                return IDNF, b""
            for each in range(lba, lba + count):
                self.write(each, bytes(self.block_size))
        return 0, b""

    def _log(self) -> bytes:
        """NCQ Command Error log (A.14); reading it lets the device go on."""
        tag, status, error = self.ncq_error or (0x80, 0, 0)
        self.ncq_error = None
        raw = bytearray(512)
        raw[0], raw[2], raw[3] = tag, status, error
        raw[511] = -sum(raw) & 0xFF
        return bytes(raw)

    def identify(self) -> bytes:
        """IDENTIFY DEVICE (7.12)."""
        if self.identity is not None:
            return self.identity
        words = [0] * 256
        words[0] = 0x0040
        words[10:20] = _text(self.serial, 20)
        words[23:27] = _text("1.0", 8)
        words[27:47] = _text(self.model, 40)
        words[49] = 0x0300
        short = min(self.blocks, (1 << 28) - 1)
        words[60], words[61] = short & 0xFFFF, short >> 16
        if self.depth:
            words[75], words[76] = self.depth - 1, 0x0106
        words[82] = 0x0021
        words[83] = 0x4000 | 0x1000 | (0x2400 if self.lba48 else 0)
        words[84] = 0x4000 | (0x20 if self.logs else 0)
        words[85], words[86], words[87] = words[82], words[83] & 0x3FFF, words[84]
        words[100:104] = [self.blocks >> 16 * n & 0xFFFF for n in range(4)]
        if self.shift != 9:
            words[106] = 0x5000
            words[117], words[118] = self.block_size // 2 & 0xFFFF, self.block_size // 2 >> 16
        if self.trim:
            words[105], words[169] = 1, 1
            words[69] = 0x4020 if self.trim_zeroes else 0
        raw = bytearray(struct.pack("<256H", *words))
        raw[510] = 0xA5
        raw[511] = -sum(raw) & 0xFF
        return bytes(raw)


def _text(text: str, size: int) -> list[int]:
    raw = text.encode().ljust(size)[:size]
    return [raw[i] << 8 | raw[i + 1] for i in range(0, size, 2)]
