"""The ioctls of a disk's file.

Ref: Linux uapi headers linux/fs.h, linux/hdreg.h, scsi/sg.h, linux/nvme_ioctl.h.

Facts are asked for by number and told; commands go to the disk as they are, if the file is that of
a whole disk.  A command that a daemon's death caught is not run again: nobody knows whether the
device has done it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from redbear_host.abi import errno as e
from redbear_host.abi import ioctls as i
from redbear_host.classes.commands import AtaCommands, NvmeCommand, NvmeCommands
from redbear_host.classes.ioctl import facts, nvme
from redbear_host.classes.ioctl.allowed import nvme_is_the_drivers, nvme_reads
from redbear_host.classes.ioctl.forward import Forwarder
from redbear_host.classes.ioctl.scsi import Target
from redbear_host.classes.ioctl.sgio import fetched, sg_io
from redbear_host.classes.ioctl.story import Asked, Story, Turns, tell
from redbear_host.classes.opens import OpenDisk
from redbear_host.classes.volumes import WHOLE
from redbear_host.errors import Refused
from redbear_host.scheme.clients import ClientMemory, Stored
from redbear_host.scheme.request import LATER, Later, Request

_SG_VERSION: Final = 30527  # 3.5.27, what Linux's block layer says
_SG_SEGMENTS: Final = 128
_SECTOR: Final = 512
_HEADS, _SECTORS = 255, 63
_JIFFIES_PER_S: Final = 100  # what user space is told in (USER_HZ)
_TIMEOUT_S: Final = 60
_COMMANDS_MOST: Final = 32  # whose data are here, up to 1 MiB each; others have theirs themselves

_NVME: Final = (
    i.NVME_IOCTL_ADMIN_CMD, i.NVME_IOCTL_IO_CMD, i.NVME_IOCTL_ADMIN64_CMD, i.NVME_IOCTL_IO64_CMD,
)  # fmt: skip
_CHANGES: Final = (i.BLKDISCARD, i.BLKZEROOUT)

Reread = Callable[[OpenDisk, Callable[[], None]], object]
"""Reads a disk's partition table again and calls back."""


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


