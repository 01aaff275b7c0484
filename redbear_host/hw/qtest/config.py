"""Configuration space as a driver sees it: the registers the landing owns cannot be written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from redbear_host.hw.pci.capability import CapabilityId, capabilities
from redbear_host.hw.pci.header import (
    BASE_ADDRESS,
    CONVENTIONAL_SIZE,
    EXPANSION_ROM,
    EXTENDED_SIZE,
)
from redbear_host.hw.qtest.window import Window

# Bytes of each capability that only the landing programs.  The longest form of MSI, with a 64-bit
# address and mask bits, has 24 (PCI Local Bus Specification 3.0, 6.8.1); MSI-X has 12 (6.8.2).
_OWNED: Final = {CapabilityId.MSI: 24, CapabilityId.MSIX: 12}


class DriverConfig:
    """`Config` over a window; writes to base addresses, MSI and MSI-X are lost.

    Linux's VFIO keeps those from a driver in the same manner, and no driver may see a difference.
    """

    def __init__(self, window: Window) -> None:
        found = capabilities(window)
        express = any(entry.id == CapabilityId.PCI_EXPRESS for entry in found)
        self.size: Final = EXTENDED_SIZE if express else CONVENTIONAL_SIZE
        self._window: Final = window
        starts = [*sorted(entry.offset for entry in found), CONVENTIONAL_SIZE]
        owned = [*range(BASE_ADDRESS, BASE_ADDRESS + 24), *range(EXPANSION_ROM, EXPANSION_ROM + 4)]
        for entry in found:
            if entry.id in _OWNED:
                after = next(start for start in starts if start > entry.offset)
                owned += _within(entry.offset, _OWNED[CapabilityId(entry.id)], after)
        self._owned: Final = frozenset(owned)

    def read8(self, offset: int, /) -> int:
        """Read one byte."""
        self._check(offset)
        return self._window.read8(offset)

    def read16(self, offset: int, /) -> int:
        """Read 16 bits."""
        self._check(offset)
        return self._window.read16(offset)

    def read32(self, offset: int, /) -> int:
        """Read 32 bits."""
        self._check(offset)
        return self._window.read32(offset)

    def write8(self, offset: int, value: int, /) -> None:
        """Write one byte."""
        self._check(offset)
        if offset not in self._owned:
            self._window.write8(offset, value)

    def write16(self, offset: int, value: int, /) -> None:
        """Write 16 bits."""
        self._check(offset)
        if offset not in self._owned:
            self._window.write16(offset, value)

    def write32(self, offset: int, value: int, /) -> None:
        """Write 32 bits."""
        self._check(offset)
        if offset not in self._owned:
            self._window.write32(offset, value)

    def _check(self, offset: int) -> None:
        # The window is 4 KiB for every function; what lies above a conventional one is nobody's.
        if not 0 <= offset < self.size:
            raise ValueError(f"configuration space ends at {self.size:#x}, before {offset:#x}")


def _within(start: int, length: int, end: int) -> Iterable[int]:
    return range(start, min(start + length, end))
