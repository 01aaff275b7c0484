"""A port's engines and its link: starting, stopping, COMRESET, and who is at the other end."""

from __future__ import annotations

from typing import Final

from daemons.ahcid.regs import (
    GONE,
    PORT_BASE,
    PORT_SIZE,
    Address,
    Detection,
    Port,
    PxCMD,
    PxIS,
    PxSCTL,
    PxSERR,
    Signature,
    SlotMask,
    TaskStatus,
)
from daemons.ahcid.slots import CommandList
from daemons.ahcid.story import Story, pause, until
from redbear_host.errors import Gone
from redbear_host.hw.ports import Clock, Mmio

ENGINE_S: Final = 0.5  # PxCMD.CR and FR clear within 500 ms (10.1.2)
DETECT_S: Final = 0.03  # a device is seen 10 ms after COMRESET (10.4.2); some are late
LINK_S: Final = 1.0  # from a device that is seen to one that communicates
READY_S: Final = 30.0  # spinning up
COMRESET_S: Final = 0.0015  # PxSCTL.DET stays 1 for at least 1 ms (10.4.2)

ALL_ERRORS: Final = PxSERR.of(0xFFFF_FFFF)
ALL_INTERRUPTS: Final = PxIS.of(0xFFFF_FFFF)
QUIET: Final = PxIS()
# What every port interrupts for, and what only those that are not polled do.
_ALARMS: Final = PxIS(
    UFS=True, PCS=True, PRCS=True, OFS=True, INFS=True, IFS=True, HBDS=True, HBFS=True, TFES=True
)
_NEWS: Final = PxIS(DHRS=True, PSS=True, SDBS=True)
_NO_POWER_SAVING: Final = 3  # PxSCTL.IPM
_ACTIVE: Final = 1  # PxCMD.ICC


class Link:
    """One port's registers, and what it takes to bring it into a known state."""

    def __init__(self, number: int, mmio: Mmio, clock: Clock, *, polled: bool = False) -> None:
        """Bind to the registers of port `number`."""
        self.regs: Final = Port(mmio, PORT_BASE + number * PORT_SIZE)
        self.clock: Final = clock
        enable = _ALARMS.raw if polled else _ALARMS.raw | _NEWS.raw
        self._enable: Final = PxIS.of(enable)

    def stop(self) -> Story[None]:
        """Stop processing the command list; the adapter then forgets what was issued."""
        regs = self.regs
        with regs.CMD.edit() as cmd:
            cmd.ST = False
        yield from until(self.clock, lambda: not self._cmd().CR, ENGINE_S, "stopped")

    def stop_receiving(self) -> Story[None]:
        """Stop both engines, so that the port reaches no memory."""
        yield from self.stop()
        with self.regs.CMD.edit() as cmd:
            cmd.FRE = False
        yield from until(self.clock, lambda: not self._cmd().FR, ENGINE_S, "quiet")

    def receive(self, commands: CommandList, *, spin_up: bool) -> Story[None]:
        """Give the port its memory, power its device and let FISes in; the list stays stopped."""
        regs = self.regs
        regs.IE.write(QUIET)
        yield from self.stop_receiving()
        for low, high, iova in (
            (regs.CLB, regs.CLBU, commands.list_iova),
            (regs.FB, regs.FBU, commands.received_iova),
        ):
            low.write(Address(ADDR=iova & 0xFFFF_FFFF))
            high.write(Address(ADDR=iova >> 32))
        self.clear()
        with regs.CMD.edit() as cmd:
            cmd.FRE = True
            cmd.ICC = _ACTIVE
            cmd.ALPE = False
            if cmd.CPD:
                cmd.POD = True
        regs.SCTL.write(PxSCTL(IPM=_NO_POWER_SAVING))
        if spin_up:
            with regs.CMD.edit() as cmd:
                cmd.SUD = True

    def await_device(self) -> Story[Signature | None]:
        """Wait for a device and until it is ready; None when there is none.

        `DeviceError` for one that is there and does not come to life.
        """
        clock, regs = self.clock, self.regs
        deadline = clock.now() + DETECT_S
        while self._detection() in (Detection.NOTHING, Detection.OFFLINE):
            if clock.now() >= deadline:
                return None
            yield
        yield from until(
            clock, lambda: self._detection() is Detection.READY, LINK_S, "communicating"
        )
        # A device's first FIS is let in only after SError.DIAG.X was cleared (10.4.2).
        regs.SERR.write(ALL_ERRORS)
        yield from until(clock, lambda: not self.occupied, READY_S, "ready")
        regs.IS.write(ALL_INTERRUPTS)
        return regs.SIG.read().SIG

    def comreset(self) -> Story[None]:
        """Reset the link and the device (10.4.2); the list has been stopped before.

        What the device still had of it is gone then, also where stopping alone is not enough.
        """
        regs = self.regs
        regs.SCTL.write(PxSCTL(DET=1, IPM=_NO_POWER_SAVING))
        yield from pause(self.clock, COMRESET_S)
        regs.SCTL.write(PxSCTL(IPM=_NO_POWER_SAVING))

    def start(self) -> None:
        """Process the command list; the device is ready and nothing is issued."""
        self.clear()
        with self.regs.CMD.edit() as cmd:
            cmd.ST = True

    def clear(self) -> None:
        """Forget all errors and interrupts; PxSERR first, as some of PxIS hang on it (3.3.5)."""
        self.regs.SERR.write(ALL_ERRORS)
        self.regs.IS.write(ALL_INTERRUPTS)

    def listen(self) -> None:
        """Let the port interrupt."""
        self.regs.IE.write(self._enable)

    def hush(self) -> None:
        """Let the port interrupt no more."""
        self.regs.IE.write(QUIET)

    @property
    def occupied(self) -> bool:
        """Whether the device is busy or wants data: the list must not be started."""
        status = TaskStatus.of(self.regs.TFD.read().STS)
        return status.BSY or status.DRQ

    @property
    def forgotten(self) -> bool:
        """Whether the adapter has forgotten what was issued, as it has to once it stopped."""
        nothing = SlotMask()
        return self.regs.SACT.read() == nothing and self.regs.CI.read() == nothing

    @property
    def connected(self) -> bool:
        """Whether a device is there and communicates."""
        return self._detection() is Detection.READY

    def _detection(self) -> Detection:
        status = self.regs.SSTS.read()
        if status.raw == GONE:
            raise Gone("the adapter has left")
        return status.DET

    def _cmd(self) -> PxCMD:
        cmd = self.regs.CMD.read()
        if cmd.raw == GONE:
            raise Gone("the adapter has left")
        return cmd


_KINDS: Final = {
    Signature.PORT_MULTIPLIER: "a port multiplier",
    Signature.SEMB: "an enclosure bridge",
}


def kind(signature: Signature) -> str:
    """Say what a port that is not served has, for the log."""
    return _KINDS.get(signature, f"a device with the unknown signature {signature:#010x}")