class Ioctls:
    """Those of all disks of a scheme."""

    def __init__(self, scheme: str, destructive: bool, reread: Reread) -> None:
        self._scheme: Final = scheme
        self._destructive: Final = destructive
        self._reread: Final = reread
        self._targets: Final[dict[int, tuple[Target, Forwarder | None]]] = {}
        self._commands: Final = Turns(_COMMANDS_MOST)
        self._told: Final[dict[int, Callable[[OpenDisk], bytes]]] = {
            i.BLKROGET: lambda file: _u32(not file.io.disk.writable),
            i.BLKGETSIZE: lambda file: _u64(file.size // _SECTOR),
            i.BLKRAGET: lambda file: _u64(0),
            i.BLKSECTGET: lambda file: _u16(min(file.io.disk.max_transfer // _SECTOR, 0xFFFF)),
            i.BLKSSZGET: lambda file: _u32(file.io.block_size),
            i.BLKIOMIN: lambda file: _u32(_physical(file)),
            i.BLKIOOPT: lambda file: _u32(0),
            i.BLKALIGNOFF: lambda file: _u32(-(file.first << file.io.shift) % _physical(file)),
            i.BLKPBSZGET: lambda file: _u32(_physical(file)),
            i.BLKDISCARDZEROES: lambda file: _u32(0),
            i.BLKROTATIONAL: lambda file: _u16(_rotates(file)),
            i.HDIO_GETGEO: _geometry,
            i.HDIO_GET_IDENTITY: _identity,
            i.SG_EMULATED_HOST: lambda file: _u32(1),
            i.SG_GET_RESERVED_SIZE: lambda file: _u32(i.MOST_DATA),
            i.SG_GET_SG_TABLESIZE: lambda file: _u32(_SG_SEGMENTS),
            i.SG_GET_VERSION_NUM: lambda file: _u32(_SG_VERSION),
            i.SCSI_IOCTL_GET_IDLUN: lambda file: _u32(0) + _u32(file.io.disk.number),
            i.SCSI_IOCTL_GET_BUS_NUMBER: lambda file: _u32(0),
        }

    def answer(self, file: OpenDisk, command: int, request: Request) -> bytes | int | Later:
        """Answer one ioctl; ENOTTY for those there are not."""
        if command == i.BLKGETSIZE64:
            return _u64(file.size)
        if command == i.BLKBSZGET:
            return _u32(file.io.block_size)
        if command == i.SG_GET_TIMEOUT:
            return _TIMEOUT_S * _JIFFIES_PER_S
        if command == i.NVME_IOCTL_ID:
            if not isinstance(file.io.disk, NvmeCommands):
                raise Refused(e.ENOTTY)
            return file.io.disk.number
        if command == i.BLKFLSBUF:
            tell(self._flush(file), request)
        elif command == i.BLKRRPART:
            if file.volume.part != WHOLE:
                raise Refused(e.EINVAL)
            self._reread(file, lambda: request.answer(0))
        elif request.memory is None:
            raise Refused(e.ENOTTY)
        else:
            tell(self._with_memory(file, command, request, request.memory), request)
        return LATER

    def _with_memory(
        self, file: OpenDisk, command: int, request: Request, memory: ClientMemory
    ) -> Story[int]:
        """Answer what needs the caller's memory."""
        told = self._told.get(command)
        if told is not None:
            return (yield from _give(memory, told(file)))
        if command in _CHANGES:
            return (yield from self._change(file, command, request, memory))
        if command in (i.SG_SET_TIMEOUT, i.SG_SET_RESERVED_SIZE):
            fetched((yield memory.fetch))  # nothing comes of it: both are what they are
            return 0
        if command != i.SG_IO and command not in _NVME:
            raise Refused(e.ENOTTY)
        if file.volume.part != WHOLE:
            raise Refused(e.ENOTTY)
        if request.replayed:
            raise Refused(e.EIO)
        yield self._commands.take
        try:
            if command == i.SG_IO:
                target, _ = self._target(file)
                file.wrote = file.wrote or (self._destructive and file.writable)
                return (yield from sg_io(target, memory, file.writable))
            return (yield from self._nvme(file, command, memory))
        finally:
            self._commands.give()

    def _target(self, file: OpenDisk) -> tuple[Target, Forwarder | None]:
        disk = file.io.disk
        found = self._targets.get(disk.number)
        if found is None:
            forwarder = None
            if isinstance(disk, AtaCommands | NvmeCommands):
                forwarder = Forwarder(file.io, disk)
            name = f"{self._scheme}/{disk.number}"
            target = Target(name, file.io, forwarder, destructive=self._destructive)
            found = self._targets[disk.number] = target, forwarder
        return found

    def _flush(self, file: OpenDisk) -> Story[int]:
        found = yield lambda told: file.io.flush(Asked(told))
        if isinstance(found, Refused):
            raise found
        return 0

    def _change(
        self, file: OpenDisk, command: int, request: Request, memory: ClientMemory
    ) -> Story[int]:
        """Zero bytes, or let the disk drop them, which leaves zeroes here as well."""
        if not file.writable:
            raise Refused(e.EBADF)
        start, length = i.RANGE.unpack(fetched((yield memory.fetch)).head)
        if (start | length) & (_SECTOR - 1) or start + length > file.size:
            raise Refused(e.EINVAL)
        if not length:
            return 0
        file.wrote = True
        file.grow(start, length)
        drop = command == i.BLKDISCARD

        def zero(told: Callable[[Any], object]) -> None:
            first = (file.first << file.io.shift) + start
            file.io.zero(first, length, drop, Asked(told), request)

        found = yield zero
        if isinstance(found, Refused):
            raise found
        return 0

    # -- NVMe --------------------------------------------------------------------------------------

    def _nvme(self, file: OpenDisk, ioctl: int, memory: ClientMemory) -> Story[int]:
        """Send a controller a command as it is; return its status."""
        target, forwarder = self._target(file)
        disk = file.io.disk
        if forwarder is None or not forwarder.speaks_nvme:
            raise Refused(e.ENOTTY)
        found = fetched((yield memory.fetch))
        named = i.ranges(ioctl, found.head)
        if named is None:
            raise Refused(e.EINVAL)
        command, size = nvme.parse(ioctl, found.head)
        what = f"NVMe {'admin' if command.admin else 'I/O'} command {command.opcode:#04x}"
        if nvme_is_the_drivers(command):
            target.complain(
                "%s/%d: %s is refused, as it is the driver's", self._scheme, disk.number, what
            )
            raise Refused(e.EPERM)
        alters = not nvme_reads(command)
        if alters:
            target.may_destroy(what, file.writable)
            if command.admin and command.opcode == nvme.FORMAT:
                yield from self._may_format(target, command, disk.number)
            file.wrote = True
        if not command.admin and command.nsid != disk.number:
            raise Refused(e.EINVAL)
        moves = nvme.moves(command, size, file.io.block_size)
        if moves > max(size, nvme.PAGE) or (not size and nvme.says_how_much(command)):
            raise Refused(e.EINVAL)  # the controller would go on behind what there is room for
        result, data = yield from forwarder.nvme(command, moves, found.data, alters=alters)
        if result.errno:
            raise Refused(result.errno)
        goes_back = data[:size] if named.way in (i.Way.IN, i.Way.BOTH) else b""
        head = nvme.result(ioctl, result.result)
        stored: Stored = yield partial(memory.store, head=head, data=goes_back)
        if stored.errno:
            raise Refused(stored.errno)
        return result.status

    def _may_format(self, target: Target, command: NvmeCommand, number: int) -> Story[None]:
        """Raise EPERM for what would change the blocks: the driver has commands made for these."""
        if command.nsid == number:
            namespace = yield from target.identify(0, number)
            if nvme.keeps_layout(command, namespace):
                return
        target.complain(
            "%s/%d: formatting it is refused, as it would change the blocks its driver knows, or "
            "other namespaces; give the controller back with redbear-host remove, and use the "
            "kernel's driver for that",
            *(self._scheme, number),
        )
        raise Refused(e.EPERM)


def _give(memory: ClientMemory, head: bytes) -> Story[int]:
    stored: Stored = yield partial(memory.store, head=head)
    if stored.errno:
        raise Refused(stored.errno)
    return 0


def _physical(file: OpenDisk) -> int:
    disk = file.io.disk
    if isinstance(disk, AtaCommands):
        return facts.of_ata(disk.identify, disk.block_size).physical
    return disk.block_size


def _rotates(file: OpenDisk) -> bool:
    disk = file.io.disk
    if isinstance(disk, AtaCommands):
        return facts.of_ata(disk.identify, disk.block_size).rotation != facts.NON_ROTATING
    return False


def _geometry(file: OpenDisk) -> bytes:
    """Make up heads and cylinders, as everybody does."""
    cylinders = min(file.size // _SECTOR // (_HEADS * _SECTORS), 0xFFFF)
    start = (file.first << file.io.shift) // _SECTOR
    return i.GEOMETRY.pack(_HEADS, _SECTORS, cylinders, start)


def _identity(file: OpenDisk) -> bytes:
    disk = file.io.disk
    if not isinstance(disk, AtaCommands):
        raise Refused(e.ENOTTY)
    return facts.readable(disk.identify)
