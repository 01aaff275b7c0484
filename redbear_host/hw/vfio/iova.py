"""Where a DMA arena lies in the address space that the device sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from redbear_host.errors import TransportError

FIRST: Final = 0x1000_0000  # away from zero: a descriptor that was never filled in must fault
FOUR_GIB: Final = 1 << 32
ALIGN: Final = 1 << 21  # a large page of the IOMMU

# For kernels that do not say which ranges are valid: all that 39 bits reach (the least an Intel
# IOMMU has) but the window to which x86 writes message interrupts.
USUAL: Final = ((0, 0xFEDF_FFFF), (0xFEF0_0000, (1 << 39) - 1))


def choose_iova(ranges: Iterable[tuple[int, int]], size: int) -> int:
    """Return where `size` bytes fit into `ranges` (first and last address of each).

    Below 4 GiB if it can be, for functions that know no more; never at address 0.
    """
    found = []
    for first, last in ranges:
        start = (max(first, FIRST) + ALIGN - 1) & -ALIGN
        if start + size - 1 <= last:
            found.append(start)
    if not found:
        raise TransportError(f"the IOMMU has no room for {size:#x} bytes of DMA memory")
    low = [start for start in found if start + size <= FOUR_GIB]
    return min(low or found)
