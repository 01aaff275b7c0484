"""The modelled controller: doorbells, queues, and what becomes of commands."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from redbear_host.bits import Clock
from redbear_host.hw.ports import PciIds
from redbear_host.models.function import Host, Slot
from redbear_host.models.nvme.admin import AdminCommands
from redbear_host.models.nvme.commands import NvmCommands
from redbear_host.models.nvme.faults import Fault, Misdeed
from redbear_host.models.nvme.media import Media
from redbear_host.models.nvme.registers import Registers
from redbear_host.models.nvme.rings import Completion, Running, Sqe, Submission
from redbear_host.models.nvme.transfer import transfer

DOORBELLS: Final = 0x1000
WINDOW: Final = 0x4000
READ, WRITE, WRITE_ZEROES = 0x02, 0x01, 0x08
ASYNC_EVENT: Final = 0x0C


class NvmeModel:
    """An NVM Express 1.4 controller.

    `automatic` completes commands as soon as they are submitted, in order; otherwise that holds for
    admin commands only, and a test calls `fetch` and `complete` for the others.  `faults` may be
    changed at any time.  `violations` collects what the driver did against the specification.
    """

    ids: PciIds = PciIds(0x5242, 0x4E56, 0x5242, 0x0001, 0x010802, 1)
    window_size: int = WINDOW

    def __init__(
        self,
        media: Mapping[int, Media],
        clock: Clock,
        *,
        entries: int = 64,
        queues: int = 4,
        vectors: int = 5,
        dstrd: int = 0,
        mpsmin: int = 0,
        mdts: int = 5,
        timeout_units: int = 2,
        version: int = 0x0001_0400,
        oncs: int = 0x0C,
        volatile_cache: bool = True,
        aborts: bool = True,
        automatic: bool = True,
    ) -> None:
        """Build a controller with namespaces `media`; `timeout_units` is CAP.TO (500 ms each)."""
        self.media: Final = dict(media)
        self.clock: Final = clock
        self.entries: Final = entries
        self.queues = queues
        self.vectors: Final = vectors
        self.dstrd: Final = dstrd
        self.mpsmin: Final = mpsmin
        self.mdts: Final = mdts
        self.version: Final = version
        self.oncs: Final = oncs
        self.volatile_cache: Final = volatile_cache
        self.aborts: Final = aborts
        self.automatic = automatic
        cap = entries - 1 | 1 << 16 | timeout_units << 24 | dstrd << 32 | 1 << 37 | mpsmin << 48
        self.violations: Final[list[str]] = []
        self.faults: Final[list[Fault]] = []
        self.registers: Final = Registers(self, cap | mpsmin << 52)
        self.completed = 0  # completions posted so far
        self._host: Host | None = None
        self.admin: Final = AdminCommands(self)
        self._nvm: Final = NvmCommands(self)
        self.forget()

    def plug(self, host: Host, /) -> None:
        """Sit in a slot."""
        self._host = host

    @property
    def host(self) -> Host:
        """The slot this sits in."""
        if self._host is None:
            raise ValueError("the model is in no slot")
        return self._host

    def reset(self) -> None:
        """Start over with the registers' defaults (function level reset)."""
        self.registers.reset()
        self.forget()

    # -- registers and doorbells -------------------------------------------------------------------

    def read(self, offset: int, width: int, /) -> int:
        """Read a register, or a part of one."""
        return self.registers.read(offset, width)

    def write(self, offset: int, value: int, width: int, /) -> None:
        """Write a register or a doorbell."""
        if offset >= DOORBELLS:
            self._doorbell(offset, value, width)
        else:
            self.registers.write(offset, value, width)

    def begin(self, asq: int, acq: int, asqs: int, acqs: int) -> None:
        """CC.EN was set: there is an admin queue from now on."""
        self.sqs[0] = Submission(0, asq, asqs, 0)
        self.cqs[0] = Completion(0, acq, acqs, 0, True)

    def forget(self) -> None:
        """CC.EN was cleared, or worse: no queue, no command, no event is left."""
        self.sqs: dict[int, Submission] = {}
        self.cqs: dict[int, Completion] = {}
        self.running: list[Running] = []
        self.waiting_events: list[Running] = []
        self.admin.forget()
        if self._host is not None:
            self._host.line(False)

    def shut_down(self) -> None:
        """CC.SHN was set: save what is in the cache."""
        for medium in self.media.values():
            medium.flush()

    def _doorbell(self, offset: int, value: int, width: int) -> None:
        index, rest = divmod(offset - DOORBELLS, 4 << self.dstrd)
        qid, is_head = divmod(index, 2)
        queue = self.cqs.get(qid) if is_head else self.sqs.get(qid)
        if self.registers.fell_back:
            return  # the driver cannot know yet
        if rest or width != 4 or queue is None or value >= queue.entries:
            self.violations.append(f"doorbell {offset:#x} was written with {value:#x}")
            return
        if isinstance(queue, Completion):
            taken = (value - queue.head) % queue.entries
            if taken > (queue.tail - queue.head) % queue.entries:
                self.violations.append(f"head {value} of queue {qid} is beyond what was completed")
            queue.head = value
            self.line()
        else:
            queue.tail = value
        self.run(self.automatic)

    # -- commands ----------------------------------------------------------------------------------

    def run(self, all_queues: bool = True) -> None:
        """Fetch and complete whatever can be, in order; or only admin commands."""
        self.fetch(all_queues)
        index = 0
        while index < len(self.running):
            mine = all_queues or self.running[index].sq.qid == 0
            if not (mine and self.complete(index)):
                index += 1

    def fetch(self, all_queues: bool = True) -> None:
        """Take submitted commands out of the queues, or out of the admin queue only."""
        if not self.registers.running:
            return
        for sq in [sq for qid, sq in self.sqs.items() if all_queues or qid == 0]:
            while sq.head != sq.tail:
                where = sq.base + 64 * sq.head
                memory = self.host.memory(where, 64, f"fetching from queue {sq.qid}")
                if memory is None:
                    break
                sq.head = (sq.head + 1) % sq.entries
                self._take(Running(sq, Sqe.of(bytes(memory))))

    def _take(self, command: Running) -> None:
        mine = [it.sqe.cid for it in self.running + self.waiting_events if it.sq is command.sq]
        if command.sqe.cid in mine:
            self.violations.append(f"command identifier {command.sqe.cid:#x} is in use already")
        if command.sqe.flags:
            self.violations.append(f"command {command.sqe.opcode:#x} has flags it must not have")
        if command.sq.qid == 0 and command.sqe.opcode == ASYNC_EVENT:
            self.waiting_events.append(command)
            self.admin.report()
        else:
            self.running.append(command)

    def complete(self, index: int) -> bool:
        """Execute and complete one running command; False when it is held or has no room."""
        command = self.running[index]
        cq = self.cqs.get(command.sq.cqid)
        held = command.held and command.abort_status is None
        if cq is None or cq.full or held or self.registers.fatal:
            return False
        sqe = command.sqe
        fault = self._fault(command)
        if fault is not None and fault.misdeed is Misdeed.HOLD:
            fault.times -= 1
            command.held = True
            return False
        status, result = 0, 0
        if command.abort_status is not None:
            status = command.abort_status
        elif fault is not None and fault.misdeed is Misdeed.STATUS:
            status = fault.value
        elif command.sq.qid:
            status = self._nvm.execute(sqe)
        else:
            status, result = self.admin.execute(sqe)
        if command not in self.running:  # executing it may have reset us
            return True
        self.running.remove(command)
        if fault is None:
            self.post(command, status, result)
        else:
            fault.times -= 1
            self._misbehave(fault, command, status, result)
        return True

    def release(self) -> None:
        """Let held commands go on."""
        for command in self.running:
            command.held = False
        self.run(self.automatic)

    def abort(self, qid: int, cid: int) -> bool:
        """Do what the Abort command asks for; False when there is no such command."""
        if not self.aborts:
            return False
        for command in self.running:
            if command.sq.qid == qid and command.sqe.cid == cid:
                command.abort_status = 0x07
                return True
        return False

    def _fault(self, command: Running) -> Fault | None:
        sqe = command.sqe
        touches = command.sq.qid and sqe.opcode in (READ, WRITE, WRITE_ZEROES)
        lba, blocks = (sqe.slba, sqe.blocks) if touches else (-1, 0)
        for fault in self.faults:
            if fault.matches(command.sq.qid, sqe.opcode, lba, blocks):
                return fault
        return None

    def _misbehave(self, fault: Fault, command: Running, status: int, result: int) -> None:
        cq, cid, value = self.cqs[command.sq.cqid], command.sqe.cid, fault.value
        match fault.misdeed:
            case Misdeed.STATUS:
                self.post(command, status, result)
            case Misdeed.LOSE_INTERRUPT:
                self.post(command, status, result, interrupt=False)
            case Misdeed.DUPLICATE:
                self.post(command, status, result)
                if not cq.full:
                    self.post(command, status, result)
            case Misdeed.WRONG_CID:
                self.post(command, status, result, cid=value)
            case Misdeed.STALE_PHASE:
                cq.phase ^= 1
                self.post(command, status, result)
                cq.phase ^= 1
            case Misdeed.SKIP_SLOT:
                self._advance(cq)
                self.post(command, status, result)
            case Misdeed.WRONG_SQHD:
                self.post(command, status, result, sqhd=value)
            case Misdeed.WRONG_SQID:
                self.post(command, status, result, sqid=value)
            case Misdeed.FATAL:
                self.registers.fatal = True
                self.running.append(Running(command.sq, command.sqe, held=True))
            case Misdeed.RESET:
                self.registers.fall_back()
                self.forget()
            case Misdeed.VANISH:
                if isinstance(self._host, Slot):
                    self._host.pull()
            case Misdeed.HOLD:
                raise ValueError(f"command {cid:#x} is held, not completed")

    def post(
        self,
        command: Running,
        status: int,
        result: int = 0,
        *,
        cid: int | None = None,
        sqhd: int | None = None,
        sqid: int | None = None,
        interrupt: bool = True,
    ) -> None:
        """Write a completion (4.6) and interrupt."""
        sq, cq = command.sq, self.cqs[command.sq.cqid]
        where = cq.base + 16 * cq.tail
        memory = self.host.memory(where, 16, f"completing in queue {cq.qid}")
        if memory is not None:
            struct.pack_into(
                "<IIHHHH", memory, 0, result, 0,
                sq.head if sqhd is None else sqhd,
                sq.qid if sqid is None else sqid,
                command.sqe.cid if cid is None else cid,
                status << 1 | cq.phase,
            )  # fmt: skip
        self.completed += 1
        self._advance(cq)
        if interrupt:
            self.interrupt(cq)

    @staticmethod
    def _advance(cq: Completion) -> None:
        cq.tail = (cq.tail + 1) % cq.entries
        if cq.tail == 0:
            cq.phase ^= 1

    def interrupt(self, cq: Completion) -> None:
        """Tell the driver about a queue; for nothing at all, when a test says so."""
        if cq.interrupts:
            self.host.message(cq.vector)
        self.line()

    def line(self) -> None:
        """Raise or lower INTx as queues and mask say."""
        mask = self.registers.interrupt_mask
        waiting = (
            cq.interrupts and cq.head != cq.tail and not mask >> cq.vector & 1
            for cq in self.cqs.values()
        )
        self.host.line(any(waiting))

    def warn(self, event: int) -> None:
        """Report an asynchronous event: dword 0 of its completion (5.2.1)."""
        self.admin.events.append(event)
        self.admin.report()

    def transfer(self, sqe: Sqe, size: int) -> Sequence[memoryview] | int:
        """Find the memory of a command's data by its PRPs; a status when they are wrong."""
        return transfer(self.host, self.registers.page, sqe, size, self.violations)
