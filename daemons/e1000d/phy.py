"""The transceiver behind MDIC: its registers, and what makes it look for a link."""

from __future__ import annotations

from typing import Final

from daemons.e1000d.regs import BMCR, MDIC, PHY_ADDRESS, E1000Regs, MdicOp, PhyRegister
from redbear_host.bits import Clock
from redbear_host.errors import DeviceError

WITHIN_S: Final = 0.02  # one access takes 64 us on the wire (SDM 8.2)


class Phy:
    """The internal PHY of one card."""

    def __init__(self, regs: E1000Regs, clock: Clock) -> None:
        self._mdic: Final = regs.MDIC
        self._clock: Final = clock

    def read(self, register: PhyRegister) -> int:
        """Read a register; `Stuck` when nobody answers, `DeviceError` when it is refused."""
        return self._ask(register, MdicOp.READ, 0)

    def write(self, register: PhyRegister, value: int) -> None:
        """Write a register; raises as `read`."""
        self._ask(register, MdicOp.WRITE, value)

    def _ask(self, register: PhyRegister, op: MdicOp, value: int) -> int:
        self._mdic.write(MDIC(DATA=value, REGADD=register, PHYADD=PHY_ADDRESS, OP=op))
        answer = self._mdic.wait(lambda it: it.R or it.E, self._clock, WITHIN_S)
        if answer.E:
            raise DeviceError(f"the PHY refuses register {register.name}: {answer!r}")
        return answer.DATA

    def wake(self) -> None:
        """Let it negotiate a link, unless it does or has already: beginning anew costs the link."""
        control = BMCR.of(self.read(PhyRegister.BMCR))
        asleep = control.POWER_DOWN or control.ISOLATE or control.LOOPBACK
        if asleep or not control.AUTO_NEGOTIATION:
            self.write(PhyRegister.BMCR, BMCR(AUTO_NEGOTIATION=True, RESTART=True).raw)

    def set_loopback(self, on: bool) -> None:
        """Let what is sent come back, for tests; the link is of no matter then."""
        self.write(PhyRegister.BMCR, BMCR(AUTO_NEGOTIATION=not on, LOOPBACK=on).raw)
