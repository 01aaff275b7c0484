"""Accesses by width on top of one read and one write, for landings where width costs nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod


class ByWidth(ABC):
    """The methods of `Mmio` and `Config`; widths are in bytes below them.

    `_read` and `_write` refuse with `ValueError` what their window has no register for.
    """

    __slots__ = ()

    @abstractmethod
    def _read(self, offset: int, width: int) -> int: ...

    @abstractmethod
    def _write(self, offset: int, value: int, width: int) -> None: ...

    def read8(self, offset: int, /) -> int:
        """Read 8 bits."""
        return self._read(offset, 1)

    def read16(self, offset: int, /) -> int:
        """Read 16 bits."""
        return self._read(offset, 2)

    def read32(self, offset: int, /) -> int:
        """Read 32 bits."""
        return self._read(offset, 4)

    def read64(self, offset: int, /) -> int:
        """Read 64 bits."""
        return self._read(offset, 8)

    def write8(self, offset: int, value: int, /) -> None:
        """Write 8 bits."""
        self._write(offset, value, 1)

    def write16(self, offset: int, value: int, /) -> None:
        """Write 16 bits."""
        self._write(offset, value, 2)

    def write32(self, offset: int, value: int, /) -> None:
        """Write 32 bits."""
        self._write(offset, value, 4)

    def write64(self, offset: int, value: int, /) -> None:
        """Write 64 bits."""
        self._write(offset, value, 8)
