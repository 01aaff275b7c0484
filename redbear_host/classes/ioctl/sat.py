"""ATA PASS-THROUGH: an ATA command inside a SCSI command.

Ref: SAT-4 (INCITS 557) 12.2: the commands of 12 and 16 bytes, what they return.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from redbear_host.classes.commands import AtaCommand, Transfer

PASS_THROUGH_12: Final = 0xA1
PASS_THROUGH_16: Final = 0x85

_NON_DATA, _PIO_IN, _PIO_OUT, _DMA, _UDMA_IN, _UDMA_OUT = 3, 4, 5, 6, 10, 11  # PROTOCOL
_NO_DATA, _IN_FEATURES, _IN_COUNT, _WHOLE = range(4)  # T_LENGTH
_FROM_DEVICE: Final = 1 << 3  # T_DIR
_IN_BLOCKS: Final = 1 << 2  # BYT_BLOK
_LOGICAL_BLOCKS: Final = 1 << 4  # T_TYPE
_CK_COND: Final = 1 << 5
_SECTOR: Final = 512


class Translated(NamedTuple):
    """An ATA command, how many bytes it moves, and whether its registers are asked for."""

    command: AtaCommand
    size: int
    asks: bool


def translate(cdb: bytes, data_size: int, block_size: int) -> Translated | None:
    """Take the ATA command out; None for what cannot be.

    `data_size` is how many bytes the client gave room for, or brought.
    """
    if cdb[0] == PASS_THROUGH_12 and len(cdb) >= 12:
        extended = False
        feature, count = cdb[3], cdb[4]
        lba = cdb[5] | cdb[6] << 8 | cdb[7] << 16
        device, command = cdb[8], cdb[9]
    elif cdb[0] == PASS_THROUGH_16 and len(cdb) >= 16:
        extended = bool(cdb[1] & 1)
        feature, count = cdb[3] << 8 | cdb[4], cdb[5] << 8 | cdb[6]
        lba = cdb[8] | cdb[10] << 8 | cdb[12] << 16
        lba |= cdb[7] << 24 | cdb[9] << 32 | cdb[11] << 40
        if not extended:
            feature, count, lba = feature & 0xFF, count & 0xFF, lba & 0xFF_FFFF
        device, command = cdb[13], cdb[14]
    else:
        return None
    if not extended:
        lba |= (device & 0xF) << 24  # bits 27:24 of a 28-bit address
    transfer = _transfer(cdb[1] >> 1 & 0xF, bool(cdb[2] & _FROM_DEVICE))
    if transfer is None:
        return None
    size = 0
    if transfer is not Transfer.NON_DATA:
        size = _size(cdb[2], feature, count, data_size, block_size)
        if not 0 < size <= data_size:
            return None
    taken = AtaCommand(
        command=command,
        transfer=transfer,
        feature=feature,
        count=count,
        lba=lba,
        device=device,
        extended=extended,
    )
    return Translated(taken, size, bool(cdb[2] & _CK_COND))


def _transfer(protocol: int, from_device: bool) -> Transfer | None:
    if protocol == _DMA:
        return Transfer.DMA_IN if from_device else Transfer.DMA_OUT
    known = {
        _NON_DATA: Transfer.NON_DATA,
        _PIO_IN: Transfer.PIO_IN,
        _PIO_OUT: Transfer.PIO_OUT,
        _UDMA_IN: Transfer.DMA_IN,
        _UDMA_OUT: Transfer.DMA_OUT,
    }
    found = known.get(protocol)
    if found in (Transfer.PIO_IN, Transfer.DMA_IN) and not from_device:
        return None
    if found in (Transfer.PIO_OUT, Transfer.DMA_OUT) and from_device:
        return None
    return found


def _size(byte: int, feature: int, count: int, data_size: int, block_size: int) -> int:
    """Return the bytes that T_LENGTH, BYT_BLOK and T_TYPE name; 0 for none."""
    kind = byte & 3
    if kind == _NO_DATA:
        return 0
    if kind == _WHOLE:
        return data_size
    number = feature if kind == _IN_FEATURES else count
    if not byte & _IN_BLOCKS:
        return number
    return number * (block_size if byte & _LOGICAL_BLOCKS else _SECTOR)
