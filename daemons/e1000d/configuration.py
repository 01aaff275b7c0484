"""What the card is told when it is set up, and whether it still is as it was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from daemons.e1000d.part import Part
from daemons.e1000d.receive import ReceiveRing
from daemons.e1000d.regs import (
    CTRL,
    ITR,
    ITR_UNIT_NS,
    IVAR,
    LONGEST_WITHOUT_LPE,
    PBA,
    RCTL,
    RFCTL,
    RXCSUM,
    RXDCTL,
    TCTL,
    TIPG,
    TXDCTL,
    VLAN_ETHER_TYPE,
    Causes,
    E1000Regs,
    Half,
    Regs82574,
    Word,
)
from daemons.e1000d.transmit import TransmitRing

_LOW: Final = (1 << 32) - 1
_SECOND_NS: Final = 1_000_000_000
_LONG: Final = 8192  # bytes; longer frames need a larger share of the packet buffer for sending


@dataclass(frozen=True)
class Wishes:
    """What a user may choose; see daemon.toml."""

    receive: int = 512
    transmit: int = 256
    max_frame: int = LONGEST_WITHOUT_LPE
    interrupts: int = 20000  # a second, at most; 0 for no limit
    vlan: int = 0  # 0: tags pass as they are


class Configuration:
    """Every register that is set once, for one card and one set of wishes."""

    def __init__(self, part: Part, wishes: Wishes, rx: ReceiveRing, tx: TransmitRing) -> None:
        long = wishes.max_frame > LONGEST_WITHOUT_LPE
        vlan = bool(wishes.vlan)
        self._part: Final = part
        self._rx: Final = rx
        self._tx: Final = tx
        self.ctrl: Final = CTRL(SLU=True, ASDE=not part.express, VME=vlan)
        self.rctl: Final = RCTL(EN=True, MPE=True, LPE=long, BAM=True, VFE=vlan, SECRC=True)
        self._rxdctl: Final = RXDCTL(GRAN=True, WTHRESH=0)
        self._txdctl: Final = TXDCTL(GRAN=True, COUNT_DESC=part.express)
        # Full duplex has no collisions; the values are those of the manual for both (13.4.34).
        self.tctl: Final = TCTL(EN=True, PSP=True, CT=0x0F, COLD=0x40)
        self._tipg: Final = TIPG(IPGT=8, IPGR1=8, IPGR2=6)
        self._rxcsum: Final = RXCSUM(IPOFLD=True, TUOFLD=True)
        self._pba: Final = PBA(RXA=part.packet_buffer if wishes.max_frame > _LONG else 0)
        interval = _SECOND_NS // (ITR_UNIT_NS * wishes.interrupts) if wishes.interrupts else 0
        self._itr: Final = ITR(INTERVAL=min(interval, (1 << 16) - 1))

    def apply(self, regs: E1000Regs, more: Regs82574 | None) -> None:
        """Set up a card that was just reset, all but its filters; nothing is enabled yet (14.3)."""
        with regs.CTRL.edit() as ctrl:
            ctrl.SLU, ctrl.ASDE, ctrl.VME = True, self.ctrl.ASDE, self.ctrl.VME
            ctrl.LRST = ctrl.FRCSPD = ctrl.FRCDPLX = ctrl.ILOS = ctrl.RFCE = ctrl.TFCE = False
        for register in (regs.FCAL, regs.FCRTL, regs.FCRTH):
            register.write(Word())
        for half in (regs.FCAH, regs.FCT, regs.FCTTV, regs.RDTR, regs.RADV, regs.TIDV, regs.TADV):
            half.write(Half())
        regs.VET.write(Half(VALUE=VLAN_ETHER_TYPE))
        if self._pba.RXA:
            regs.PBA.write(self._pba)
        regs.RXCSUM.write(self._rxcsum)
        if more is not None:
            more.RFCTL.write(RFCTL())
        regs.RDBAL.write(Word(VALUE=self._rx.iova & _LOW))
        regs.RDBAH.write(Word(VALUE=self._rx.iova >> 32))
        regs.RDLEN.write(Word(VALUE=self._rx.size))
        regs.RDH.write(Half())
        regs.RDT.write(Half())
        regs.RXDCTL.write(self._rxdctl)
        regs.TDBAL.write(Word(VALUE=self._tx.iova & _LOW))
        regs.TDBAH.write(Word(VALUE=self._tx.iova >> 32))
        regs.TDLEN.write(Word(VALUE=self._tx.size))
        regs.TDH.write(Half())
        regs.TDT.write(Half())
        regs.TXDCTL.write(self._txdctl)
        regs.TIPG.write(self._tipg)

    def holds(self, regs: E1000Regs) -> bool:
        """Whether the card runs as `apply` and enabling leave it, and has nothing left to send."""
        ctrl, rctl = regs.CTRL.read(), regs.RCTL.read()
        rctl.UPE = False  # that may have been asked for since
        head, tail = regs.TDH.read().VALUE, regs.TDT.read().VALUE
        return (
            (ctrl.RST, ctrl.SLU, ctrl.VME) == (False, True, self.ctrl.VME)
            and rctl == self.rctl
            and regs.TCTL.read() == self.tctl
            and regs.RDBAL.read().VALUE == self._rx.iova & _LOW
            and regs.RDBAH.read().VALUE == self._rx.iova >> 32
            and regs.RDLEN.read().VALUE == self._rx.size
            and regs.RDH.read().VALUE < self._rx.entries
            and regs.TDBAL.read().VALUE == self._tx.iova & _LOW
            and regs.TDBAH.read().VALUE == self._tx.iova >> 32
            and regs.TDLEN.read().VALUE == self._tx.size
            and head == tail < self._tx.entries
        )

    def route_interrupts(self, regs: E1000Regs, more: Regs82574 | None, vectors: int) -> None:
        """Let causes come no oftener than was wished; in MSI-X, all but frames by the last vector.

        The causes of frames clear when their message is sent: nothing has to be read for them, and
        none that comes meanwhile can be cleared by mistake.
        """
        regs.ITR.write(self._itr)
        if more is not None:
            more.EITR0.write(self._itr)
            more.IVAR.write(
                IVAR(RXQ0_VALID=True, TXQ0_VALID=True, OTHER=vectors - 1, OTHER_VALID=True)
            )
            more.EIAC.write(Causes(RXQ0=True, TXQ0=True))
            more.IAM.write(Word())
