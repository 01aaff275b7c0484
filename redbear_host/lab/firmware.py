"""The lab machine's firmware: it sleeps, and turns PCI interrupt lines into doorbell writes.

A lab QEMU has one processor and no guest.  Message interrupts need no help: they are memory writes
and go straight to the doorbell (doorbell.py).  An INTx line ends at the I/O APIC, so the processor
takes it from there: it masks the line, then rings the doorbell.  A second kind of interrupt, sent
by whoever owns the function, tells it to unmask the line again.  Only the processor touches the
I/O APIC, with interrupts off, so any number of lines can be in use at once.

Ref: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2 (instructions), volume 3
("SDM3") 7.11 (interrupt descriptors), 10.1.4 (first instruction), 11 (local APIC); Intel 82093AA
I/O APIC data sheet, 3.0.
"""

from __future__ import annotations

import struct
from typing import Final

LINES: Final = 8  # q35 brings PIRQA to PIRQH to inputs 16 to 23 of the I/O APIC (ICH9, 5.8)
SERIO: Final = (1, 12)  # inputs of keyboard and mouse: edges, which nobody masks

_FIRST_INPUT: Final = 16
_FIRE: Final = 0x30  # vector of line 0; all in one priority class, so handlers do not nest
_UNMASK: Final = 0x40  # vector that unmasks line 0
_SPURIOUS: Final = 0x5F
_VECTORS: Final = 0x60

_IO_APIC: Final = 0xFEC0_0000
_IOREGSEL: Final = _IO_APIC + 0x00
_IOWIN: Final = _IO_APIC + 0x10
_IOREDTBL: Final = 0x10  # index of the first redirection entry, two words each
_LEVEL: Final = 1 << 15
_MASKED: Final = 1 << 16

_LOCAL_APIC: Final = 0xFEE0_0000
_EOI: Final = _LOCAL_APIC + 0xB0
_SVR: Final = _LOCAL_APIC + 0xF0
_APIC_ENABLE: Final = 1 << 8

_STACK: Final = 0x7000  # in RAM that no arena holds

AWAKE: Final = 0x2000  # where in RAM the firmware writes `AWAKE_VALUE` once lines work
AWAKE_VALUE: Final = 0x656B_6177

_SIZE: Final = 0x1_0000
_BASE: Final = (1 << 32) - _SIZE  # the ROM ends where the address space ends
_IDT, _GDT, _POINTERS, _START, _AWAKE, _HANDLERS = 0x0000, 0x0400, 0x0440, 0x0480, 0x0500, 0x1000
_HANDLER_SIZE: Final = 64
_IRET: Final = b"\xcf"


def unmask_message(line: int) -> tuple[int, int]:
    """Return address and 32-bit value of the write that lets `line` through again (SDM3 11.11)."""
    return _LOCAL_APIC, _UNMASK + line


def firmware(doorbell: int, first: int) -> bytes:
    """Build the ROM; line n, then keyboard and mouse, write `first + n` to address `doorbell`."""
    rom = bytearray(b"\xf4" * _SIZE)

    def put(offset: int, content: bytes) -> None:
        rom[offset : offset + len(content)] = content

    for vector in range(_VECTORS):
        handler = _BASE + _HANDLERS + _HANDLER_SIZE * vector
        # 32-bit interrupt gate, present: interrupts are off in the handler.
        gate = struct.pack("<HHHH", handler & 0xFFFF, 8, 0x8E00, handler >> 16)
        put(_IDT + 8 * vector, gate)
        put(_HANDLERS + _HANDLER_SIZE * vector, _IRET)
    for line in range(LINES):
        # Mask before ringing: whoever hears the bell may want to unmask at once.
        fire = (
            _redirect(_FIRST_INPUT + line, _level(line, _MASKED))
            + _store(doorbell, first + line)
            + _store(_EOI, 0)
            + _IRET
        )
        unmask = _redirect(_FIRST_INPUT + line, _level(line, 0)) + _store(_EOI, 0) + _IRET
        put(_HANDLERS + _HANDLER_SIZE * (_FIRE + line), fire)
        put(_HANDLERS + _HANDLER_SIZE * (_UNMASK + line), unmask)
    for number in range(len(SERIO)):
        ring = _store(doorbell, first + LINES + number) + _store(_EOI, 0) + _IRET
        put(_HANDLERS + _HANDLER_SIZE * (_FIRE + LINES + number), ring)

    # Flat code and data segments.  Their accessed bits are set: a ROM cannot be written.
    put(_GDT, struct.pack("<QQQ", 0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF))
    put(_POINTERS, struct.pack("<HI2xHI", 23, _BASE + _GDT, 8 * _VECTORS - 1, _BASE + _IDT))
    put(_SIZE - 16, b"\xe9" + struct.pack("<H", (_START - (_SIZE - 16 + 3)) & 0xFFFF))  # jmp
    put(
        _START,
        b"\xfa"  # cli
        + b"\x2e\x66\x0f\x01\x16" + struct.pack("<H", _POINTERS)  # lgdt cs:[…]
        + b"\x2e\x66\x0f\x01\x1e" + struct.pack("<H", _POINTERS + 8)  # lidt cs:[…]
        + b"\x0f\x20\xc0\x0c\x01\x0f\x22\xc0"  # mov eax, cr0; or al, PE; mov cr0, eax
        + b"\x66\xea" + struct.pack("<IH", _BASE + _AWAKE, 8),  # jmp far
    )  # fmt: skip
    put(
        _AWAKE,
        b"\xb8\x10\x00\x00\x00\x8e\xd8\x8e\xd0"  # mov eax, 16; mov ds, eax; mov ss, eax
        + b"\xbc" + struct.pack("<I", _STACK)  # mov esp, …
        + b"\xb0\xff\xe6\x21\xe6\xa1"  # mask all of both 8259s: the timer ticks for nobody
        + _store(_SVR, _APIC_ENABLE | _SPURIOUS)
        # Level-triggered before any device runs: an edge at a masked input is forgotten.
        + b"".join(_redirect(_FIRST_INPUT + n, _level(n, _MASKED)) for n in range(LINES))
        + b"".join(_redirect(pin, _FIRE + LINES + n) for n, pin in enumerate(SERIO))
        + _store(AWAKE, AWAKE_VALUE)
        + b"\xfb\xf4\xeb\xfd",  # sti; hlt; jmp to the hlt
    )  # fmt: skip
    return bytes(rom)


def _store(address: int, value: int) -> bytes:
    return b"\xc7\x05" + struct.pack("<II", address, value)  # mov dword [address], value


def _level(line: int, mask: int) -> int:
    return mask | _LEVEL | _FIRE + line


def _redirect(pin: int, entry: int) -> bytes:
    # Entry: fixed delivery to APIC 0 (the upper word stays as it is after reset, zero).
    return _store(_IOREGSEL, _IOREDTBL + 2 * pin) + _store(_IOWIN, entry)
