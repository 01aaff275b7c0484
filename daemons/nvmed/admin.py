"""The admin side of a controller: enabling it, asking it, setting it up (sections 3.5, 3.6, 5).

Everything that takes several steps is a *story*: a generator that yields whenever it has to wait
and returns its result.  `start` runs a story to its end on the spot; after a fault the same story
is told a step per tick, so that the daemon stays answerable while the controller comes back.
No story waits without a deadline.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Final, TypeAlias, TypeVar

from daemons.nvmed import identify
from daemons.nvmed.queues import AdminQueue, Answer, QueuePair
from daemons.nvmed.regs import (
    ACQ,
    AQA,
    ASQ,
    CC,
    CQE,
    CSTS,
    GONE,
    PAGE,
    SQE,
    VS,
    AbortDw10,
    AdminOpcode,
    CreateCqDw11,
    CreateSqDw11,
    Feature,
    IdentifyController,
    IdentifyDw10,
    NumberOfQueues,
    NvmeRegs,
    QueueDw10,
    SetFeaturesDw10,
    Shutdown,
    ShutdownStatus,
    Structure,
    head_doorbell,
)
from daemons.nvmed.status import describe
from redbear_host.bits import Clock
from redbear_host.errors import DeviceError, Gone, Stuck
from redbear_host.hw.ports import PciFunction

T = TypeVar("T")
Story: TypeAlias = Generator[None, None, T]

DEPTH: Final = 32  # admin queue entries
READY_UNIT_S: Final = 0.5  # what CAP.TO and CRTO count
READY_MOST_S: Final = 300.0  # CRTO can name nine hours
MOST_NAMESPACES: Final = 1024  # more would be a device that lists for ever

_log = logging.getLogger(__name__)


class Admin:
    """A controller's registers and its admin queue."""

    def __init__(self, function: PciFunction, clock: Clock, timeout: float) -> None:
        """Read what the controller can do; `timeout` is for one admin command, in seconds.

        Raises `Gone` when nothing answers and `DeviceError` for a controller that has no NVM
        command set.
        """
        mmio = function.bar(0)
        self.clock: Final = clock
        self.timeout: Final = timeout
        self.regs: Final = NvmeRegs(mmio)
        self._address: Final = function.address
        self.cap: Final = self.regs.CAP.read()
        if self.regs.CSTS.read().raw == GONE:
            raise Gone(f"controller {self._address} does not answer")
        if not self.cap.CSS_NVM:
            raise DeviceError(f"controller {self._address} has no NVM command set: {self.cap!r}")
        bell = head_doorbell(0, self.cap)
        if bell + 4 > mmio.size:
            raise DeviceError(
                f"controller {self._address} has {mmio.size:#x} bytes of registers, and its first "
                f"doorbell at {bell:#x}"
            )
        # The smallest page it takes: then a short transfer needs the least memory.
        self.page: Final = PAGE << self.cap.MPSMIN
        units = max(1, self.cap.TO, self._ready_timeout())
        self.patience: Final = min(READY_UNIT_S * units, READY_MOST_S)
        self.queue: Final = AdminQueue(DEPTH, function.dma, mmio, self.cap, self.page)
        self._answer: Final = function.dma.alloc(self.page, align=self.page)

    def _ready_timeout(self) -> int:
        modern = self.regs.VS.read().MJR >= 2 and (self.cap.CRWMS or self.cap.CRIMS)
        return self.regs.CRTO.read().CRWMT if modern else 0

    def status(self) -> CSTS:
        """Read CSTS; `Gone` when the device has left."""
        csts = self.regs.CSTS.read()
        if csts.raw == GONE:
            raise Gone(f"controller {self._address} has left")
        return csts

    def release(self) -> None:
        """Give the memory back; only while the controller is disabled."""
        self.queue.release()
        self._answer.free()

    # -- enabling and disabling --------------------------------------------------------------------

    def disable(self, inherited: bool = False) -> Story[None]:
        """Reset the controller (3.7.2): after this it touches no memory of ours.

        `inherited` says that somebody else may have enabled it, at any time.
        """
        csts = self.status()
        enabled = self.regs.CC.read().EN
        if inherited and enabled and not csts.RDY and not csts.CFS:
            # Clearing EN while the controller is still coming up is undefined (3.1.3.5); whoever
            # drove it before us may have died just then.
            try:
                yield from self._until(lambda s: s.RDY or s.CFS)
            except Stuck as error:
                _log.warning("%s: never became ready, disabling it: %s", self._address, error)
        if enabled:
            with self.regs.CC.edit() as cc:
                cc.EN = False
                cc.SHN = Shutdown.NONE
        yield from self._until(lambda s: not s.RDY)

    def enable(self) -> Story[None]:
        """Enable a disabled controller with empty admin queues (3.5.1)."""
        queue = self.queue
        queue.reset()
        self.regs.AQA.write(AQA(ASQS=queue.entries - 1, ACQS=queue.entries - 1))
        self.regs.ASQ.write(ASQ(ASQB=queue.tail_iova // PAGE))
        self.regs.ACQ.write(ACQ(ACQB=queue.head_iova // PAGE))
        self.regs.CC.write(
            CC(
                EN=True,
                MPS=self.cap.MPSMIN,
                IOSQES=SQE.size.bit_length() - 1,
                IOCQES=CQE.size.bit_length() - 1,
            )
        )
        csts = yield from self._until(lambda s: s.RDY or s.CFS)
        if csts.CFS:
            raise DeviceError(f"controller {self._address} failed while it was enabled: {csts!r}")

    def shutdown(self, within: float) -> Story[None]:
        """Tell the controller that it will be disabled, so that it saves its cache (3.6.1)."""
        with self.regs.CC.edit() as cc:
            cc.SHN = Shutdown.NORMAL
        yield from self._until(lambda s: s.SHST is ShutdownStatus.COMPLETE or s.CFS, within)

    def _until(self, ready: Callable[[CSTS], bool], within: float = 0.0) -> Story[CSTS]:
        within = within or self.patience
        deadline = self.clock.now() + within
        while True:
            late = self.clock.now() >= deadline
            csts = self.status()
            if ready(csts):
                return csts
            if late:
                raise Stuck(f"controller {self._address}: {csts!r} after {within:g} s")
            yield

    # -- commands ----------------------------------------------------------------------------------

    def ask(self, sqe: SQE) -> Story[Answer]:
        """Issue an admin command and wait for its answer.

        Raises `Stuck` after `timeout`, `DeviceError` when the controller fails meanwhile.
        """
        answers: list[Answer] = []
        self.queue.submit(sqe, answers.append)
        deadline = self.clock.now() + self.timeout
        while not answers:
            late = self.clock.now() >= deadline
            self.queue.reap()
            if answers:
                break
            if self.queue.trouble:
                raise DeviceError(f"controller {self._address}: {self.queue.trouble}")
            if (csts := self.status()).CFS:
                raise DeviceError(f"controller {self._address} has failed: {csts!r}")
            if late:
                name = AdminOpcode(sqe.OPC).name
                raise Stuck(
                    f"controller {self._address}: no answer to {name} in {self.timeout:g} s"
                )
            yield
        return answers[0]

    def require(self, sqe: SQE) -> Story[int]:
        """As `ask`, for a command that has to succeed; returns completion dword 0."""
        answer = yield from self.ask(sqe)
        if answer.status is None or answer.status.SC or answer.status.SCT:
            how = "was lost in a reset" if answer.status is None else describe(answer.status)
            name = AdminOpcode(sqe.OPC).name
            raise DeviceError(f"controller {self._address}: {name} failed: {how}")
        return answer.result

    def _identify(self, structure: Structure, nsid: int) -> Story[bytes]:
        sqe = SQE(
            OPC=AdminOpcode.IDENTIFY,
            NSID=nsid,
            PRP1=self._answer.iova,
            CDW10=IdentifyDw10(CNS=structure).raw,
        )
        # Or a controller that is done and has brought nothing would repeat its last answer.
        self._answer.view[: IdentifyController.size] = bytes(IdentifyController.size)
        yield from self.require(sqe)
        return bytes(self._answer.view[: IdentifyController.size])

    def identify_controller(self) -> Story[identify.Identity]:
        """Who the controller is and what it can do."""
        raw = yield from self._identify(Structure.CONTROLLER, 0)
        return identify.controller(raw, self.cap)

    def identify_namespace(self, nsid: int) -> Story[identify.Geometry]:
        """Return a namespace's size and format; `Unusable` for one this driver does not serve."""
        raw = yield from self._identify(Structure.NAMESPACE, nsid)
        return identify.namespace(nsid, raw)

    def active_namespaces(self, most: int) -> Story[list[int]]:
        """List the namespaces in use, of at most `most` (NN)."""
        vs: VS = self.regs.VS.read()
        if (vs.MJR, vs.MNR) < (1, 1):  # the list came with revision 1.1
            return list(range(1, min(most, MOST_NAMESPACES) + 1))
        nsids: list[int] = []
        while len(nsids) < MOST_NAMESPACES:
            above = nsids[-1] if nsids else 0
            raw = yield from self._identify(Structure.ACTIVE_NAMESPACES, above)
            found = identify.active_list(raw, above, most)
            nsids += found
            if len(found) < len(raw) // 4:
                break
        return nsids[:MOST_NAMESPACES]

    # -- queues ------------------------------------------------------------------------------------

    def geometries(self, most: int) -> Story[list[identify.Geometry]]:
        """Identify all active namespaces, of `most`; leave out, with a word, what is unusable."""
        found = []
        for nsid in (yield from self.active_namespaces(most)):
            try:
                found.append((yield from self.identify_namespace(nsid)))
            except identify.Unusable as why:
                _log.warning("%s: %s", self._address, why)
        return found

    def set_queue_count(self, count: int) -> Story[int]:
        """Ask for `count` I/O queue pairs; return how many the controller grants, at least 1."""
        sqe = SQE(
            OPC=AdminOpcode.SET_FEATURES,
            CDW10=SetFeaturesDw10(FID=Feature.NUMBER_OF_QUEUES).raw,
            CDW11=NumberOfQueues(NSQ=count - 1, NCQ=count - 1).raw,
        )
        granted = NumberOfQueues.of((yield from self.require(sqe)))
        return min(count, granted.NSQ + 1, granted.NCQ + 1)

    def create(self, pair: QueuePair, interrupts: bool) -> Story[None]:
        """Create a queue pair: the completion queue first, since the other names it."""
        dw10 = QueueDw10(QID=pair.qid, QSIZE=pair.entries - 1).raw
        yield from self.require(
            SQE(
                OPC=AdminOpcode.CREATE_IO_CQ,
                PRP1=pair.head_iova,
                CDW10=dw10,
                CDW11=CreateCqDw11(PC=True, IEN=interrupts, IV=pair.vector).raw,
            )
        )
        yield from self.require(
            SQE(
                OPC=AdminOpcode.CREATE_IO_SQ,
                PRP1=pair.tail_iova,
                CDW10=dw10,
                CDW11=CreateSqDw11(PC=True, CQID=pair.qid).raw,
            )
        )

    def delete(self, pair: QueuePair) -> Story[None]:
        """Delete a queue pair: the submission queue first."""
        for opcode in (AdminOpcode.DELETE_IO_SQ, AdminOpcode.DELETE_IO_CQ):
            yield from self.require(SQE(OPC=opcode, CDW10=QueueDw10(QID=pair.qid).raw))

    def abort(self, qid: int, cid: int, done: Callable[[Answer], None]) -> None:
        """Ask the controller to abort one command; it need not comply."""
        dw10 = AbortDw10(SQID=qid, CID=cid).raw
        self.queue.submit(SQE(OPC=AdminOpcode.ABORT, CDW10=dw10), done)
