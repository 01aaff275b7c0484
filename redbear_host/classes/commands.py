"""Commands a disk's driver forwards for the programs that speak the device's own language.

smartctl, hdparm and nvme-cli reach them through ioctls of the disk's file.  A driver that
implements `AtaCommands` or `NvmeCommands` beside `redbear_host.classes.disk.Disk` executes what it
is given and judges nothing but what would make it lose the device itself: which commands a client
may send is decided before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias, runtime_checkable

from redbear_host.classes.disk import Chunk


class Transfer(Enum):
    """How an ATA command moves data (ACS-3, 4.2: its protocol)."""

    NON_DATA = 0
    PIO_IN = 1  # device to host
    PIO_OUT = 2
    DMA_IN = 3
    DMA_OUT = 4
    PACKET = 5  # a SCSI command in `AtaCommand.packet`, data as `AtaCommand.data_in` says


@dataclass(frozen=True, slots=True)
class AtaCommand:
    """One ATA command as the host writes it (ACS-3, 4.3); `extended` for 48 bits."""

    command: int
    transfer: Transfer
    feature: int = 0  # 8 bits, or 16 if extended
    count: int = 0  # 8 bits, or 16 if extended
    lba: int = 0  # 28 bits, or 48 if extended
    device: int = 0  # 8 bits
    extended: bool = False
    packet: bytes = b""  # 12 or 16 bytes of SCSI command for `Transfer.PACKET`
    data_in: bool = True
    timeout_ms: int = 0  # 0, or less than the driver's own: that


@dataclass(frozen=True, slots=True)
class AtaResult:
    """How it ended (ACS-3, 9): the registers the device wrote last.

    `errno` is 0 when the device answered, also with an error of its own (ERR in `status`); else it
    is the errno (Redox's) of a command that timed out or whose device has left.
    """

    errno: int
    status: int = 0
    error: int = 0
    count: int = 0
    lba: int = 0
    device: int = 0
    moved: int = 0  # bytes of data the device moved


AtaDone: TypeAlias = Callable[[AtaResult], object]


@runtime_checkable
class AtaCommands(Protocol):
    """An ATA or ATAPI device that takes commands as they are."""

    @property
    def identify(self) -> bytes:
        """IDENTIFY DEVICE or IDENTIFY PACKET DEVICE as it answered at the start, 512 bytes."""
        ...

    def chunk(self, size: int, /) -> Chunk:
        """Prepare memory for transfers of up to `size` bytes; raises `MemoryError` when full."""
        ...

    def ata(self, command: AtaCommand, chunk: Chunk | None, size: int, done: AtaDone, /) -> None:
        """Execute a command that moves `size` bytes to or from the start of `chunk`.

        It waits until what is under way can be shared with it, and ends by `done`, exactly once.
        """
        ...


@dataclass(frozen=True, slots=True)
class NvmeCommand:
    """One NVMe command, less what the driver fills in: its identifier and its data pointer."""

    admin: bool  # for the admin queue, else for an I/O queue
    opcode: int
    nsid: int = 0
    cdw2: int = 0
    cdw3: int = 0
    cdw10: int = 0
    cdw11: int = 0
    cdw12: int = 0
    cdw13: int = 0
    cdw14: int = 0
    cdw15: int = 0
    timeout_ms: int = 0  # 0: the driver's own


@dataclass(frozen=True, slots=True)
class NvmeResult:
    """How it ended: `status` is the completion's Status Field without phase (0: success)."""

    errno: int  # 0 when the controller answered, also with an error of its own
    status: int = 0
    result: int = 0  # dword 0 of the completion


NvmeDone: TypeAlias = Callable[[NvmeResult], object]


@runtime_checkable
class NvmeCommands(Protocol):
    """An NVMe namespace (or its controller) that takes commands as they are."""

    def chunk(self, size: int, /) -> Chunk:
        """Prepare memory for transfers of up to `size` bytes; raises `MemoryError` when full."""
        ...

    def nvme(self, command: NvmeCommand, chunk: Chunk | None, size: int, done: NvmeDone, /) -> None:
        """Execute a command that moves `size` bytes to or from the start of `chunk`."""
        ...
