"""DMA memory: one arena per device, and the allocator that carves it up.

The arena is shared memory that the device reaches at a fixed IOVA; whoever claimed the device made
it and keeps it mapped, so nothing the driver does can point the device at other memory.  Mistakes
with DMA memory are silent on hardware (a wrong address is written to, and nobody says so), so the
allocator catches what it can: using or freeing a buffer twice, running off its end, overlap.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

PAGE: Final = 4096


class Buffer:
    """A piece of an arena; see `redbear_host.hw.ports.DmaBuffer`."""

    __slots__ = ("_arena", "_view", "iova", "size")

    def __init__(self, arena: Arena, iova: int, view: memoryview) -> None:
        self._arena: Final = arena
        self._view: memoryview | None = view
        self.iova: Final = iova
        self.size: Final = len(view)

    @property
    def view(self) -> memoryview:
        """The bytes, writable; `ValueError` after `free`."""
        if self._view is None:
            raise ValueError(f"DMA buffer at {self.iova:#x} is used after it was freed")
        return self._view

    def free(self) -> None:
        """Give the memory back; `ValueError` the second time.

        Views that were cast or sliced from `view` stay valid Python objects, as a driver keeps such
        views of its rings for speed; it must drop them itself.
        """
        if self._view is None:
            raise ValueError(f"DMA buffer at {self.iova:#x} is freed twice")
        self._view = None
        self._arena._take_back(self.iova, self.size)

    def __repr__(self) -> str:
        state = "freed" if self._view is None else f"{self.size:#x} bytes"
        return f"<DMA {self.iova:#x} {state}>"


class Arena:
    """First-fit allocator over `view`, which the device sees from `iova` on."""

    def __init__(self, view: memoryview, iova: int) -> None:
        self._view: Final = view
        self._base: Final = iova
        self._free: list[tuple[int, int]] = [(iova, iova + len(view))]  # ascending, never touching
        self._used: dict[int, int] = {}  # start → end, as handed out and not yet given back

    @property
    def iova(self) -> int:
        """Where the device sees the arena's first byte."""
        return self._base

    @property
    def size(self) -> int:
        """Bytes in the whole arena."""
        return len(self._view)

    @property
    def available(self) -> int:
        """Bytes not handed out; they need not lie together."""
        return sum(end - start for start, end in self._free)

    def alloc(self, size: int, align: int = PAGE, limit: int = 1 << 64) -> Buffer:
        """Return zeroed memory; see `redbear_host.hw.ports.Dma`."""
        if size <= 0:
            raise ValueError(f"a DMA buffer has at least one byte, not {size}")
        if align <= 0 or align & align - 1:
            raise ValueError(f"alignment {align} is not a power of two")
        for index, (start, end) in enumerate(self._free):
            first = (start + align - 1) & -align
            last = first + size
            if last > end or last > limit:
                continue
            self._free[index : index + 1] = [
                piece for piece in ((start, first), (last, end)) if piece[0] < piece[1]
            ]
            self._used[first] = last
            view = self._view[first - self._base : last - self._base]
            view[:] = bytes(size)
            return Buffer(self, first, view)
        raise MemoryError(
            f"no {size:#x} bytes of DMA memory aligned to {align:#x} below {limit:#x}: "
            f"{self.available:#x} of {self.size:#x} are free"
        )

    def _take_back(self, start: int, size: int) -> None:
        end = self._used.pop(start, None)
        if end != start + size:
            raise ValueError(f"DMA memory at {start:#x} was not handed out with {size:#x} bytes")
        insort(self._free, (start, end))
        joined: list[tuple[int, int]] = []
        for piece in self._free:
            if joined and joined[-1][1] == piece[0]:
                joined[-1] = (joined[-1][0], piece[1])
            else:
                joined.append(piece)
        self._free = joined
