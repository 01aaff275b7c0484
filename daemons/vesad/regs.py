"""The registers of a graphics card that QEMU and Bochs model.

Ref: QEMU, docs/specs/standard-vga ("standard VGA"); Bochs, "VBE Display API" (vbe_display_api.txt,
"VBE"); IBM VGA, Technical Reference: Attribute Controller, Input Status Register 1.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from redbear_host.bits import RO, RW, WO, Bits, Block, bits, ro, rw, wo

VENDOR: Final = 0x1234
DEVICE: Final = 0x1111

FRAMEBUFFER_BAR: Final = 0
REGISTERS_BAR: Final = 2

# Parts of base address register 2 (standard VGA, "PCI spec")
EDID: Final = 0x000                # the monitor's blocks, byte by byte
EDID_SIZE: Final = 0x400
VGA: Final = 0x400                 # I/O ports 0x3C0 to 0x3DF
DISPI: Final = 0x500               # 16 bits for each index of VBE

VGA_CLASS: Final = 0x0300          # has the ports of a VGA; 0x0380 has not
UNITS: Final = 0x10000             # bytes in which VIDEO_MEMORY_64K counts


class DispiId(IntEnum):
    """Versions of the interface (VBE); those from ID4 on count their video memory."""

    ID0 = 0xB0C0
    ID2 = 0xB0C2                   # 32 bits per pixel, linear frame buffer, virtual sizes
    ID4 = 0xB0C4
    ID5 = 0xB0C5


class Word(Bits, width=16):
    """A number."""

    VALUE: int = bits(15, 0)


class Enable(Bits, width=16):
    """What the card shows (VBE, VBE_DISPI_INDEX_ENABLE)."""

    ENABLED: bool = bits(0)        # the other registers hold; off: it is a VGA, or dark
    GETCAPS: bool = bits(1)        # XRES, YRES and BPP read as their largest values
    LFB_ENABLED: bool = bits(6)    # all of its memory is seen at once
    NOCLEARMEM: bool = bits(7)     # enabling leaves the memory as it is


class Dispi(Block):
    """The registers of VBE, each 16 bits, at 2 bytes for an index (standard VGA)."""

    ID: RW[Word] = rw(0x00, Word)
    XRES: RW[Word] = rw(0x02, Word)
    YRES: RW[Word] = rw(0x04, Word)
    BPP: RW[Word] = rw(0x06, Word)
    ENABLE: RW[Enable] = rw(0x08, Enable)
    BANK: RW[Word] = rw(0x0A, Word)
    VIRT_WIDTH: RW[Word] = rw(0x0C, Word)
    VIRT_HEIGHT: RW[Word] = rw(0x0E, Word)
    X_OFFSET: RW[Word] = rw(0x10, Word)
    Y_OFFSET: RW[Word] = rw(0x12, Word)
    VIDEO_MEMORY_64K: RO[Word] = ro(0x14, Word)


class Attribute(Bits, width=8):
    """Attribute Controller's address (IBM VGA)."""

    ADDRESS: int = bits(4, 0)
    PALETTE_SOURCE: bool = bits(5) # 0: the screen is blank, and the palette may be written


class Status(Bits, width=8):
    """Input Status 1 (IBM VGA); reading it lets the next write be an Attribute address."""

    RETRACE: bool = bits(3)


class Vga(Block):
    """The two ports of a VGA that we touch, from 0x3C0 on."""

    ATTRIBUTE: WO[Attribute] = wo(0x00, Attribute)
    STATUS: RO[Status] = ro(0x1A, Status)
