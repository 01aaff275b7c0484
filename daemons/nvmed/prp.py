"""Physical Region Pages: how a command tells the controller where its data lies (4.1.1).

PRP1 points at the first page.  PRP2 is unused for one page, points at the second page for two, and
at a list of the second and all later pages for more.  A chunk's memory never moves, so its list is
written once, when the chunk is made; a shorter transfer uses the beginning of the same list.
"""

from __future__ import annotations

from typing import Final

from redbear_host.hw.ports import Dma, DmaBuffer

ENTRY: Final = 8  # bytes of one PRP list entry


def longest(page: int, /) -> int:
    """Most bytes one transfer can name: a page of list entries, and the first page.

    Lists could be chained, but then a list written once would serve one length only: its last entry
    is a page in one length and the next list in another.  With 4 KiB pages this is 2 MiB.
    """
    return (page // ENTRY + 1) * page


class DmaChunk:
    """Memory for one transfer at a time, with its PRPs ready; see `classes.disk.Chunk`.

    Chunks belong to the controller that made them and serve all its namespaces.
    """

    __slots__ = ("_buffer", "_list", "_second", "iova", "key", "page", "prepared", "size", "view")

    def __init__(self, dma: Dma, page: int, size: int) -> None:
        """Take `size` bytes from `dma` for a controller with pages of `page` bytes.

        Raises `ValueError` for a size that no single list can name, `MemoryError` when full.
        """
        if not 0 < size <= longest(page):
            raise ValueError(f"a chunk has 1 to {longest(page)} bytes, not {size}")
        self._buffer: Final = dma.alloc(size, align=page)
        self._list: DmaBuffer | None = None
        self.view: Final = self._buffer.view
        self.iova: Final = self._buffer.iova
        self.size: Final = size
        self.page: Final = page
        # The command it was last used for, which is likely the next, too, and what tells it apart.
        self.key = -1
        self.prepared = (0, 0, 0, 0, 0)
        self._second: Final = self.iova + page
        pages = range(self._second, self.iova + size, page)
        if len(pages) > 1:
            room = len(pages) * ENTRY
            try:
                # Aligned to its size rounded up to a power of two, the list stays in one page.
                self._list = dma.alloc(room, align=1 << (room - 1).bit_length())
            except MemoryError:
                self._buffer.free()
                raise
            entries = self._list.view.cast("Q")
            for index, address in enumerate(pages):
                entries[index] = address

    def prp2(self, size: int, /) -> int:
        """PRP2 for a transfer of the first `size` bytes."""
        if size <= self.page:
            return 0
        if size <= 2 * self.page or self._list is None:
            return self._second
        return self._list.iova

    def free(self) -> None:
        """Give the memory back; no command may be using it."""
        self._buffer.free()
        if self._list is not None:
            self._list.free()

    def __repr__(self) -> str:
        return f"<DmaChunk {self.iova:#x} {self.size:#x} bytes>"
