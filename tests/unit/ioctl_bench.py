"""Disks in memory that take commands, and a client's memory, for ioctls without a kernel."""

from __future__ import annotations

from collections.abc import Callable

from block_bench import Call

from redbear_host.abi import flags as f
from redbear_host.abi import ioctls as i
from redbear_host.classes.block import DiskScheme
from redbear_host.classes.commands import (
    AtaCommand,
    AtaDone,
    AtaResult,
    NvmeCommand,
    NvmeDone,
    NvmeResult,
    Transfer,
)
from redbear_host.models.ramdisk import Memory as Room
from redbear_host.models.ramdisk import RamDisk
from redbear_host.scheme.clients import Done, Fetched, Stored, Told
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import ROOT


def swapped(text: str, size: int) -> bytes:
    raw = bytearray(text.encode().ljust(size))
    raw[::2], raw[1::2] = raw[1::2], raw[::2]
    return bytes(raw)


def identify_data(**words: int) -> bytes:
    """IDENTIFY DEVICE as a disk of 64 sectors answers."""
    raw = bytearray(512)
    raw[20:40], raw[46:54] = swapped("SERIAL-17", 20), swapped("FW3.14", 8)
    raw[54:94] = swapped("A SMALL ATA DISK", 40)
    values = {82: 0x0021, 85: 0x0021, 106: 0x4000, 169: 1, 217: 1}
    values |= {int(name[1:]): value for name, value in words.items()}
    for word, value in values.items():
        raw[2 * word : 2 * word + 2] = value.to_bytes(2, "little")
    return bytes(raw)


class AtaDisk(RamDisk):
    """Executes a few ATA commands at once, aborts all others, and remembers what it was sent."""

    def __init__(self, blocks: int = 64, **words: int) -> None:
        super().__init__(blocks)
        self.identify = identify_data(**words)
        self.sent: list[AtaCommand] = []
        self.fails: AtaResult | None = None

    def ata(self, command: AtaCommand, chunk: Room | None, size: int, done: AtaDone, /) -> None:
        self.sent.append(command)
        if chunk is not None:
            assert size <= len(chunk.view)
        if self.fails is not None:
            done(self.fails)
            return
        known = {0xEC: self.identify, 0xB0: self._smart(command), 0x25: bytes(self.data)}
        found = known.get(command.command)
        if command.transfer is Transfer.NON_DATA:
            lba = 0x2CF4 << 8 if command.feature == 0xDA else command.lba
            done(AtaResult(0, 0x50, 0, 0xFF, lba, 0x40))
        elif found is None or chunk is None:
            done(AtaResult(0, 0x51, 0x04))
        else:
            chunk.view[:size] = found[:size].ljust(size, b"\0")
            done(AtaResult(0, 0x50, moved=size))

    @staticmethod
    def _smart(command: AtaCommand) -> bytes:
        data = bytearray(512)
        data[2:14] = bytes([194, 0, 0, 100, 100, 37, 0, 0, 0, 0, 0, 0])
        return bytes(data)


class NvmeDisk(RamDisk):
    """A namespace: Identify and SMART at once, all others fail with INVALID OPCODE."""

    def __init__(self, blocks: int = 64, max_transfer: int = 1 << 20) -> None:
        super().__init__(blocks, number=1, max_transfer=max_transfer)
        self.sent: list[NvmeCommand] = []
        self.rooms: list[int] = []  # bytes that came with each

    def nvme(self, command: NvmeCommand, chunk: Room | None, size: int, done: NvmeDone, /) -> None:
        self.sent.append(command)
        self.rooms.append(0 if chunk is None else size)
        page = bytearray(4096)
        if command.admin and command.opcode == 6 and command.cdw10 == 0:
            page[26] = 0  # a namespace, with the first of its formats
        elif command.admin and command.opcode == 6:
            page[4:24], page[24:64] = b"NVMESERIAL".ljust(20), b"A SMALL NVME DISK".ljust(40)
            page[64:72] = b"FIRM1234"
        elif command.admin and command.opcode == 2:
            page[1:3] = (273 + 41).to_bytes(2, "little")
        else:
            done(NvmeResult(0, 0x4001))
            return
        if chunk is not None:
            assert size <= len(chunk.view)
            chunk.view[:size] = bytes(page[:size]).ljust(size, b"\0")
        done(NvmeResult(0, 0, 0x1234))


