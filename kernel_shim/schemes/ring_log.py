"""The kernel's log: the last bytes that were written to it (Redox keeps as much, for sys/log)."""

from __future__ import annotations

from typing import Final

SIZE: Final = 64 << 10  # bytes


class RingLog:
    """Bytes, of which only the last `size` are kept."""

    def __init__(self, size: int = SIZE) -> None:
        self._size: Final = size
        self._kept: Final = bytearray()

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes at the end; the oldest go."""
        self._kept.extend(data[-self._size :])
        del self._kept[: -self._size]

    def read(self) -> bytes:
        """Return what is kept, oldest first."""
        return bytes(self._kept)
