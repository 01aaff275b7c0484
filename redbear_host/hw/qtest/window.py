"""Register windows over qtest: memory, ports, and configuration space through ECAM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redbear_host.errors import Gone
from redbear_host.hw.qtest.wire import Wire

_MEMORY: Final = {1: b"b", 2: b"w", 4: b"l", 8: b"q"}
_PORTS: Final = {1: b"b", 2: b"w", 4: b"l"}  # the bus has no 64-bit port access


class Window:
    """`Mmio` on `size` bytes from `base` on; `ValueError` outside it and for odd offsets.

    When the device has left, reads are all ones and writes are lost.
    """

    def __init__(self, wire: Wire, base: int, size: int, *, ports: bool = False) -> None:
        self.size: Final = size
        self._wire: Final = wire
        self._base: Final = base
        read, write = (b"in", b"out") if ports else (b"read", b"write")
        widths: Mapping[int, bytes] = _PORTS if ports else _MEMORY
        self._reads: Final = {w: read + letter + b" 0x%x\n" for w, letter in widths.items()}
        self._writes: Final = {w: write + letter + b" 0x%x 0x%x\n" for w, letter in widths.items()}

    def read8(self, offset: int, /) -> int:
        """Read one byte."""
        return self._read(1, offset)

    def read16(self, offset: int, /) -> int:
        """Read 16 bits in one access."""
        return self._read(2, offset)

    def read32(self, offset: int, /) -> int:
        """Read 32 bits in one access."""
        return self._read(4, offset)

    def read64(self, offset: int, /) -> int:
        """Read 64 bits in one access; `ValueError` on ports."""
        return self._read(8, offset)

    def write8(self, offset: int, value: int, /) -> None:
        """Write one byte."""
        self._write(1, offset, value)

    def write16(self, offset: int, value: int, /) -> None:
        """Write 16 bits in one access."""
        self._write(2, offset, value)

    def write32(self, offset: int, value: int, /) -> None:
        """Write 32 bits in one access."""
        self._write(4, offset, value)

    def write64(self, offset: int, value: int, /) -> None:
        """Write 64 bits in one access; `ValueError` on ports."""
        self._write(8, offset, value)

    def _read(self, width: int, offset: int) -> int:
        if offset & width - 1 or not 0 <= offset <= self.size - width or width not in self._reads:
            self._refuse(width, offset)
        try:
            return self._wire.ask(self._reads[width] % (self._base + offset))
        except Gone:
            return (1 << 8 * width) - 1

    def _write(self, width: int, offset: int, value: int) -> None:
        if offset & width - 1 or not 0 <= offset <= self.size - width or width not in self._writes:
            self._refuse(width, offset)
        if value >> 8 * width:
            raise ValueError(f"{value:#x} does not fit in {width} bytes")
        try:
            self._wire.post(self._writes[width] % (self._base + offset, value))
        except Gone:
            return  # the port says so: writes to a device that has left are lost

    def _refuse(self, width: int, offset: int) -> None:
        raise ValueError(
            f"no access of {width} bytes at offset {offset:#x} of a window of {self.size:#x} bytes"
        )
