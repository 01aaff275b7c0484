"""The host bus adapter as a whole: taking it over, resetting it, letting it interrupt."""

from __future__ import annotations

from typing import Final

from daemons.ahcid.link import Link
from daemons.ahcid.regs import CAP, GONE, PORT_BASE, PORT_SIZE, PORTS, Host, PortMask
from daemons.ahcid.story import Story, until
from redbear_host.errors import DeviceError, Gone, Stuck
from redbear_host.hw.ports import Clock, Mmio

RESET_S: Final = 1.0  # GHC.HR clears within a second (10.4.3)
HANDOFF_S: Final = 0.025  # the BIOS answers within 25 ms (10.6.3) …
BUSY_S: Final = 2.0  # … or says that it is busy, and then has 2 s
ENABLE_S: Final = 0.05


class Adapter:
    """Generic host control."""

    def __init__(self, mmio: Mmio, clock: Clock) -> None:
        """Bind to the registers; nothing is touched."""
        self.mmio: Final = mmio
        self.regs: Final = Host(mmio)
        self._clock: Final = clock
        self._room: Final = (mmio.size - PORT_BASE) // PORT_SIZE  # ports it has registers for
        self.cap = CAP()
        self.ports: tuple[int, ...] = ()
        self._implemented = PortMask()

    def reset(self) -> Story[None]:
        """Take the adapter over from whoever had it, and reset it (10.4.3, 10.6)."""
        regs, clock = self.regs, self._clock
        if regs.GHC.read().raw == GONE:
            raise Gone("the adapter has left")
        if regs.CAP2.read().BOH:
            yield from self._handoff()
        yield from self._enable()
        # A BIOS writes what the board has; adapters differ in whether a reset forgets it.
        implemented = regs.PI.read()
        yield from self._quiet(implemented)
        with regs.GHC.edit() as ghc:
            ghc.HR = True
        yield from until(clock, lambda: not self._resetting(), RESET_S, "reset")
        yield from self._enable()
        if not regs.PI.read().PORTS:
            regs.PI.write(implemented)
        self._take_stock()

    def _quiet(self, implemented: PortMask) -> Story[None]:
        """Stop the ports that run, and reset their links, while they still receive FISes.

        A device that completes commands in the middle of GHC.HR may leave them for those who come
        after: QEMU (7.2) remembers queued commands that ended while the port took no FIS, and then
        reports a successor's commands with the same tags as done.
        """
        for number in range(PORTS):
            if not implemented.PORTS >> number & 1 or self._room <= number:
                continue
            link = Link(number, self.mmio, self._clock)
            cmd = link.regs.CMD.read()
            if not (cmd.ST or cmd.CR):
                continue
            link.hush()
            try:
                yield from link.stop()
            except Stuck:
                continue  # the reset that follows is for such ports
            yield from link.comreset()

    def _resetting(self) -> bool:
        ghc = self.regs.GHC.read()
        if ghc.raw == GONE:
            raise Gone("the adapter has left")
        return ghc.HR

    def _handoff(self) -> Story[None]:
        regs, clock = self.regs, self._clock
        with regs.BOHC.edit() as bohc:
            bohc.OOS = True
        try:
            yield from until(clock, lambda: not regs.BOHC.read().BOS, HANDOFF_S, "handed over")
        except Stuck:
            if not regs.BOHC.read().BB:
                return  # a BIOS that does not answer has no more to say (10.6.3)
            try:
                yield from until(clock, lambda: not regs.BOHC.read().BOS, BUSY_S, "handed over")
            except Stuck:
                return

    def _enable(self) -> Story[None]:
        """Set GHC.AE; some adapters want it written more than once."""

        def enabled() -> bool:
            ghc = self.regs.GHC.read()
            if ghc.raw == GONE:
                raise Gone("the adapter has left")
            if ghc.AE:
                return True
            ghc.AE = True
            self.regs.GHC.write(ghc)
            return self.regs.GHC.read().AE

        yield from until(self._clock, enabled, ENABLE_S, "in AHCI mode")

    def _take_stock(self) -> None:
        self.cap = self.regs.CAP.read()
        self._implemented = self.regs.PI.read()
        there = [n for n in range(PORTS) if self._implemented.PORTS >> n & 1]
        if not there or there[-1] >= self._room:
            raise DeviceError(
                f"ports {self._implemented!r} do not fit in {self.mmio.size:#x} bytes of registers"
            )
        self.ports = tuple(there)

    def listen(self) -> None:
        """Let the adapter interrupt."""
        self.regs.IS.write(PortMask.of(0xFFFF_FFFF))
        with self.regs.GHC.edit() as ghc:
            ghc.IE = True

    def hush(self) -> None:
        """Let the adapter interrupt no more."""
        with self.regs.GHC.edit() as ghc:
            ghc.IE = False

    @property
    def gone(self) -> bool:
        """Whether it reads as all ones."""
        return self.regs.GHC.read().raw == GONE

    @property
    def sane(self) -> bool:
        """Whether it is still as this driver left it: a reset by somebody else is a loss."""
        ghc = self.regs.GHC.read()
        return ghc.AE and ghc.IE and not ghc.HR
