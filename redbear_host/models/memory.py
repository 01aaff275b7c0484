"""The host's memory as a device model sees it: only what is handed out and not yet given back."""

from __future__ import annotations

from typing import Final

from redbear_host.hw.dma import PAGE, Arena, Buffer


class LiveBuffer:
    """`DmaBuffer` that the model loses sight of when it is freed."""

    def __init__(self, inner: Buffer, live: dict[int, LiveBuffer]) -> None:
        """Made by `LiveDma`."""
        self._inner: Final = inner
        self._live: Final = live
        self.iova: Final = inner.iova
        self.size: Final = inner.size
        live[inner.iova] = self

    @property
    def view(self) -> memoryview:
        """The bytes, writable; `ValueError` after `free`."""
        return self._inner.view

    def free(self) -> None:
        """Give the memory back; `ValueError` the second time."""
        self._inner.free()
        del self._live[self.iova]


class LiveDma:
    """`Dma` for a driver of a model.

    What the model tries outside of live buffers has no effect, as behind an IOMMU, and is noted in
    `violations`: a driver let the device keep an address for too long, or computed a wrong one.
    """

    def __init__(self, memory: bytearray, iova: int, violations: list[str]) -> None:
        """Hand out `memory`, which the device sees from `iova` on."""
        self._arena: Final = Arena(memoryview(memory), iova)
        self._live: Final[dict[int, LiveBuffer]] = {}
        self._violations: Final = violations

    def alloc(self, size: int, align: int = PAGE, limit: int = 1 << 64) -> LiveBuffer:
        """Return zeroed memory; see `redbear_host.hw.ports.Dma`."""
        return LiveBuffer(self._arena.alloc(size, align, limit), self._live)

    @property
    def allocated(self) -> int:
        """Bytes handed out and not yet given back."""
        return sum(buffer.size for buffer in self._live.values())

    def find(self, iova: int, size: int, doing: str) -> memoryview | None:
        """Return the `size` live bytes at `iova`, or None and a note of what the device did."""
        for buffer in self._live.values():
            if buffer.iova <= iova and iova + size <= buffer.iova + buffer.size:
                start = iova - buffer.iova
                return buffer.view[start : start + size]
        self._violations.append(f"{doing}: {size:#x} bytes at {iova:#x} are not live DMA memory")
        return None
