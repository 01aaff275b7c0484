"""A modelled port: its registers, the commands it fetches, and what becomes of them.

Ref: Serial ATA AHCI 1.3.1 Specification; sections in parentheses.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from redbear_host.models.ahci.drive import PIO_IN, Drive, Task
from redbear_host.models.ahci.faults import Fault, Misdeed

if TYPE_CHECKING:
    from redbear_host.models.ahci.adapter import AhciModel

CLB, CLBU, FB, FBU, IS, IE, CMD = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18
TFD, SIG, SSTS, SCTL, SERR, SACT, CI = 0x20, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38
ST, SUD, FRE, FR, CR = 0x1, 0x2, 0x10, 0x4000, 0x8000  # CMD
DHRS, PSS, SDBS, PCS, PRCS = 0x1, 0x2, 0x8, 0x40, 1 << 22  # IS
IFS, TFES = 1 << 27, 1 << 30
ERR, DRDY, BSY = 0x01, 0x40, 0x80
NOTHING: Final = 0x7F  # status while there is no device
READY: Final = DRDY | 0x10
X, N = 1 << 26, 1 << 16  # SERR
COMRESET_LEAST_S: Final = 0.001
WRITABLE: Final = (CLB, CLBU, FB, FBU, IE)


@dataclass(eq=False)
class Running:
    """A command the device has."""

    slot: int
    task: Task
    header: int
    table: int
    held: bool = False


class PortModel:
    """One port and the disk on it, if any."""

    def __init__(self, model: AhciModel, number: int, drive: Drive | None) -> None:
        """Made by `AhciModel`."""
        self._model: Final = model
        self.number: Final = number
        self.drive = drive
        self.stuck_running = False  # CR stays 1
        self.ready_after = 0.0  # seconds from a reset to the end of BSY
        self.never_ready = False
        self.reset()

    def reset(self) -> None:
        """Take the defaults, and reset the device."""
        self._raw = dict.fromkeys(range(0, 0x80, 4), 0)
        self._raw[CMD] = 0 if self._model.staggered else SUD
        self.running: list[Running] = []
        self.halted = False  # after a task file error, until ST is cleared
        self._strays = 0  # bits of PxSACT a fault has set
        self._comreset_at = 0.0
        self._revive()

    def _revive(self) -> None:
        """Reset the device: it forgets its commands and is busy for a while."""
        self.running.clear()
        there = self.drive is not None and bool(self._raw[CMD] & SUD)
        self._raw[SSTS] = 0x123 if there else 0
        self._raw[SIG] = 0x101 if there else 0xFFFF_FFFF
        self._raw[TFD] = BSY if there else NOTHING
        self._ready_at = self._model.clock.now() + self.ready_after
        self._greeted = False
        if self.drive is not None:
            self.drive.ncq_error = None
        if there:
            self._raise(SERR, X | N)

    def _settle(self) -> None:
        """Let the device become ready, and send its first FIS once somebody receives it."""
        if self._greeted or self._raw[SSTS] == 0 or self.never_ready:
            return
        if self._raw[CMD] & FRE and self._model.clock.now() >= self._ready_at:
            self._greeted = True
            self._raw[TFD] = READY | 0x0100
            self._receive(0x40, b"\x34\x00" + bytes([READY, 1]) + struct.pack("<I", 0xA0000001), 20)

    # -- registers ---------------------------------------------------------------------------------

    @property
    def interrupting(self) -> bool:
        """Whether a bit is set that is enabled."""
        return bool(self._raw[IS] & self._raw[IE])

    def read(self, offset: int) -> int:
        """Read a register."""
        self._settle()
        value = self._raw[offset]
        if offset == CMD:
            value |= CR if value & ST or self.stuck_running else 0
            value |= FR if value & FRE else 0
        return value

    def write(self, offset: int, value: int) -> None:
        """Write a register."""
        self._settle()
        if offset == IS:
            self._raw[IS] &= ~value
            self._still()
        elif offset == SERR:
            self._raw[SERR] &= ~value
        elif offset == CMD:
            self._command(value)
        elif offset == SCTL:
            self._control(value)
        elif offset == SACT:
            self._activate(value)
        elif offset == CI:
            self._issue(value)
        elif offset in WRITABLE:
            if offset in (CLB, FB) and value & (0x3FF if offset == CLB else 0xFF):
                self._complain(f"address {value:#x} is not aligned")
            if offset < IS and self._raw[CMD] & (ST | FRE):
                self._complain("an address was written while the port runs")
            self._raw[offset] = value
        else:
            self._complain(f"register {offset:#x} cannot be written")
        self._model.update()

    def _command(self, value: int) -> None:
        before = self._raw[CMD]
        self._raw[CMD] = value & 0x0FFF_001F & ~(CR | FR)
        started, stopped = value & ~before, before & ~value
        if started & ST:
            if not value & FRE:
                self._complain("ST was set without FRE")
            if self._raw[TFD] & 0x88:
                self._complain("ST was set while the device is busy")
            self.halted = False
        if stopped & ST:
            self._raw[SACT] = self._raw[CI] = self._strays = 0  # (3.3.13, 3.3.14)
            self.halted = False
        if stopped & FRE and before & ST:
            self._complain("FRE was cleared while ST was set")
        if started & SUD and self._raw[SSTS] == 0:
            self._revive()

    def _control(self, value: int) -> None:
        now = self._model.clock.now()
        was, is_ = self._raw[SCTL] & 0xF, value & 0xF
        self._raw[SCTL] = value
        if is_ == 1 and was != 1:
            if self._raw[CMD] & ST:
                self._complain("COMRESET while the command list runs")
            self._comreset_at = now
            self.running.clear()
            self._raw[SSTS] = 0
        if was == 1 and is_ == 0:
            if now - self._comreset_at < COMRESET_LEAST_S:
                self._complain("COMRESET was shorter than 1 ms")
            self._revive()

    def _activate(self, value: int) -> None:
        if not self._raw[CMD] & ST:
            self._complain("PxSACT was written while ST is 0")
        if value & self._raw[SACT] & ~self._strays:
            self._complain(f"tags {value & self._raw[SACT]:#x} are active already")
        self._raw[SACT] |= value

    def _issue(self, value: int) -> None:
        if not self._raw[CMD] & ST:
            self._complain("PxCI was written while ST is 0")
            return
        if value & self._raw[CI]:
            self._complain(f"slots {value & self._raw[CI]:#x} are issued already")
        self._raw[CI] |= value
        for slot in range(32):
            if value >> slot & 1:
                self._fetch(slot)
        if self._model.automatic:
            self.run()

    # -- commands ----------------------------------------------------------------------------------

    def _fetch(self, slot: int) -> None:
        if slot >= self._model.slots:
            self._complain(f"slot {slot} of {self._model.slots}")
        where = (self._raw[CLBU] << 32 | self._raw[CLB]) + 32 * slot
        header = self._memory(where, 32, "fetching a header")
        if header is None or self.halted or self.drive is None:
            return
        flags, prdbc, base = struct.unpack_from("<IIQ", header)
        table = self._memory(base, 0x80 + 16 * (flags >> 16), "fetching a command table")
        if table is None:
            return
        fis = bytes(table[:20])
        if flags & 0x1F != 5 or fis[:2] != b"\x27\x80" or base & 0x7F:
            self._complain(f"slot {slot}: header {flags:#x}, FIS {fis.hex()}, table {base:#x}")
            return
        task = Task(
            opcode=fis[2],
            feature=fis[3] | fis[11] << 8,
            count=fis[12] | fis[13] << 8,
            lba=int.from_bytes(fis[4:7], "little") | int.from_bytes(fis[8:11], "little") << 24,
            device=fis[7],
        )
        if bool(flags & 0x40) != task.writes:
            self._complain(f"slot {slot}: the Write bit of command {task.opcode:#x} is wrong")
        if task.queued:
            if task.tag != slot or not self._raw[SACT] >> slot & 1:
                self._complain(f"slot {slot} has tag {task.tag}, PxSACT {self._raw[SACT]:#x}")
            if slot >= max(self.drive.depth, 1):
                self._complain(f"tag {slot} on a device with {self.drive.depth}")
            self._raw[CI] &= ~(1 << slot)  # the device has taken it
        elif prdbc:
            self._complain("PRDBC was not cleared")
        if any(it.task.queued != task.queued for it in self.running):
            self._complain("queued and other commands are mixed")
        if any(it.slot == slot for it in self.running):
            self._complain(f"the device still has a command in slot {slot}")
        self.running.append(Running(slot, task, where, base))

    def run(self) -> None:
        """Complete all commands that are not held, in order."""
        while (it := next((it for it in self.running if not it.held), None)) is not None:
            self.complete(it)

    def complete(self, command: Running) -> None:
        """Complete one command, or do with it what a fault says."""
        task = command.task
        fault = self._model.fault(self.number, task)
        if fault is not None:
            fault.times -= 1
            if self._misbehave(command, fault):
                return
        self._execute(command, fault)

    def _misbehave(self, command: Running, fault: Fault) -> bool:
        """Do it; False when the command is executed as well."""
        match fault.misdeed:
            case Misdeed.HOLD:
                command.held = True
            case Misdeed.FAIL:
                self._fail(command, fault.value)
            case Misdeed.FATAL:
                self.running.clear()
                self.halted = True
                self._raise(IS, IFS)
            case Misdeed.LINK:
                self.replug()
            case Misdeed.VANISH:
                self._model.vanish()
            case _:
                return False
        self._model.update()
        return True

    def _execute(self, command: Running, fault: Fault | None) -> None:
        drive, task = self.drive, command.task
        if drive is None or not self._raw[CMD] & ST:
            self.running.remove(command)
            return
        misdeed = None if fault is None else fault.misdeed
        size = drive.size(task)
        pieces = self._data(command, size)
        if pieces is None:
            self._fail(command, 0x04)
            return
        error, answer = drive.execute(task, b"".join(pieces) if task.writes else b"")
        if error:
            self._fail(command, error)
            return
        moved = 0 if misdeed is Misdeed.SHORT and not task.queued else size
        data = memoryview(answer)
        for piece in pieces if moved and not task.writes else ():
            piece[:], data = data[: len(piece)], data[len(piece) :]
        self.running.remove(command)
        self._succeed(command, moved)
        if misdeed is Misdeed.STRAY and fault is not None:
            self.stray(1 << fault.value)
        self._model.update(silent=misdeed is Misdeed.LOSE_INTERRUPT)

    def _succeed(self, command: Running, moved: int) -> None:
        bit = 1 << command.slot
        self._raw[TFD] = READY
        if command.task.queued:
            self._raw[SACT] &= ~bit
            self._receive(0x58, bytes([0xA1, 0x40, READY, 0]) + struct.pack("<I", bit), 8)
            self._raise(IS, SDBS)
            return
        header = self._memory(command.header, 32, "ending a command")
        if header is not None:
            struct.pack_into("<I", header, 4, moved)
        self._raw[CI] &= ~bit
        if command.task.opcode in PIO_IN:
            fis = bytes([0x5F, 0x60, 0x58, 0]) + bytes(11) + bytes([READY]) + b"\0\x02\0\0"
            self._receive(0x20, fis, 20)
            self._raise(IS, PSS)
        else:
            self._receive(0x40, bytes([0x34, 0x40, READY, 0]), 20)
            self._raise(IS, DHRS)

    def _fail(self, command: Running, error: int) -> None:
        """End a command with an error: the port stands still (6.2.2)."""
        status = READY | ERR
        self._raw[TFD] = status | error << 8
        self.halted = True
        if command.task.queued:
            if self.drive is not None:
                self.drive.ncq_error = command.slot, status, error
            self.running.clear()  # the device aborts them all
            self._receive(0x58, bytes([0xA1, 0x40, status & 0x77, error]) + bytes(4), 8)
            self._raise(IS, SDBS | TFES)
        else:
            self.running.remove(command)
            self._receive(0x40, bytes([0x34, 0x40, status, error]), 20)
            self._raise(IS, DHRS | TFES)
        self._model.update()

    def _data(self, command: Running, size: int) -> list[memoryview] | None:
        """Find the memory of a command's data by its PRDs; None when they name too little."""
        header = self._memory(command.header, 4, "reading PRDTL")
        if header is None:
            return None
        (flags,) = struct.unpack_from("<I", header)
        pieces: list[memoryview] = []
        for index in range(flags >> 16):
            entry = self._memory(command.table + 0x80 + 16 * index, 16, "reading a PRD")
            if entry is None:
                return None
            base, _, count = struct.unpack("<QII", entry)
            length = min((count & 0x3F_FFFF) + 1, size)
            if base & 1 or not count & 1:
                self._complain(f"PRD {index}: {base:#x}, {count:#x}")
            if length:
                piece = self._memory(base, length, f"moving data of {command.task}")
                if piece is None:
                    return None
                pieces.append(piece)
            size -= length
        if size:
            self._complain(f"the PRDs of {command.task} are {size} bytes short")
            return None
        return pieces

    # -- plugs -------------------------------------------------------------------------------------

    def replug(self, drive: Drive | None = None) -> None:
        """Lose the link and find it again, with the same device or with `drive`."""
        self.drive = drive or self.drive
        self.running.clear()
        self._revive()
        self._raise(IS, PCS | PRCS)
        self._model.update()

    def unplug(self) -> Drive | None:
        """Take the device out; return it."""
        drive, self.drive = self.drive, None
        self.running.clear()
        self._raw[SSTS] = 0
        self._raw[TFD] = NOTHING
        self._raise(SERR, N)
        self._raise(IS, PRCS)
        self._model.update()
        return drive

    def alarm(self, mask: int) -> None:
        """Set bits of PxIS for no reason."""
        self._raise(IS, mask)
        self._model.update()

    def stray(self, mask: int) -> None:
        """Set bits of PxSACT that nobody issued."""
        self._raw[SACT] |= mask
        self._strays |= mask

    # -- odds and ends -----------------------------------------------------------------------------

    def _raise(self, register: int, mask: int) -> None:
        self._raw[register] |= mask

    def _still(self) -> None:
        """PxIS bits that only SError clears come back while it holds (3.3.5)."""
        if self._raw[SERR] & N and self.drive is None:
            self._raw[IS] |= PRCS

    def _receive(self, offset: int, fis: bytes, size: int) -> None:
        if self._raw[CMD] & FRE:
            where = (self._raw[FBU] << 32 | self._raw[FB]) + offset
            memory = self._memory(where, size, "receiving a FIS")
            if memory is not None:
                memory[:] = fis.ljust(size, b"\0")

    def _memory(self, iova: int, size: int, doing: str) -> memoryview | None:
        if iova + size > 1 << 32 and not self._model.wide:
            self._complain(f"{doing}: {iova:#x} is above 4 GiB")
        return self._model.host.memory(iova, size, f"port {self.number}, {doing}")

    def _complain(self, what: str) -> None:
        self._model.violations.append(f"port {self.number}: {what}")
