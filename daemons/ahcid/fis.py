"""Frame information structures: what a command looks like on the wire, and what comes back.

A command is five dwords (SATA, 10.3.4).  Its registers lie there as ATA has them: Features and
Count have 16 bits, the LBA 48, each half of them in another dword.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from daemons.ahcid.regs import (
    DEVICE_LBA,
    H2D_COMMAND,
    PACKET_DMA,
    PACKET_DMADIR,
    RECEIVED_PSFIS,
    RECEIVED_RFIS,
    Ata,
    FisType,
    HeaderDw0,
    PioSetup,
    RegisterD2H,
)
from redbear_host.classes.commands import AtaCommand, AtaResult, Transfer

LENGTH: Final = 5  # dwords of a Register FIS - Host to Device
HOST_TO_DEVICE: Final = FisType.REGISTER_H2D | H2D_COMMAND << 8
_QUEUED: Final = (
    Ata.READ_FPDMA_QUEUED,
    Ata.WRITE_FPDMA_QUEUED,
    Ata.NCQ_QUEUE_MANAGEMENT,
    Ata.SEND_FPDMA_QUEUED,
    Ata.RECEIVE_FPDMA_QUEUED,
)
_OUT: Final = (Transfer.PIO_OUT, Transfer.DMA_OUT)
_PACKETS: Final = (12, 16)  # bytes
_PIO_LIMIT: Final = 0xFFFE  # the largest even byte count a packet device may be asked for


class Frame(NamedTuple):
    """A command, ready to be stored: dwords 0 to 3 of its FIS, and of its header what is fixed."""

    dw0: int
    dw1: int
    dw2: int
    dw3: int
    header: int  # HeaderDw0 without PRDTL
    packet: bytes = b""


def word(command: int, /) -> int:
    """Dword 0 of a command's FIS, with Features 7:0 still zero."""
    return HOST_TO_DEVICE | command << 16


def header(*, write: bool = False, packet: bool = False) -> int:
    """Dword 0 of a command header, with PRDTL still zero."""
    return HeaderDw0(CFL=LENGTH, W=write, A=packet).raw


def ext(command: int, lba: int = 0, count: int = 0, feature: int = 0, write: bool = False) -> Frame:
    """Make a 48-bit command; `lba`, `count` and `feature` fit in 48, 16 and 16 bits."""
    return Frame(
        word(command) | (feature & 0xFF) << 24,
        lba & 0xFF_FFFF | DEVICE_LBA << 24,
        lba >> 24 | feature >> 8 << 24,
        count,
        header(write=write),
    )


def short(
    command: int, lba: int = 0, count: int = 0, feature: int = 0, write: bool = False
) -> Frame:
    """Make a 28-bit command; the upper four bits of its address are in the Device register."""
    return Frame(
        word(command) | feature << 24,
        lba & 0xFF_FFFF | (DEVICE_LBA | lba >> 24) << 24,
        0,
        count & 0xFF,
        header(write=write),
    )


def packet(cdb: bytes, size: int, *, to_device: bool, dma: bool, dmadir: bool) -> Frame:
    """Make a PACKET command that moves `size` bytes; `cdb` has 12 or 16 (ACS-3, 7.19)."""
    dma = dma and size > 0
    feature = PACKET_DMA * dma | PACKET_DMADIR * (dma and dmadir and not to_device)
    limit = min((size + 1) & ~1, _PIO_LIMIT)  # Byte Count Limit, in LBA 23:8; for PIO only
    return Frame(
        word(Ata.PACKET) | feature << 24,
        0 if dma else limit << 8,
        0,
        0,
        header(write=to_device, packet=True),
        cdb,
    )


def of(command: AtaCommand, size: int, *, dma: bool = True, dmadir: bool = False) -> Frame | None:
    """Return the frame of a client's command, or None for one this driver must not be given.

    Queued commands are the driver's own: their tags are slots.  A register that does not fit is the
    client's mistake.
    """
    it = command
    top, bits = (0xFFFF, 48) if it.extended else (0xFF, 28)
    fits = (
        0 <= it.command <= 0xFF
        and 0 <= it.feature <= top
        and 0 <= it.count <= top
        and 0 <= it.lba < 1 << bits
        and 0 <= it.device <= 0xFF
    )
    if not fits or it.command in _QUEUED or (size == 0) != _moves_nothing(it, size):
        return None
    if it.transfer is Transfer.PACKET:
        if len(it.packet) not in _PACKETS:
            return None
        return packet(it.packet, size, to_device=not it.data_in, dma=dma, dmadir=dmadir)
    if it.command == Ata.PACKET:
        return None
    write = it.transfer in _OUT
    made = (ext if it.extended else short)(it.command, it.lba, it.count, it.feature, write)
    device = it.device if it.extended else it.device | it.lba >> 24
    return made._replace(dw1=it.lba & 0xFF_FFFF | device << 24)


def _moves_nothing(command: AtaCommand, size: int) -> bool:
    if command.transfer is Transfer.PACKET:
        return size == 0
    return command.transfer is Transfer.NON_DATA


def result(received: memoryview, taskfile: int, moved: int, /) -> AtaResult:
    """Read how a command ended from the received FIS structure and PxTFD.

    The structure is cleared before each command, so what lies there is this one's.  A PIO read ends
    with a PIO Setup FIS; everything else, and everything that fails, with a Register FIS.
    """
    status, error = taskfile & 0xFF, taskfile >> 8 & 0xFF
    fis = RegisterD2H.load(received, RECEIVED_RFIS)
    if fis.TYPE == FisType.REGISTER_D2H:
        low, high, count = fis.LBA_LOW, fis.LBA_HIGH, fis.COUNT
    else:
        pio = PioSetup.load(received, RECEIVED_PSFIS)
        if pio.TYPE != FisType.PIO_SETUP:
            return AtaResult(0, status, error, moved=moved)
        low, high, count = pio.LBA_LOW, pio.LBA_HIGH, pio.COUNT
    lba = low & 0xFF_FFFF | (high & 0xFF_FFFF) << 24
    return AtaResult(0, status, error, count, lba, low >> 24, moved)
