"""Register windows: mapped, where one access is one load or store, or trapped, one system call.

A mapped window is only ever touched through `memoryview` items: CPython turns each into one load
or store of the item's width, which `struct`, `ctypes` stores and slices do not (docs/adr).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from typing import Final

from redbear_host import linux
from redbear_host.hw.widths import ByWidth

_CLEARED: Final = 1 << 20  # bytes at a time

Read = Callable[[int], int]
Write = Callable[[int, int], None]


class MappedWindow:
    """An `Mmio` on memory; its methods are closures, which is what a driver pays per access."""

    __slots__ = (
        "_memory", "_views", "read8", "read16", "read32", "read64", "size",
        "write8", "write16", "write32", "write64",
    )  # fmt: skip

    def __init__(self, memory: mmap.mmap, size: int) -> None:
        self.size: Final = size
        self._memory: Final = memory
        whole = memoryview(memory)
        views = [
            whole.cast("B"),
            whole[: size & -2].cast("H"),
            whole[: size & -4].cast("I"),
            whole[: size & -8].cast("Q"),
        ]
        self._views: Final = [whole, *views]
        self.read8, self.read16, self.read32, self.read64 = (
            _reader(view, shift, size) for shift, view in enumerate(views)
        )
        self.write8, self.write16, self.write32, self.write64 = (
            _writer(view, shift, size) for shift, view in enumerate(views)
        )

    def write(self, offset: int, data: memoryview, /) -> None:
        """Copy bytes, for a window of plain memory."""
        end = offset + len(data)
        if offset < 0 or end > self.size:
            raise ValueError(f"{len(data)} bytes at {offset:#x} of a window of {self.size:#x}")
        self._views[1][offset:end] = data

    def clear(self, offset: int, size: int, /) -> None:
        """Make bytes zero."""
        zeroes = memoryview(bytes(min(size, _CLEARED)))
        for at in range(offset, offset + size, _CLEARED):
            self.write(at, zeroes[: offset + size - at])

    def leave(self) -> None:
        """Put memory that reads as all ones in the place of the device, which is let go of."""
        linux.map_over(self._memory)
        self._views[0][:] = b"\xff" * len(self._memory)

    def close(self) -> None:
        """Unmap; whoever still reads or writes gets `ValueError`."""
        for view in self._views:
            view.release()
        self._memory.close()


def _misfits(shift: int, size: int) -> int:
    """Bits of an offset that no aligned register of the window has set; one AND finds them.

    Seen as a number without end, a negative offset has the upper ones.
    """
    return ~((1 << (size - 1).bit_length()) - 1) | (1 << shift) - 1


def _misfit(shift: int, size: int, offset: int) -> ValueError:
    return ValueError(f"no {8 << shift}-bit register at {offset:#x} of a window of {size:#x} bytes")


def _reader(view: memoryview[int], shift: int, size: int) -> Read:
    misfits = _misfits(shift, size)

    def read(offset: int, /) -> int:
        if offset & misfits:
            raise _misfit(shift, size, offset)
        return view[offset >> shift]

    return read


def _writer(view: memoryview[int], shift: int, size: int) -> Write:
    misfits = _misfits(shift, size)

    def write(offset: int, value: int, /) -> None:
        if offset & misfits:
            raise _misfit(shift, size, offset)
        view[offset >> shift] = value

    return write


class TrappedWindow(ByWidth):
    """An `Mmio` or a `Config` that the kernel reads and writes for us: I/O ports, configuration.

    `widest` is 8 bytes for memory, 4 for ports and configuration, which have no 64-bit access on
    the bus.  A device that does not answer any more reads as all ones.
    """

    __slots__ = ("_base", "_fd", "_widest", "size")

    def __init__(self, fd: int, base: int, size: int, widest: int = 4) -> None:
        self._fd = fd
        self._base: Final = base
        self._widest: Final = widest
        self.size: Final = size

    def leave(self) -> None:
        """Answer as a device that has left, and ask it no more."""
        self._fd = -1

    def _read(self, offset: int, width: int) -> int:
        self._check(offset, width)
        try:
            data = os.pread(self._fd, width, self._base + offset)
        except OSError:
            data = b""
        return int.from_bytes(data.ljust(width, b"\xff"), "little")

    def _write(self, offset: int, value: int, width: int) -> None:
        self._check(offset, width)
        try:
            data = value.to_bytes(width, "little")
        except OverflowError as error:
            raise ValueError(f"{value:#x} does not fit in {width * 8} bits") from error
        try:
            os.pwrite(self._fd, data, self._base + offset)
        except OSError:
            return  # lost, as any write to a device that has left

    def _check(self, offset: int, width: int) -> None:
        if offset & width - 1 or not 0 <= offset <= self.size - width or width > self._widest:
            raise _misfit(width.bit_length() - 1, self.size, offset)
