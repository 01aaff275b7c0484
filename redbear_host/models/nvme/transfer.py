"""Data of a command: where its PRPs say it is (4.3)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from redbear_host.models.function import Host
from redbear_host.models.nvme.rings import Sqe

PRP_OFFSET_INVALID, DATA_TRANSFER_ERROR = 0x13, 0x04


def transfer(
    host: Host, page: int, sqe: Sqe, size: int, violations: list[str]
) -> Sequence[memoryview] | int:
    """Return the pieces of memory that hold `size` bytes, in order, or a status code."""
    spans = [(sqe.prp1, min(page - sqe.prp1 % page, size))]
    left = size - spans[0][1]
    if left and left <= page:
        spans.append((sqe.prp2, left))
    elif left:
        addresses = _list(host, page, sqe.prp2, -(-left // page))
        for index, address in enumerate(addresses):
            spans.append((address, min(page, left - index * page)))
    if any(address % page for address, _ in spans[1:]):
        violations.append(f"command {sqe.opcode:#x} has a PRP inside a page: {spans}")
        return PRP_OFFSET_INVALID
    found = [host.memory(*span, "transferring data") for span in spans]
    pieces = [piece for piece in found if piece is not None]
    return pieces if len(pieces) == len(found) else DATA_TRANSFER_ERROR


def _list(host: Host, page: int, where: int, count: int) -> list[int]:
    addresses: list[int] = []
    while count:
        room = min((page - where % page) // 8, count)
        memory = host.memory(where, 8 * room, "reading a PRP list")
        if memory is None:
            return []
        entries = struct.unpack(f"<{room}Q", memory)
        if count > room:  # the last entry points at the next list
            entries, where = entries[:-1], entries[-1]
        addresses += entries
        count -= len(entries)
    return addresses
