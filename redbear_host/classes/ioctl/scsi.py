"""A disk as SCSI programs expect one: the commands of SBC-3 that a translation layer answers.

Ref: SPC-4 (INCITS 513) clause 6, SBC-3 (INCITS 514) clause 5, SAT-4 (INCITS 557) clauses 8 and 9.
An ATAPI device speaks SCSI itself and is sent its commands as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Final, TypeAlias

from redbear_host.abi import errno as e
from redbear_host.classes.commands import (
    AtaCommand,
    AtaCommands,
    AtaResult,
    NvmeCommand,
    NvmeCommands,
    Transfer,
)
from redbear_host.classes.diskio import DiskIo
from redbear_host.classes.ioctl import facts, health, pages, sat
from redbear_host.classes.ioctl.allowed import (
    ata_fits,
    ata_is_the_drivers,
    ata_lasts,
    ata_reads,
    packet_reads,
)
from redbear_host.classes.ioctl.facts import Facts
from redbear_host.classes.ioctl.forward import Forwarder
from redbear_host.classes.ioctl.nvme import IDENTIFY, PAGE
from redbear_host.classes.ioctl.sense import (
    CHECK_CONDITION,
    ERR,
    INVALID_OPCODE,
    NOTHING,
    OUT_OF_RANGE,
    READ_ERROR,
    SAVING_NOT_SUPPORTED,
    Key,
    Outcome,
    ata_error,
    descriptor,
    failed,
    fixed,
    illegal,
    of_ata,
)
from redbear_host.classes.ioctl.story import Asked, Story
from redbear_host.errors import Refused

log = logging.getLogger(__name__)

MOST_DATA: Final = 1 << 20
HOST_NO_CONNECT, HOST_TIME_OUT, HOST_ERROR = 0x01, 0x03, 0x07  # linux/scsi: DID_…

_Command: TypeAlias = Callable[[bytes, bytes, int], Story[Outcome]]
_SENSE_BYTES: Final = 18
_QUIET_S: Final = 60.0
_FORCE_UNIT_ACCESS: Final = 1 << 3  # of a WRITE: on the medium before it ends (SBC-3, 5.32)
_SIZES: Final = (6, 10, 10, 0, 16, 12, 16, 16)  # by the upper three bits of the opcode


def transport_error(errno: int) -> Outcome:
    """End a command that never reached the device, or that it never answered."""
    known = {e.ENODEV: HOST_NO_CONNECT, e.ETIMEDOUT: HOST_TIME_OUT}
    return Outcome(host_status=known.get(errno, HOST_ERROR))


class Target:
    """One disk; `execute` a command."""

    def __init__(
        self, name: str, io: DiskIo, forwarder: Forwarder | None, *, destructive: bool
    ) -> None:
        self._name: Final = name
        self._io: Final = io
        self._disk: Final = io.disk
        self._forwarder: Final = forwarder
        self._destructive: Final = destructive
        commands: dict[int, _Command] = {
            0x00: self._good,  # TEST UNIT READY
            0x03: self._request_sense,
            0x08: self._read,
            0x12: self._inquiry,
            0x1A: self._mode_sense,
            0x25: self._capacity_10,
            0x28: self._read,
            0x2A: self._write,
            0x35: self._synchronize,
            0x4D: self._log_sense,
            0x5A: self._mode_sense,
            0x88: self._read,
            0x8A: self._write,
            0x91: self._synchronize,
            0x9E: self._service_in,
            0xA0: self._report_luns,
            0xA8: self._read,
            0xAA: self._write,
        }
        # Looked at once: to ask a protocol costs more than most commands.
        self._ata_disk: Final = self._disk if isinstance(self._disk, AtaCommands) else None
        self._is_nvme: Final = isinstance(self._disk, NvmeCommands)
        self._facts: Final = (
            None
            if self._ata_disk is None
            else facts.of_ata(self._ata_disk.identify, self._disk.block_size)
        )
        self._is_packet: Final = self._facts is not None and self._facts.packet
        if self._ata_disk is not None:
            commands |= {sat.PASS_THROUGH_12: self._ata, sat.PASS_THROUGH_16: self._ata}
        self._commands: Final = commands
        self._quiet_until: Final[dict[tuple[object, ...], float]] = {}

    def execute(
        self, cdb: bytes, data: bytes, size: int, writes: bool, timeout_ms: int = 0
    ) -> Story[Outcome]:
        """Execute a command that comes with `data`, or has room for `size` bytes.

        `writes` says that the client opened the file for writing.  EPERM for what a disk that is
        not destructive is not sent.
        """
        opcode = cdb[0]
        packet = self._is_packet and opcode not in (sat.PASS_THROUGH_12, sat.PASS_THROUGH_16)
        if packet:
            if not packet_reads(cdb):
                self.may_destroy(f"SCSI command {opcode:#04x}", writes)
            return (yield from self._packet(cdb, data, size))
        command = self._commands.get(opcode)
        if opcode in _DESTROYS:
            self.may_destroy(f"SCSI command {opcode:#04x}", writes)
        if command is None or len(cdb) < _SIZES[opcode >> 5]:
            return illegal(INVALID_OPCODE)
        if opcode in (sat.PASS_THROUGH_12, sat.PASS_THROUGH_16):
            self._judge_ata(cdb, size, writes)
            return (yield from self._ata(cdb, data, size, timeout_ms))
        return (yield from command(cdb, data, size))

    def may_destroy(self, what: str, writes: bool) -> None:
        """Raise EPERM unless the disk was claimed destructive, and is open for writing."""
        if not self._destructive:
            self.complain(
                "%s: %s is refused, as it could destroy data or the disk; if both may be lost, "
                "write `destructive = true` at the device in a configuration, or start with "
                "redbear-host up --destructive",
                *(self._name, what),
            )
            raise Refused(e.EPERM)
        if not writes:
            raise Refused(e.EPERM, "the file is not open for writing")

    def complain(self, message: str, *words: object) -> None:
        """Write down what was refused, each but rarely: somebody may try for ever."""
        now = monotonic()
        if now >= self._quiet_until.get(words, 0.0):
            self._quiet_until[words] = now + _QUIET_S  # there are few commands
            log.warning(message, *words)

    # -- what the disk is --------------------------------------------------------------------------

    def facts(self) -> Story[Facts]:
        """Return what the disk says of itself: of NVMe, asked now."""
        disk = self._disk
        if self._facts is not None:
            return self._facts
        if not self._is_nvme:
            return Facts("redbear", f"disk {disk.number}", "", "1", physical=disk.block_size)
        controller = yield from self.identify(1, 0)
        namespace = yield from self.identify(0, disk.number)
        return facts.of_nvme(controller, namespace, disk.block_size)

    def identify(self, what: int, nsid: int) -> Story[bytes]:
        """Return what a controller says of itself (1) or of a namespace (0), 4096 bytes."""
        if self._forwarder is None:
            raise Refused(e.EIO)
        command = NvmeCommand(True, IDENTIFY, nsid, cdw10=what)
        result, data = yield from self._forwarder.nvme(command, PAGE, b"")
        if result.errno or result.status:
            raise Refused(result.errno or e.EIO)
        return data

    def _inquiry(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        vital, page, length = cdb[1] & 1, cdb[2], int.from_bytes(cdb[3:5], "big")
        if page and not vital:
            return illegal()
        known = yield from self.facts()
        if not vital:
            return Outcome(data=pages.inquiry(known)[:length])
        identify = b"" if self._ata_disk is None else self._ata_disk.identify
        found = pages.vital(page, known, identify, MOST_DATA >> self._io.shift)
        return illegal() if found is None else Outcome(data=found[:length])

    def _capacity_10(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        if any(cdb[2:6]) or cdb[8] & 1:  # an address without PMI, and PMI, are obsolete
            return illegal()
        yield from ()
        return Outcome(data=pages.capacity_10(self._io.block_count, self._io.block_size))

    def _service_in(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        if cdb[1] & 0x1F != 0x10:  # READ CAPACITY(16) is the only one
            return illegal()
        known = yield from self.facts()
        found = pages.capacity_16(self._io.block_count, self._io.block_size, known.physical)
        return Outcome(data=found[: int.from_bytes(cdb[10:14], "big")])

    def _report_luns(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        length = int.from_bytes(cdb[6:10], "big")
        if cdb[2] > 2 or length < 16:
            return illegal()
        yield from ()
        found = bytes(8) if cdb[2] == 1 else (8).to_bytes(4, "big") + bytes(4 + 8)
        return Outcome(data=found[:length])

    def _mode_sense(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        control, page, subpage = cdb[2] >> 6, cdb[2] & 0x3F, cdb[3]
        long = cdb[0] == 0x5A
        length = int.from_bytes(cdb[7:9], "big") if long else cdb[4]
        if control == 3:
            return illegal(SAVING_NOT_SUPPORTED)
        known = yield from self.facts()
        body = pages.mode(page, known, control == 1)
        if body is None or (subpage and not (subpage == 0xFF and page == 0x3F)):
            return illegal()
        blocks = b""
        if not cdb[1] & 1 << 3:  # DBD
            blocks = pages.block_descriptor(self._io.block_count, self._io.block_size)
        protected = 0 if self._disk.writable else 1 << 7
        if long:
            head = bytes([0, protected, 0, 0, 0, len(blocks)])
            found = (len(head) + len(blocks) + len(body)).to_bytes(2, "big") + head
        else:
            found = bytes([3 + len(blocks) + len(body), 0, protected, len(blocks)])
        return Outcome(data=(found + blocks + body)[:length])

    def _log_sense(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        page, subpage, length = cdb[2] & 0x3F, cdb[3], int.from_bytes(cdb[7:9], "big")
        if subpage or page not in (0x00, 0x0D, 0x2F):
            return illegal()
        if page == 0x00:
            return Outcome(data=pages.log_list()[:length])
        known = health.Health()
        forwarder = self._forwarder
        if forwarder is not None and self._is_nvme:
            known = yield from health.of_nvme(forwarder)
        elif forwarder is not None and self._facts is not None and self._facts.smart:
            known = yield from health.of_ata(forwarder)
        celsius, fails = known
        if page == 0x0D:
            return Outcome(data=pages.log_temperature(celsius)[:length])
        return Outcome(data=pages.log_exceptions(fails, celsius)[:length])

    # -- what it holds -----------------------------------------------------------------------------

    def _good(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        yield from ()
        return Outcome()

    def _request_sense(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        yield from ()
        wanted = descriptor if cdb[1] & 1 else fixed
        return Outcome(data=wanted(Key.NO_SENSE, NOTHING)[: cdb[4]])

    def _place(self, cdb: bytes) -> tuple[int, int]:
        """Return the first block and the number of blocks of a READ or WRITE."""
        if cdb[0] < 0x20:
            first = int.from_bytes(cdb[1:4], "big") & 0x1F_FFFF
            return first, cdb[4] or 256
        if cdb[0] >> 5 == 4:
            return int.from_bytes(cdb[2:10], "big"), int.from_bytes(cdb[10:14], "big")
        count = cdb[6:10] if cdb[0] >> 5 == 5 else cdb[7:9]
        return int.from_bytes(cdb[2:6], "big"), int.from_bytes(count, "big")

    def _read(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        io = self._io
        first, count = self._place(cdb)
        length = count << io.shift
        if first + count > io.block_count:
            return illegal(OUT_OF_RANGE)
        if length > size:
            return illegal()
        if not count:
            return Outcome()

        def read(told: Callable[[bytes | Refused], object]) -> None:
            asked = Asked(told)
            io.read(first << io.shift, length, asked, asked)

        found = yield read
        if isinstance(found, Refused):
            return self._media_error(found.errno)
        return Outcome(data=found)

    def _write(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        io = self._io
        first, count = self._place(cdb)
        length = count << io.shift
        if first + count > io.block_count:
            return illegal(OUT_OF_RANGE)
        if length > len(data):
            return illegal()
        if not self._disk.writable:
            return failed(Key.DATA_PROTECT, (0x27, 0x00))  # WRITE PROTECTED
        if not count:
            return Outcome()

        def write(told: Callable[[int | Refused], object]) -> None:
            asked = Asked(told)
            io.write(first << io.shift, memoryview(data)[:length], asked, asked)

        found = yield write
        if isinstance(found, Refused):
            return self._media_error(found.errno)
        if cdb[1] & _FORCE_UNIT_ACCESS:
            flushed = yield from self._synchronize(cdb, data, size)
            if flushed.status or flushed.host_status:
                return flushed
        return Outcome(moved=length)

    def _synchronize(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        found = yield lambda told: self._io.flush(Asked(told))
        return self._media_error(found.errno) if isinstance(found, Refused) else Outcome()

    @staticmethod
    def _media_error(errno: int) -> Outcome:
        if errno in (e.ENODEV, e.ETIMEDOUT):
            return transport_error(errno)
        return failed(Key.MEDIUM_ERROR, READ_ERROR)

    # -- what is forwarded -------------------------------------------------------------------------

    def _judge_ata(self, cdb: bytes, size: int, writes: bool) -> None:
        translated = sat.translate(cdb, size, self._io.block_size)
        if translated is None:
            return
        command = translated.command
        if ata_is_the_drivers(command):
            self.complain(
                "%s: ATA command %#04x is refused, as it is the driver's",
                *(self._name, command.command),
            )
            raise Refused(e.EPERM)
        if not ata_reads(command):
            self.may_destroy(f"ATA command {command.command:#04x}", writes)

    def _ata(self, cdb: bytes, data: bytes, size: int, timeout_ms: int = 0) -> Story[Outcome]:
        translated = sat.translate(cdb, size, self._io.block_size)
        if translated is None or self._forwarder is None:
            return illegal()
        command, length, asks = translated
        if command.transfer in (Transfer.PIO_OUT, Transfer.DMA_OUT) and len(data) < length:
            return illegal()  # it brought nothing to send
        if not ata_fits(command, length, self._io.block_size):
            return illegal()
        alters = not ata_reads(command)
        if alters or ata_lasts(command):  # others shall not keep everybody waiting
            command = replace(command, timeout_ms=timeout_ms)
        result, found = yield from self._forwarder.ata(
            command, length, data[:length], alters=alters
        )
        if result.errno:
            return transport_error(result.errno)
        status, sense = of_ata(result, command.extended, asks)
        return Outcome(status, sense, found, min(result.moved, length))

    def _packet(self, cdb: bytes, data: bytes, size: int) -> Story[Outcome]:
        """Send an ATAPI device a command; of one that fails, ask why."""
        forwarder = self._forwarder
        if forwarder is None:
            return illegal(INVALID_OPCODE)
        sent = AtaCommand(0xA0, Transfer.PACKET, packet=cdb[:12].ljust(12, b"\0"), data_in=not data)
        result, found = yield from forwarder.ata(sent, size, data, alters=not packet_reads(cdb))
        if result.errno:
            return transport_error(result.errno)
        if not result.status & ERR:
            return Outcome(data=found, moved=min(result.moved, size))
        sense = yield from self._ask_why(forwarder, result)
        return Outcome(CHECK_CONDITION, sense, found)

    def _ask_why(self, forwarder: Forwarder, failure: AtaResult) -> Story[bytes]:
        ask = bytes([0x03, 0, 0, 0, _SENSE_BYTES, 0]).ljust(12, b"\0")
        sent = AtaCommand(0xA0, Transfer.PACKET, packet=ask)
        result, found = yield from forwarder.ata(sent, _SENSE_BYTES, b"")
        if result.errno or result.status & ERR or len(found) < 8:
            return fixed(*ata_error(failure))
        return found


# Those that write, format, change settings that stay, reserve, or load firmware (SPC-4, SBC-3).
_DESTROYS: Final = frozenset(
    (
        0x04, 0x07, 0x0A, 0x15, 0x2A, 0x2E, 0x3B, 0x3F, 0x41, 0x42, 0x48, 0x4C, 0x55, 0x5F,
        0x7F, 0x83, 0x8A, 0x8E, 0x93, 0x9B, 0x9F, 0xA4, 0xAA, 0xAE, 0xB5,
    )
)  # fmt: skip
