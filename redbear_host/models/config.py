"""Configuration space of a modelled function: a type 0 header and an MSI-X capability.

Ref: PCI Local Bus Specification, revision 3.0: 6.1, 6.2 (header), 6.8.2 (MSI-X).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final

from redbear_host.hw.pci import header
from redbear_host.hw.ports import PciIds
from redbear_host.hw.widths import ByWidth

SIZE: Final = 256
MSIX_OFFSET: Final = 0x40
MSIX_SIZE: Final = 12
MSIX_CAPABILITY: Final = 0x11
MEMORY_SPACE: Final = 0x0002
BUS_MASTER: Final = 0x0004
INTX_DISABLE: Final = 0x0400
CAPABILITIES_LIST: Final = 0x0010

# What a driver may change: the rest is read-only, or the landing's own as with VFIO.
WRITABLE: Final = {
    header.COMMAND: 0x47,
    header.COMMAND + 1: 0x05,
    header.CACHE_LINE_SIZE: 0xFF,
    header.LATENCY_TIMER: 0xFF,
    header.INTERRUPT_LINE: 0xFF,
}


class ModelConfig(ByWidth):
    """`Config`; `gone` says whether the device has left and everything reads as all ones."""

    size: int = SIZE

    def __init__(
        self,
        ids: PciIds,
        vectors: int,
        gone: Callable[[], bool],
        bar: int = 0,
        more: Sequence[bytes] = (),
    ) -> None:
        """Describe a function with one memory window and `vectors` MSI-X vectors (0: INTx only).

        `more` are further capabilities, whose second byte, the way to the next one, is ours to set.
        """
        self._gone: Final = gone
        raw = bytearray(SIZE)
        struct.pack_into("<HH", raw, header.VENDOR_ID, ids.vendor, ids.device)
        struct.pack_into("<I", raw, header.REVISION_ID, ids.class_code << 8 | ids.revision)
        struct.pack_into(
            "<HH", raw, header.SUBSYSTEM_VENDOR_ID, ids.subsystem_vendor, ids.subsystem
        )
        raw[header.INTERRUPT_PIN] = 1
        wide = 4 * (bar < 5)  # 64-bit memory, where there is room for another half
        struct.pack_into("<I", raw, header.BASE_ADDRESS + 4 * bar, 0xFE00_0000 | wide)
        if vectors:
            struct.pack_into("<H", raw, header.STATUS, CAPABILITIES_LIST)
            raw[header.CAPABILITIES_POINTER] = MSIX_OFFSET
            struct.pack_into("<BBH", raw, MSIX_OFFSET, MSIX_CAPABILITY, 0, vectors - 1)
        self._raw: Final = raw
        self._add(more, MSIX_OFFSET + MSIX_SIZE if vectors else MSIX_OFFSET)
        self.reset()

    def _add(self, more: Sequence[bytes], at: int) -> None:
        last = MSIX_OFFSET + 1 if self._raw[header.CAPABILITIES_POINTER] else -1
        for capability in more:
            self._raw[at : at + len(capability)] = capability
            struct.pack_into("<H", self._raw, header.STATUS, CAPABILITIES_LIST)
            self._raw[header.CAPABILITIES_POINTER if last < 0 else last] = at
            last, at = at + 1, at + -(-len(capability) // 4) * 4
            self._raw[last] = 0

    def reset(self) -> None:
        """Decode memory, and nothing else."""
        struct.pack_into("<H", self._raw, header.COMMAND, MEMORY_SPACE | INTX_DISABLE)

    @property
    def bus_master(self) -> bool:
        """Whether the function may start DMA and send messages."""
        return bool(self._raw[header.COMMAND] & BUS_MASTER)

    @bus_master.setter
    def bus_master(self, on: bool) -> None:
        low = self._raw[header.COMMAND]
        self._raw[header.COMMAND] = low | BUS_MASTER if on else low & ~BUS_MASTER

    def _read(self, offset: int, width: int) -> int:
        self._check(offset, width)
        if self._gone():
            return (1 << 8 * width) - 1
        return int.from_bytes(self._raw[offset : offset + width], "little")

    def _write(self, offset: int, value: int, width: int) -> None:
        self._check(offset, width)
        for index, byte in enumerate(value.to_bytes(width, "little")):
            mask = WRITABLE.get(offset + index, 0)
            old = self._raw[offset + index]
            self._raw[offset + index] = old & ~mask | byte & mask

    def _check(self, offset: int, width: int) -> None:
        if offset & width - 1 or not 0 <= offset <= SIZE - width or width > 4:
            raise ValueError(f"no access of {width} bytes at {offset:#x} of {SIZE:#x} bytes")
