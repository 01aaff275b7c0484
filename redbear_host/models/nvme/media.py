"""A namespace of the model: blocks in memory, behind a volatile write cache."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field


@dataclass
class Media:
    """One namespace.  `durable` is what a power cut leaves, `cache` what was not flushed yet."""

    blocks: int = 2048
    shift: int = 9  # log2 of the block size
    metadata: int = 0  # bytes per block, only to be refused
    write_protected: bool = False
    eui64: bytes = b"\x00\x1b\x36redB1"
    durable: dict[int, bytes] = field(default_factory=dict)
    cache: dict[int, bytes] = field(default_factory=dict)

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

    def flush(self) -> None:
        """Make what was written durable."""
        self.durable.update(self.cache)
        self.cache.clear()

    def cut_power(self) -> None:
        """Lose what was not flushed."""
        self.cache.clear()

    def identify(self) -> bytes:
        """Identify Namespace (5.15.2.1)."""
        raw = bytearray(4096)
        struct.pack_into("<QQQ", raw, 0, self.blocks, self.blocks, self.blocks)
        raw[25] = 0  # NLBAF: one format
        raw[33] = 0x09  # DLFEAT: Write Zeroes may deallocate, then reads as zero
        raw[99] = int(self.write_protected)
        raw[120:128] = self.eui64
        struct.pack_into("<HBB", raw, 128, self.metadata, self.shift, 0)
        return bytes(raw)
