"""Memory for transfers: one run of addresses, so a PRD names up to 4 MiB of it (4.2.3.3)."""

from __future__ import annotations

from typing import Final

from redbear_host.hw.ports import Dma

ROUND: Final = 512  # bytes: a device that moves an odd number of bytes may touch one more


class DmaChunk:
    """Memory for one transfer at a time; see `classes.disk.Chunk`.

    Chunks belong to the adapter that made them and serve all its disks.
    """

    __slots__ = ("_buffer", "iova", "size", "view")

    def __init__(self, dma: Dma, size: int, limit: int) -> None:
        """Take `size` bytes below IOVA `limit` from `dma`; `MemoryError` when it is full."""
        self._buffer: Final = dma.alloc(-(-size // ROUND) * ROUND, limit=limit)
        self.view: Final = self._buffer.view[:size]
        self.iova: Final = self._buffer.iova
        self.size: Final = size

    def free(self) -> None:
        """Give the memory back; no command may be using it."""
        self._buffer.free()

    def __repr__(self) -> str:
        return f"<DmaChunk {self.iova:#x} {self.size:#x} bytes>"
