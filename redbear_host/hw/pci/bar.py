"""Base address registers: what they say about a window, and how its size is found.

Ref: PCI Local Bus Specification, revision 3.0 ("PCI"), 6.2.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from redbear_host.errors import DeviceError
from redbear_host.hw.pci.header import BASE_ADDRESS, Command, ConfigWindow, Header
from redbear_host.hw.ports import Config

BAR_COUNT: Final = 6


class BarKind(StrEnum):
    """The two address spaces a base address register can name."""

    MEM = "mem"
    IO = "io"


class Bar(NamedTuple):
    """What one base address register says (PCI 6.2.5.1)."""

    number: int  # of its (lower) register, 0 to 5
    kind: BarKind
    address: int
    size: int  # bytes, a power of two
    wide: bool  # 64-bit: takes the next register too
    prefetchable: bool


def decode_bars(values: Sequence[int], masks: Sequence[int]) -> list[Bar]:
    """Decode base address registers from what they hold and what they read after all ones.

    Both sequences hold one 32-bit word per register.  Registers the function lacks (mask 0) are
    left out.  Raises `DeviceError` where the masks make no sense.
    """
    bars: list[Bar] = []
    index = 0
    while index < len(masks):
        mask, value = masks[index], values[index]
        if mask == 0:
            index += 1
            continue
        if mask & 1:
            # A function may leave out the upper half of an I/O address (PCI 6.2.5.1).
            top = mask & ~3 | (0xFFFF_0000 if mask < 1 << 16 else 0)
            size = _size(index, top, 32)
            bars.append(Bar(index, BarKind.IO, value & ~3, size, False, False))
            index += 1
            continue
        wide = mask & 6 == 4
        if mask & 6 and not wide:
            raise DeviceError(f"base address register {index} has reserved type {mask >> 1 & 3}")
        if wide and index + 1 >= len(masks):
            raise DeviceError(f"base address register {index} is 64-bit and has no upper half")
        top = mask & ~0xF | (masks[index + 1] << 32 if wide else 0)
        address = value & ~0xF | (values[index + 1] << 32 if wide else 0)
        size = _size(index, top, 64 if wide else 32)
        bars.append(Bar(index, BarKind.MEM, address, size, wide, bool(mask & 8)))
        index += 2 if wide else 1
    return bars


def _size(index: int, top: int, width: int) -> int:
    size = (1 << width) - top
    if top == 0 or size & size - 1:
        raise DeviceError(f"base address register {index} answers all ones with mask {top:#x}")
    return size


def probe_bars(config: Config, count: int = BAR_COUNT) -> list[Bar]:
    """Size the base address registers (PCI 6.2.5.1); everything is as before afterwards.

    Only for whoever owns the function: it decodes nothing while it is probed.  `count` is 6 for a
    function, 2 for a bridge.
    """
    command = Header(ConfigWindow(config)).COMMAND
    before = command.read()
    quiet = Command.of(before.raw)
    quiet.IO_SPACE = quiet.MEMORY_SPACE = False
    command.write(quiet)
    offsets = range(BASE_ADDRESS, BASE_ADDRESS + 4 * count, 4)
    values = [config.read32(offset) for offset in offsets]
    masks = []
    for offset, value in zip(offsets, values, strict=True):
        config.write32(offset, 0xFFFF_FFFF)
        masks.append(config.read32(offset))
        config.write32(offset, value)
    command.write(before)
    return decode_bars(values, masks)
