"""Register windows over qtest: memory, ports, and configuration space through ECAM."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from typing import Final

from redbear_host.errors import Gone
from redbear_host.hw.qtest.wire import Wire

# Of memory that goes in one line: with its base64 it is shorter than what a socket queues in one
# piece (32 KiB), so that QEMU never sees half a line of a user that was killed.
_PIECE: Final = 3 * 7168

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

    def write(self, offset: int, data: memoryview, /) -> None:
        """Copy bytes, for a window of plain memory."""
        size = len(data)
        if offset < 0 or offset + size > self.size:
            raise ValueError(f"{size} bytes at {offset:#x} of a window of {self.size:#x}")
        base = self._base + offset
        try:
            for at in range(0, size, _PIECE):
                piece = data[at : at + _PIECE]
                text = b2a_base64(piece, newline=False)
                self._wire.post(b"b64write 0x%x 0x%x %b\n" % (base + at, len(piece), text))
        except Gone:
            return

    def clear(self, offset: int, size: int, /) -> None:
        """Make bytes zero."""
        if size <= 0 or offset < 0 or offset + size > self.size:
            raise ValueError(f"{size} bytes at {offset:#x} of a window of {self.size:#x}")
        try:
            self._wire.post(b"memset 0x%x 0x%x 0x0\n" % (self._base + offset, size))
        except Gone:
            return

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
