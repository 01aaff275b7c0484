"""How a port comes up, and how it comes back: the stories behind `daemons.ahcid.port`.

Commands that are to be issued again go back to the front of those that wait before anything else is
tried: whatever breaks in the middle, none is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from daemons.ahcid import fis, medium
from daemons.ahcid.identify import AtaIdentity, PacketIdentity, Unusable, disk, packet_device
from daemons.ahcid.link import kind
from daemons.ahcid.regs import (
    LOG_NCQ_ERROR,
    Ata,
    NcqErrorLog,
    NcqTag,
    PxIS,
    Signature,
    TaskError,
)
from daemons.ahcid.slots import SCRATCH, WRITE_QUEUED, Command, Single
from daemons.ahcid.state import State
from daemons.ahcid.status import failed
from daemons.ahcid.story import Story, pause, until
from redbear_host.abi import errno as e
from redbear_host.classes.commands import AtaResult
from redbear_host.errors import DeviceError, Stuck
from redbear_host.hw.ports import Clock

if TYPE_CHECKING:
    from daemons.ahcid.port import Port

ASK_S: Final = 10.0  # what a command of the driver's own may take
DEBOUNCE_S: Final = 0.1  # a plug bounces
TRIES: Final = 3  # of a command that a noisy link spoiled

_TFES: Final = PxIS(TFES=True).raw

_log = logging.getLogger(__name__)


class Recovery:
    """The stories of one port; what they know about its device is learnt by the first."""

    def __init__(self, port: Port, clock: Clock, *, spin_up: bool) -> None:
        """Made by `Port`; `spin_up` says that devices wait to be told (CAP.SSS)."""
        self._port: Final = port
        self._clock: Final = clock
        self._spin_up: Final = spin_up
        self._condemned: list[object] = []
        self.identity: AtaIdentity | PacketIdentity | None = None
        self.medium = medium.NONE

    def condemn(self, late: Iterable[object]) -> None:
        """Let these commands end with EIO, once the device cannot reach their memory any more."""
        self._condemned += late

    # -- stories -----------------------------------------------------------------------------------

    def rise(self) -> Story[None]:
        """Come up after the adapter was reset: what it had is forgotten."""
        self._collect()
        yield from self._port.link.receive(self._port.commands, spin_up=self._spin_up)
        yield from self._meet()

    def reset(self) -> Story[None]:
        """Stop, reset the link, and come up."""
        yield from self._reset()
        yield from self._meet()

    def arrival(self) -> Story[None]:
        """Something was plugged in where a device had left."""
        yield from pause(self._clock, DEBOUNCE_S)
        if self._port.link.connected:
            _log.info("%s: something was plugged in", self._port.name)
            yield from self.reset()
        else:
            self._absent()

    def after_error(self) -> Story[None]:
        """Come back after the device ended a command with an error (6.2.2)."""
        port, commands, link = self._port, self._port.commands, self._port.link
        single, result = commands.running, commands.result()
        yield from link.stop()
        clean = link.forgotten and not link.occupied
        suspects = commands.evict()
        commands.backlog.extendleft(reversed(suspects.values()))
        commands.running = None
        if single is not None:
            self._judge(single, result)
        spoiled = None
        if clean:
            link.start()
            if suspects:
                spoiled = yield from self._ncq_error()
        if spoiled is None and (suspects or not clean):
            # The device has left its error state only after the log was read, or a reset.
            yield from self._reset()
            if not (yield from self._known()):
                return
        if suspects:
            self._sort(suspects, spoiled)
        port.run()

    # -- their parts -------------------------------------------------------------------------------

    def _reset(self) -> Story[None]:
        port = self._port
        port.counters.comresets += 1
        yield from port.link.stop()
        yield from port.link.comreset()
        self._collect()

    def _meet(self) -> Story[None]:
        if (yield from self._known()):
            self._port.run()

    def _known(self) -> Story[bool]:
        """Wait for the device and find out who it is; False when it is none to go on with."""
        port = self._port
        starting = port.state is State.STARTING
        signature = yield from port.link.await_device()
        if signature is None:
            if starting:
                port.leave(State.EMPTY, e.ENXIO)
            else:
                _log.error("%s: its device has left", port.name)
                self._absent()
            return False
        if signature not in (Signature.ATA, Signature.ATAPI):
            raise Unusable(f"has {kind(signature)}, which this driver does not serve")
        port.link.start()
        identity = yield from self._identify(signature)
        if starting:
            self.identity = identity
            if isinstance(identity, AtaIdentity):
                depth = min(identity.depth, port.slots) if port.ncq else 0
                port.commands.resize(max(depth, 1))
            else:
                self.medium = yield from medium.find(self.ask_packet, self._clock, identity)
            return True
        if self._same(identity):
            return True
        _log.error("%s: another device was plugged in: %s", port.name, identity.model)
        self._absent()
        return False

    def _absent(self) -> None:
        """Serve nothing until something is plugged in."""
        port = self._port
        port.leave(State.ABSENT, e.ENXIO)
        port.link.clear()
        port.link.listen()

    def _same(self, identity: AtaIdentity | PacketIdentity) -> bool:
        before = self.identity
        if before is None or identity.who != before.who:
            return False
        if isinstance(identity, AtaIdentity) and isinstance(before, AtaIdentity):
            size = identity.blocks, identity.block_size
            return size == (before.blocks, before.block_size)
        return type(identity) is type(before)

    def _identify(self, signature: Signature) -> Story[AtaIdentity | PacketIdentity]:
        is_disk = signature is Signature.ATA
        opcode = Ata.IDENTIFY_DEVICE if is_disk else Ata.IDENTIFY_PACKET_DEVICE
        self._port.commands.scratch[:] = bytes(SCRATCH)
        result = yield from self.ask(fis.short(opcode), SCRATCH)
        if failed(result):
            raise DeviceError(f"{opcode.name} failed")
        raw = bytes(self._port.commands.scratch)
        return disk(raw) if is_disk else packet_device(raw)

    def ask(self, frame: fis.Frame, size: int) -> Story[AtaResult]:
        """Execute a command of the driver's own, with `size` bytes of the list's scratch memory."""
        commands, link = self._port.commands, self._port.link

        def answered() -> bool:
            return commands.ended or bool(link.regs.IS.read().raw & _TFES)

        commands.begin(Single(frame, commands.scratch_iova, size, _nobody))
        yield from until(self._clock, answered, ASK_S, f"answered command {frame.dw0 >> 16:#x}")
        commands.running = None
        result = commands.result()
        if failed(result):
            yield from link.stop()
            if link.occupied:
                raise DeviceError(f"is busy after command {frame.dw0 >> 16:#x} has failed")
            link.start()
        return result

    def ask_packet(self, cdb: bytes, size: int) -> Story[tuple[AtaResult, bytes]]:
        """Execute a packet command of the driver's own that reads `size` bytes."""
        identity = self.identity
        if not isinstance(identity, PacketIdentity):
            raise TypeError("no packet device is known here")
        frame = fis.packet(
            cdb.ljust(identity.packet, b"\0"), size,
            to_device=False, dma=identity.dma, dmadir=identity.dmadir,
        )  # fmt: skip
        self._port.commands.scratch[:size] = bytes(size)
        result = yield from self.ask(frame, size)
        return result, bytes(self._port.commands.scratch[:size])

    def _ncq_error(self) -> Story[tuple[int, AtaResult] | None]:
        """Read which queued command failed, and how (ACS-3, A.14); None when nobody can say."""
        identity = self.identity
        if not isinstance(identity, AtaIdentity) or not identity.logs:
            return None
        self._port.commands.scratch[:] = bytes(SCRATCH)
        try:
            result = yield from self.ask(fis.ext(Ata.READ_LOG_EXT, LOG_NCQ_ERROR, 1), SCRATCH)
        except Stuck:
            return None
        page = bytes(self._port.commands.scratch)
        log = NcqErrorLog.load(page)
        tag = NcqTag.of(log.TAG)
        why = AtaResult(0, log.STATUS, log.ERROR)
        # What tells of no error is no such log: none came, and nothing lies where it should.
        if failed(result) or sum(page) & 0xFF or tag.NQ or not failed(why):
            return None
        return tag.TAG, why

    def _judge(self, single: Single, result: AtaResult) -> None:
        """End a command that ran alone and failed; one that the link spoiled is tried again."""
        if single.tries > 0 and TaskError.of(result.error).ICRC:
            self._port.commands.singles.appendleft(single)
        else:
            if not failed(result):  # PxIS said so, and the registers do not
                result = AtaResult(e.EIO, result.status, result.error)
            single.done(result)

    def _sort(
        self,
        suspects: dict[int, Command],
        spoiled: tuple[int, AtaResult] | None,
    ) -> None:
        """Decide about the queued commands that an error has ended; they wait, first of all.

        The one that failed is known by its tag.  Else they are tried again one by one, unqueued, so
        that the error finds its command; also where there is one only: QEMU's disk, which has no
        log, may report the error of an earlier command once more with the next that is queued.
        """
        commands = self._port.commands
        for _ in suspects:
            commands.backlog.popleft()
        tag, result = spoiled or (-1, AtaResult(0))
        guilty = suspects.get(tag)
        if guilty is None or TaskError.of(result.error).ICRC:
            commands.singles.extendleft(map(self._alone, reversed(suspects.values())))
            return
        commands.backlog.extendleft(it for it in reversed(suspects.values()) if it is not guilty)
        self._port.report(result, f"queued command at block {guilty[2]}")
        guilty[6](e.EIO)

    def _alone(self, command: Command) -> Single:
        """Make a queued read or write one that runs alone."""
        _, word, lba, blocks, iova, size, done = command
        write = word == WRITE_QUEUED
        opcode = Ata.WRITE_DMA_EXT if write else Ata.READ_DMA_EXT
        port = self._port

        def ended(result: AtaResult) -> None:
            if failed(result):
                port.report(result, f"{opcode.name} at block {lba}")
                done(e.EIO)
            else:
                done(0 if result.moved == size else e.EIO)

        return Single(
            fis.ext(opcode, lba, blocks & 0xFFFF, write=write), iova, size, ended, tries=TRIES
        )

    def _collect(self) -> None:
        """Take back what the device had: it cannot reach it any more."""
        port, commands = self._port, self._port.commands
        condemned, self._condemned = self._condemned, []
        hopeless = {id(it) for it in condemned}
        evicted = list(commands.evict().values())
        ended = [it for it in evicted if id(it) in hopeless]
        commands.backlog.extendleft(it for it in reversed(evicted) if id(it) not in hopeless)
        single, commands.running = commands.running, None
        lost = []
        if single is not None:
            if single.tries > 0 and id(single) not in hopeless:
                commands.singles.appendleft(single)
            else:
                lost.append(single)
        port.counters.timeouts += len(ended) + len(lost)
        port.end(ended, lost, e.EIO)


def _nobody(result: AtaResult) -> None:
    """Hear the end of a command that its story looks after itself."""
