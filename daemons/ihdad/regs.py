"""Registers and memory structures of High Definition Audio controllers.

Ref: Intel High Definition Audio Specification, revision 1.0a, June 2010 ("HDA"); sections in
parentheses.
"""

from __future__ import annotations

from redbear_host.bits import Bits, Block, SpecEnum, Struct, at, bits, ro, rw

GONE = 0xFFFF                     # what any register of 16 bits reads as when the card has left

# -- the controller (3.3) --------------------------------------------------------------------------


class GCAP(Bits, width=16):
    """Global Capabilities (3.3.2)."""

    OK64: bool = bits(0)          # 64OK: 64 Bit Address Supported
    NSDO: int = bits(2, 1)        # Number of Serial Data Out Signals
    BSS: int = bits(7, 3)         # Number of Bidirectional Streams Supported
    ISS: int = bits(11, 8)        # Number of Input Streams Supported
    OSS: int = bits(15, 12)       # Number of Output Streams Supported


class Minor(Bits, width=8):
    """Minor Version (3.3.3)."""

    VMIN: int = bits(7, 0)


class Major(Bits, width=8):
    """Major Version (3.3.4)."""

    VMAJ: int = bits(7, 0)


class GCTL(Bits):
    """Global Control (3.3.7)."""

    CRST: bool = bits(0)          # Controller Reset: 0 is in reset
    FCNTRL: bool = bits(1)        # Flush Control
    UNSOL: bool = bits(8)         # Accept Unsolicited Response Enable


class WAKEEN(Bits, width=16):
    """Wake Enable (3.3.8)."""

    SDIWEN: int = bits(14, 0)


class STATESTS(Bits, width=16):
    """State Change Status (3.3.9): a bit for each codec that has come."""

    SDIWAKE: int = bits(14, 0, w1c=True)


class INTCTL(Bits):
    """Interrupt Control (3.3.14)."""

    SIE: int = bits(29, 0)        # Stream Interrupt Enable, a bit for each
    CIE: bool = bits(30)          # Controller Interrupt Enable
    GIE: bool = bits(31)          # Global Interrupt Enable


class INTSTS(Bits):
    """Interrupt Status (3.3.15)."""

    SIS: int = bits(29, 0)        # Stream Interrupt Status
    CIS: bool = bits(30)          # Controller Interrupt Status
    GIS: bool = bits(31)          # Global Interrupt Status


class Word(Bits):
    """A register that holds one number: half an address, a position, a length."""

    VALUE: int = bits(31, 0)


class CORBWP(Bits, width=16):
    """CORB Write Pointer (3.3.20)."""

    WP: int = bits(7, 0)


class CORBRP(Bits, width=16):
    """CORB Read Pointer (3.3.21)."""

    RP: int = bits(7, 0)
    RST: bool = bits(15)          # reads as 1 when the pointer is reset, and is then written 0


class CORBCTL(Bits, width=8):
    """CORB Control (3.3.22)."""

    CMEIE: bool = bits(0)         # Memory Error Interrupt Enable
    RUN: bool = bits(1)           # Enable CORB DMA Engine


class CORBSTS(Bits, width=8):
    """CORB Status (3.3.23)."""

    CMEI: bool = bits(0, w1c=True)  # Memory Error Indication


class RingSize(Bits, width=8):
    """CORB Size (3.3.24) and RIRB Size (3.3.31)."""

    SIZE: int = bits(1, 0)        # 0: 2 entries, 1: 16, 2: 256
    SZCAP: int = bits(7, 4)       # a bit for each of these that there is


class RIRBWP(Bits, width=16):
    """RIRB Write Pointer (3.3.27)."""

    WP: int = bits(7, 0)
    RST: bool = bits(15)          # reads as 0


class RINTCNT(Bits, width=16):
    """Response Interrupt Count (3.3.28)."""

    N: int = bits(7, 0)           # 0: 256


class RIRBCTL(Bits, width=8):
    """RIRB Control (3.3.29)."""

    RINTCTL: bool = bits(0)       # Response Interrupt Control
    DMAEN: bool = bits(1)         # RIRB DMA Enable
    OIC: bool = bits(2)           # Response Overrun Interrupt Control


class RIRBSTS(Bits, width=8):
    """RIRB Status (3.3.30)."""

    RINTFL: bool = bits(0, w1c=True)  # Response Interrupt
    OIS: bool = bits(2, w1c=True)  # Response Overrun Interrupt Status


class ICIS(Bits, width=16):
    """Immediate Command Status (3.4.3)."""

    ICB: bool = bits(0)           # Immediate Command Busy: written 1 to send
    IRV: bool = bits(1, w1c=True)  # Immediate Result Valid


class DPLBASE(Bits):
    """DMA Position Lower Base Address (3.3.32)."""

    DPBE: bool = bits(0)          # DMA Position Buffer Enable
    BASE: int = bits(31, 7)       # address bits 31:7