class SlowNvmeDisk(NvmeDisk):
    """One that does what it was sent when it is told to."""

    def __init__(self, max_transfer: int) -> None:
        super().__init__(max_transfer=max_transfer)
        self.held: list[Callable[[], None]] = []

    def nvme(self, command: NvmeCommand, chunk: Room | None, size: int, done: NvmeDone, /) -> None:
        super_nvme = super().nvme
        self.held.append(lambda: super_nvme(command, chunk, size, done))

    def do_it(self) -> None:
        """Do what came first."""
        self.held.pop(0)()


class Memory:
    """What a client's ioctl names."""

    def __init__(
        self, head: bytes, command: bytes = b"", data: bytes = b"", errno: int = 0
    ) -> None:
        self.fetched = Fetched(errno, head, command, data)
        self.stored: tuple[bytes, bytes, bytes] | None = None
        self.fault = 0

    def fetch(self, told: Told, /) -> None:
        told(self.fetched)

    def store(
        self,
        done: Done,
        /,
        head: bytes = b"",
        sense: bytes = b"",
        data: bytes | memoryview = b"",
    ) -> None:
        assert self.stored is None
        self.stored = head, sense, bytes(data)
        done(Stored(self.fault))


class IoctlBench:
    """One disk behind its scheme."""

    def __init__(self, disk: RamDisk, *, destructive: bool = False, flags: int = f.O_RDWR) -> None:
        self.disk = disk
        self.scheme = DiskScheme("disk.test", [disk], destructive=destructive)
        self.scheme.load_partitions(lambda: None)
        self.settle()
        opened = self.scheme.openat(ROOT, str(disk.number), flags, 0, Call())
        assert opened is not LATER
        self.handle = opened.handle

    def settle(self) -> None:
        for _ in range(1000):
            self.scheme.end_batch()
            if not self.disk.running:
                return
            self.disk.end_all()
        raise AssertionError("the disk never comes to rest")

    def ioctl(self, command: int, memory: Memory | None = None, *, replayed: bool = False) -> Call:
        call = Call()
        call.memory = memory  # type: ignore[assignment]
        call.replayed = replayed
        found = self.scheme.ioctl(self.handle, command, b"", 0, call)
        if found is not LATER:
            call.answer(found)
        self.settle()
        return call

    def scsi(
        self, cdb: bytes, size: int = 0, data: bytes = b"", sense: int = 32
    ) -> tuple[int, bytes, bytes]:
        """Return status, sense data and data."""
        memory = Memory(sg_head(cdb, size, data, sense), cdb, data)
        call = self.ioctl(i.SG_IO, memory)
        assert call.result == 0
        assert memory.stored is not None
        head, found, got = memory.stored
        out = i.SG_OUT.unpack(head)
        assert out[3] == len(found)
        assert out[5] == (8 if out[0] else 0)
        return out[0], found, got


def sg_head(cdb: bytes, size: int, data: bytes, sense: int) -> bytes:
    way = i.SG_TO_DEV if data else i.SG_FROM_DEV if size else i.SG_NONE
    head = i.SG_IN.pack(83, way, len(cdb), sense, 0, size or len(data), 1, 2, 3, 0, 0, 0, 0)
    return head.ljust(i.SG_BYTES, b"\0")


def nvme_head(command: NvmeCommand, size: int) -> bytes:
    words = (command.cdw10, command.cdw11, command.cdw12, 0, 0, 0)
    head = i.NVME_IN.pack(command.opcode, 0, command.nsid, 0, 0, 0, 4096, 0, size, *words, 0)
    return head.ljust(i.NVME_BYTES, b"\0")
