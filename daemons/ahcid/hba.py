"""The host bus adapter as a whole: taking it over, resetting it, letting it interrupt."""

from __future__ import annotations

from typing import Final

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
        with regs.GHC.edit() as ghc:
            ghc.HR = True
        yield from until(clock, lambda: not self._resetting(), RESET_S, "reset")
        yield from self._enable()
        if not regs.PI.read().PORTS:
            regs.PI.write(implemented)
        self._take_stock()

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
        room = (self.mmio.size - PORT_BASE) // PORT_SIZE
        there = [n for n in range(PORTS) if self._implemented.PORTS >> n & 1]
        if not there or there[-1] >= room:
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
