"""NVM commands of the modelled controller (section 6)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from redbear_host.models.nvme.rings import Sqe

if TYPE_CHECKING:
    from redbear_host.models.nvme.controller import NvmeModel

FLUSH, WRITE, READ, WRITE_ZEROES, DATASET_MANAGEMENT = 0x00, 0x01, 0x02, 0x08, 0x09
SUCCESS, INVALID_OPCODE, INVALID_FIELD, INVALID_NAMESPACE = 0x00, 0x01, 0x02, 0x0B
WRITE_PROTECTED, LBA_OUT_OF_RANGE = 0x20, 0x80
ONCS_DSM, ONCS_WRITE_ZEROES = 0x04, 0x08


class NvmCommands:
    """Executes I/O commands on the model's media."""

    def __init__(self, model: NvmeModel) -> None:
        """Made by `NvmeModel`."""
        self._model: Final = model

    def execute(self, sqe: Sqe) -> int:
        """Do it; return the status code."""
        medium = self._model.media.get(sqe.nsid)
        if medium is None:
            return INVALID_NAMESPACE
        if sqe.opcode == FLUSH:
            medium.flush()
            return SUCCESS
        if sqe.opcode == DATASET_MANAGEMENT and self._model.oncs & ONCS_DSM:
            return self._deallocate(sqe)
        zeroes = sqe.opcode == WRITE_ZEROES and bool(self._model.oncs & ONCS_WRITE_ZEROES)
        if sqe.opcode not in (READ, WRITE) and not zeroes:
            return INVALID_OPCODE
        if sqe.slba + sqe.blocks > medium.blocks:
            return LBA_OUT_OF_RANGE
        if sqe.opcode != READ and medium.write_protected:
            return WRITE_PROTECTED
        if zeroes:
            for lba in range(sqe.slba, sqe.slba + sqe.blocks):
                medium.write(lba, bytes(medium.block_size))
            return SUCCESS
        return self._transfer(sqe)

    def _transfer(self, sqe: Sqe) -> int:
        model = self._model
        medium = model.media[sqe.nsid]
        size = sqe.blocks * medium.block_size
        if model.mdts and size > (4096 << model.mpsmin) << model.mdts:
            model.violations.append(f"a transfer of {size} bytes is longer than MDTS allows")
            return INVALID_FIELD
        pieces = model.transfer(sqe, size)
        if isinstance(pieces, int):
            return pieces
        lbas = range(sqe.slba, sqe.slba + sqe.blocks)
        if sqe.opcode == READ:
            data = memoryview(b"".join(medium.read(lba) for lba in lbas))
            for piece in pieces:
                piece[:], data = data[: len(piece)], data[len(piece) :]
        else:
            data = memoryview(b"".join(pieces))
            for index, lba in enumerate(lbas):
                start = index * medium.block_size
                medium.write(lba, bytes(data[start : start + medium.block_size]))
        return SUCCESS

    def _deallocate(self, sqe: Sqe) -> int:
        medium = self._model.media[sqe.nsid]
        count = (sqe.dwords[0] & 0xFF) + 1
        pieces = self._model.transfer(sqe, 16 * count)
        if isinstance(pieces, int):
            return pieces
        for _, length, slba in struct.iter_unpack("<IIQ", b"".join(pieces)):
            if slba + length > medium.blocks:
                return LBA_OUT_OF_RANGE
            if sqe.dwords[1] & 4:
                for lba in range(slba, slba + length):
                    medium.write(lba, bytes(medium.block_size))
        return SUCCESS
