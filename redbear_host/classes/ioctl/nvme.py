"""NVMe passthrough: what an ioctl asks for, and how many bytes the controller will move for it.

Ref: NVM Express Base Specification 2.0c clause 5, NVM Command Set Specification 1.0c clause 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from redbear_host.abi import ioctls
from redbear_host.classes.commands import NvmeCommand

PAGE: Final = 4096
IDENTIFY: Final = 0x06
FORMAT: Final = 0x80
GET_LOG_PAGE: Final = 0x02
SMART_LOG: Final = 0x02  # log page
SMART_LOG_BYTES: Final = 512
EVERY_NAMESPACE: Final = 0xFFFF_FFFF

_ADMIN: Final = (ioctls.NVME_IOCTL_ADMIN_CMD, ioctls.NVME_IOCTL_ADMIN64_CMD)


def parse(ioctl: int, head: bytes) -> tuple[NvmeCommand, int]:
    """Read `struct nvme_passthru_cmd` or its 64-bit form; return how many bytes it has room for."""
    opcode, _flags, nsid, cdw2, cdw3, _, _, _, size, *rest = ioctls.NVME_IN.unpack_from(head)
    cdw10, cdw11, cdw12, cdw13, cdw14, cdw15, timeout_ms = rest
    command = NvmeCommand(
        admin=ioctl in _ADMIN,
        opcode=opcode,
        nsid=nsid,
        cdw2=cdw2,
        cdw3=cdw3,
        cdw10=cdw10,
        cdw11=cdw11,
        cdw12=cdw12,
        cdw13=cdw13,
        cdw14=cdw14,
        cdw15=cdw15,
        timeout_ms=timeout_ms,
    )
    return command, size


def result(ioctl: int, value: int) -> bytes:
    """Pack dword 0 of the completion as the ioctl returns it."""
    return value.to_bytes(ioctls.LAYOUTS[ioctl].out_size, "little")


def _dwords_10(command: NvmeCommand) -> int:
    return (command.cdw10 + 1) * 4


def _log(command: NvmeCommand) -> int:
    return ((command.cdw10 >> 16 | (command.cdw11 & 0xFFFF) << 16) + 1) * 4


_ADMIN_MOVES: Final[dict[int, Callable[[NvmeCommand], int]]] = {
    0x02: _log,  # Get Log Page: NUMD
    0x06: lambda command: PAGE,  # Identify
    0x11: _dwords_10,  # Firmware Image Download: NUMD
    0x19: _dwords_10,  # Directive Send: NUMD
    0x1A: _dwords_10,  # Directive Receive: NUMD
    0x81: lambda command: command.cdw11,  # Security Send: TL
    0x82: lambda command: command.cdw11,  # Security Receive: AL
    0x86: lambda command: (command.cdw12 + 1) * 4,  # Get LBA Status: MNDW
}
_IO_MOVES: Final[dict[int, Callable[[NvmeCommand], int]]] = {
    0x09: lambda command: ((command.cdw10 & 0xFF) + 1) * 16,  # Dataset Management: NR
    0x0E: _dwords_10,  # Reservation Report: NUMD
}
_MOVES_DATA: Final = 3  # bits of an opcode: to the controller, from it (NVMe 2.0c, 3.1)
_OF_BLOCKS: Final = frozenset((0x01, 0x02, 0x05))  # Write, Read, Compare: NLB


def keeps_layout(command: NvmeCommand, namespace: bytes) -> bool:
    """Tell whether a Format NVM leaves blocks, metadata and protection of a namespace as they are.

    `namespace` is its Identify data.  (NVMe 2.0c, figure 329; NVM Command Set 1.0c, figure 97.)
    """
    flbas, dps, asked = namespace[26], namespace[29], command.cdw10
    layout = flbas & 0xF, flbas >> 5 & 3, flbas >> 4 & 1, dps & 7
    return layout == (asked & 0xF, asked >> 12 & 3, asked >> 4 & 1, asked >> 5 & 7)


def says_how_much(command: NvmeCommand) -> bool:
    """Tell whether the command itself says how many bytes it moves."""
    if command.admin:
        return command.opcode in _ADMIN_MOVES
    return command.opcode in _IO_MOVES or command.opcode in _OF_BLOCKS


def moves(command: NvmeCommand, size: int, block_size: int) -> int:
    """Return how many bytes the controller moves, whatever room the client says there is.

    It knows nothing of that room.  Where the command does not say, it is a page at most or what
    the client said; a page also where he said none: Get Features writes what a feature has to the
    address it was given, and to 0 if it was given none.
    """
    if not command.admin and command.opcode in _OF_BLOCKS:
        return ((command.cdw12 & 0xFFFF) + 1) * block_size
    told = (_ADMIN_MOVES if command.admin else _IO_MOVES).get(command.opcode)
    if told is not None:
        return told(command)
    return max(size, PAGE) if size or command.opcode & _MOVES_DATA else 0