class HdaRegs(Block):
    """The controller's registers, BAR0 (3.3, table 4)."""

    GCAP = ro(0x00, GCAP)
    VMIN = ro(0x02, Minor)
    VMAJ = ro(0x03, Major)
    GCTL = rw(0x08, GCTL)
    WAKEEN = rw(0x0C, WAKEEN)
    STATESTS = rw(0x0E, STATESTS)
    INTCTL = rw(0x20, INTCTL)
    INTSTS = ro(0x24, INTSTS)
    WALCLK = ro(0x30, Word)       # Wall Clock Counter, 24 MHz
    CORBLBASE = rw(0x40, Word)
    CORBUBASE = rw(0x44, Word)
    CORBWP = rw(0x48, CORBWP)
    CORBRP = rw(0x4A, CORBRP)
    CORBCTL = rw(0x4C, CORBCTL)
    CORBSTS = rw(0x4D, CORBSTS)
    CORBSIZE = rw(0x4E, RingSize)
    RIRBLBASE = rw(0x50, Word)
    RIRBUBASE = rw(0x54, Word)
    RIRBWP = rw(0x58, RIRBWP)
    RINTCNT = rw(0x5A, RINTCNT)
    RIRBCTL = rw(0x5C, RIRBCTL)
    RIRBSTS = rw(0x5D, RIRBSTS)
    RIRBSIZE = rw(0x5E, RingSize)
    ICOI = rw(0x60, Word)         # Immediate Command Output Interface
    ICII = ro(0x64, Word)         # Immediate Command Input Interface
    ICIS = rw(0x68, ICIS)
    DPLBASE = rw(0x70, DPLBASE)
    DPUBASE = rw(0x74, Word)


# -- streams (3.3.35 to 3.3.43) --------------------------------------------------------------------

STREAM_BASE = 0x80                # of the first descriptor: inputs, then outputs, then both ways
STREAM_STRIDE = 0x20
STREAM_BYTES = 0x20


class SDCTL(Bits, width=8):
    """Stream Descriptor Control, its lowest byte (3.3.35)."""

    SRST: bool = bits(0)          # Stream Reset
    RUN: bool = bits(1)           # Stream Run
    IOCE: bool = bits(2)          # Interrupt On Completion Enable
    FEIE: bool = bits(3)          # FIFO Error Interrupt Enable
    DEIE: bool = bits(4)          # Descriptor Error Interrupt Enable


class SDTAG(Bits, width=8):
    """Stream Descriptor Control, bits 23:16 (3.3.35)."""

    STRIPE: int = bits(1, 0)
    TP: bool = bits(2)            # Traffic Priority
    DIR: bool = bits(3)           # of a bidirectional stream: 1 is output
    STRM: int = bits(7, 4)        # Stream Number; 0 is none


class SDSTS(Bits, width=8):
    """Stream Descriptor Status (3.3.36)."""

    BCIS: bool = bits(2, w1c=True)  # Buffer Completion Interrupt Status
    FIFOE: bool = bits(3, w1c=True)  # FIFO Error
    DESE: bool = bits(4, w1c=True)  # Descriptor Error
    FIFORDY: bool = bits(5)       # FIFO Ready


class SDLVI(Bits, width=16):
    """Last Valid Index (3.3.39)."""

    LVI: int = bits(7, 0)


class SDFIFOS(Bits, width=16):
    """FIFO Size (3.3.40), in bytes less one."""

    FIFOS: int = bits(15, 0)


class Base(SpecEnum):
    """FMT.BASE (3.7.1)."""

    HZ_48000 = 0
    HZ_44100 = 1


class FMT(Bits, width=16):
    """Stream format, of a descriptor (3.3.41) and of a converter (3.7.1)."""

    CHAN: int = bits(3, 0)        # Number of Channels, less one
    BITS: int = bits(6, 4)        # Bits per Sample: 1 is 16
    DIV: int = bits(10, 8)        # Sample Base Rate Divisor, less one
    MULT: int = bits(13, 11)      # Sample Base Rate Multiple, less one
    BASE: Base = bits(14)         # Sample Base Rate


BITS_16 = 1


class StreamRegs(Block):
    """One stream descriptor."""

    CTL = rw(0x00, SDCTL)
    TAG = rw(0x02, SDTAG)
    STS = rw(0x03, SDSTS)
    LPIB = ro(0x04, Word)         # Link Position in Current Buffer
    CBL = rw(0x08, Word)          # Cyclic Buffer Length
    LVI = rw(0x0C, SDLVI)
    FIFOS = ro(0x10, SDFIFOS)
    FMT = rw(0x12, FMT)
    BDPL = rw(0x18, Word)         # Buffer Descriptor List Pointer, a multiple of 128
    BDPU = rw(0x1C, Word)


class BDLE(Struct, size=16):
    """Buffer Descriptor List Entry (3.6.3)."""

    ADDRESS: int = at(0, "Q")     # a multiple of 128
    LENGTH: int = at(8, "I")
    FLAGS: int = at(12, "I")


BDLE_IOC = 1                      # Interrupt on Completion
BDL_ALIGN = 128
POSITION_STRIDE = 8               # bytes of the position buffer for each stream (3.6.1)


# -- responses (4.4.2) -----------------------------------------------------------------------------


class RIRBE(Struct, size=8):
    """Response Input Ring Buffer entry (4.4.2.1)."""

    RESPONSE: int = at(0, "I")
    EX: int = at(4, "I")          # Response Extended


class ResponseEx(Bits):
    """RIRBE.EX."""

    SDI: int = bits(3, 0)         # which codec
    UNSOL: bool = bits(4)         # nobody has asked
