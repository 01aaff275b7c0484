"""The card: start, on_interrupt, tick, stop, and what is done when it misbehaves.

Ref: Intel 8254x SDM 317453 and 82574 datasheet, as in regs.py; sections of the former.

The driver is synchronous and waits in `start`, `stop` and the reset of a card that misbehaves
(under 0.2 s, mostly a few milliseconds), never elsewhere.  Frames go through the rings
(receive.py, transmit.py), whose methods are the driver's own: nothing stands in between.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import Final, TypeVar

from daemons.e1000d import nvm
from daemons.e1000d.configuration import Configuration, Wishes
from daemons.e1000d.filters import Filters
from daemons.e1000d.part import PARTS
from daemons.e1000d.phy import Phy
from daemons.e1000d.receive import ReceiveRing
from daemons.e1000d.regs import (
    GONE,
    RCTL,
    STATUS,
    TCTL,
    Causes,
    E1000Regs,
    Half,
    Regs82574,
    Speed,
)
from daemons.e1000d.statistics import Statistics
from daemons.e1000d.transmit import TransmitRing
from daemons.e1000d.watch import Watch
from redbear_host.errors import DeviceError, Gone, Stuck
from redbear_host.hw.ports import Clock, InterruptKind, PciFunction

__all__ = ["Card", "Counters", "State", "Wishes"]

RING_LEAST: Final = 64  # entries
RESET_S: Final = 0.1  # for CTRL.RST to clear, and for what the card loads then
MASTER_S: Final = 0.1  # for requests on the bus to end (82574 5.2.3.3)
LOADS_S: Final = 0.005  # a card without EECD.AUTO_RD is given this long
THROTTLED_S: Final = 0.002  # for an interrupt that EITR holds back (82574 10.2.3.5)
DRAIN_S: Final = 0.05  # for what is still to be sent when the driver stops
PERIOD_S: Final = 0.5  # between two ticks
COUNT_S: Final = 60.0  # between two looks at the counters
RESETS_MOST: Final = 5  # within RESETS_S; one more and the card is left alone for that time
RESETS_S: Final = 30.0
SETTLES_S: Final = 2.0  # an inherited promiscuous mode that nobody asks for again ends then

_Ring = TypeVar("_Ring", ReceiveRing, TransmitRing)
_SPEEDS: Final = {Speed.MBPS_10: 10, Speed.MBPS_100: 100}
_ALL: Final = Causes.of(GONE)
_LINK: Final = Causes(LSC=True, RXSEQ=True).raw
_HEARD: Final = Causes(LSC=True, RXDMT0=True, RXO=True, RXT0=True)
_ROOM: Final = Causes(TXDW=True)
# The same in MSI-X, where queues have causes of their own, and OTHER stands for all the rest.
_HEARD_X: Final = Causes(LSC=True, RXQ0=True, OTHER=True)
_ROOM_X: Final = Causes(TXQ0=True)
_OTHER_X: Final = Causes(
    LSC=True, RXSEQ=True, RXO=True, MDAC=True, SRPD=True, ACK=True, MNG=True, OTHER=True
)

_log = logging.getLogger(__name__)


class State(Enum):
    """What the card is up to."""

    STOPPED = auto()
    RUNNING = auto()
    FAILED = auto()  # left alone for a while: resets did not help
    GONE = auto()  # has left


@dataclass(slots=True)
class Counters:
    """What went wrong so far."""

    resets: int = 0
    tx_hangs: int = 0
    tx_lost: int = 0  # frames that a reset caught before the card had fetched them
    nonsense: int = 0  # descriptors that cannot be
    late_interrupts: int = 0  # frames or room that a tick found before their interrupt came
    adopted: int = 0  # 1 when the card was taken over as it ran


def _ignore() -> None:
    """Nobody wants to know."""


class Card:
    """One Ethernet controller on one PCI function: a `NetworkAdapter`."""

    def __init__(
        self,
        function: PciFunction,
        clock: Clock,
        wishes: Wishes,
        kind: InterruptKind = InterruptKind.INTX,
        vectors: int = 1,
    ) -> None:
        """Prepare to drive `function`; nothing is touched before `start`.

        It interrupts by `vectors` of `kind`, of which it can use 2 of MSI-X.  `DeviceError` for a
        function that is none of the known cards.
        """
        part = PARTS.get(function.ids.device)
        if part is None:
            raise DeviceError(f"{function.address}: {function.ids.device:#06x} is no card we know")
        self.on_frames: Callable[[], object] = _ignore
        self.on_room: Callable[[], object] = _ignore
        self.on_link: Callable[[], object] = _ignore
        self.state = State.STOPPED
        self.link = 0
        self.counters: Final = Counters()
        self.max_frame: Final = min(wishes.max_frame, part.longest)
        self.deadline = 0.0  # clock time by which to call `tick`
        self._function: Final = function
        self._clock: Final = clock
        self._part: Final = part
        self._name: Final = f"{part.name} {function.address}"
        mmio = function.bar(0)
        self._regs: Final = E1000Regs(mmio)
        self._more: Final = Regs82574(mmio) if part.express else None
        self._read_nvm: Final = nvm.reader(mmio, clock, part.wide_eerd)
        self.phy: Final = Phy(self._regs, clock)
        self._filters: Final = Filters(mmio)
        self._statistics: Final = Statistics(mmio)
        self._rx: Final = self._fitting(wishes.receive, lambda entries: ReceiveRing(
            function.dma, entries, self.max_frame, bool(wishes.vlan),
            mmio.write32, self._regs.RDT.offset,
        ))  # fmt: skip
        self._tx: Final = self._fitting(wishes.transmit, lambda entries: TransmitRing(
            function.dma, entries, self.max_frame, wishes.vlan,
            mmio.write32, self._regs.TDT.offset,
        ))  # fmt: skip
        self._tx.on_full = self._ask_for_room
        self._watch: Final = Watch(self._regs, self._rx, self._tx)
        self._vlan: Final = wishes.vlan
        self._set: Final = Configuration(part, wishes, self._rx, self._tx)
        self._messages: Final = kind is InterruptKind.MSIX
        self._vectors: Final = vectors
        self._heard: Final = _HEARD_X if self._messages else _HEARD
        self._room: Final = _ROOM_X if self._messages else _ROOM
        self._icr: Final = self._regs.ICR.offset
        self._get: Final = mmio.read32
        self._mac = bytes(6)
        self._factory = bytes(6)
        self._promiscuous = False
        self._asked = False  # somebody has said what promiscuous is to be, in this life
        self._began = 0.0
        self._counted = 0.0
        self._resets: Final[deque[float]] = deque()

        self.received: Final = self._rx.received
        self.release: Final = self._rx.release
        self.slots: Final = self._tx.slots
        self.commit: Final = self._tx.commit
        self.put: Final = self._tx.put
        self.flush_queue: Final = self._tx.flush_queue

    def _fitting(self, wanted: int, make: Callable[[int], _Ring]) -> _Ring:
        """Make a ring of `wanted` entries, rounded up to a power of two, or of fewer if need be."""
        entries = 1 << (wanted - 1).bit_length()
        while True:
            try:
                return make(entries)
            except MemoryError as error:
                if entries <= RING_LEAST:
                    raise
                _log.warning("%s: a ring of %d is too large: %s", self._name, entries, error)
                entries //= 2

    # -- start and stop ----------------------------------------------------------------------------

    def start(self, inherited: bool = False) -> None:
        """Bring the card up from whatever state it is in.

        With `inherited`, a predecessor may have been killed in full health: then a card that runs
        just as we would have it run is taken over as it is (ADR 0025).  Raises `Gone`, `Stuck` or
        another `DeviceError`; the card is off the bus then.
        """
        self._function.set_bus_master(False)
        try:
            self._status()
            self._silence()
            if inherited and self._set.holds(self._regs):
                self._adopt()
            else:
                self._bring_up()
        except DeviceError:
            self._function.set_bus_master(False)
            raise
        now = self._clock.now()
        self._began = self._counted = now
        self.deadline = now + PERIOD_S
        _log.info(
            "%s: %s, %s, frames of up to %d bytes%s",
            self._name, self.mac.hex(":"), self._link_words, self.max_frame,
            ", taken over as it ran" * self.counters.adopted,
        )  # fmt: skip

    def stop(self) -> None:
        """Send what was committed, then switch the card off; never raises."""
        if self.state is State.RUNNING:
            deadline = self._clock.now() + DRAIN_S
            self.flush_queue()
            while self._watch.unsent and self._clock.now() < deadline:
                self._clock.pause(0.001)
            self._silence()
            self._regs.RCTL.write(RCTL())
            self._regs.TCTL.write(TCTL())
            self._clock.pause(THROTTLED_S)
        if self.state is not State.GONE:
            self._function.set_bus_master(False)
            self.state = State.STOPPED
        self.link = 0

    def _status(self) -> STATUS:
        status = self._regs.STATUS.read()
        if status.raw == GONE:
            raise Gone(f"{self._name} does not answer")
        return status

    def _silence(self) -> None:
        """Mask every interrupt, and forget those that wait."""
        self._regs.IMC.write(_ALL)
        self._regs.ICR.read()
        if self._more is not None:
            self._more.ICR.write(_ALL)  # in MSI-X reading clears nothing

    def _bring_up(self) -> None:
        """Reset the card and set it up (14.3 to 14.5); the bus is closed to it."""
        self._reset()
        self._factory = self._find_mac()
        if not any(self._mac):
            self._mac = self._factory
        self._set.apply(self._regs, self._more)
        try:
            self.phy.wake()
        except DeviceError as error:
            _log.warning("%s: its PHY is left as it is: %s", self._name, error)
        self._filters.reset(self._mac, self._vlan)
        self._statistics.collect()
        self._rx.reset()
        self._tx.reset()
        self._function.set_bus_master(True)
        self._set_receiver()
        self._regs.RDT.write(Half(VALUE=self._rx.tail))
        self._regs.TCTL.write(self._set.tctl)
        self._open()

    def _reset(self) -> None:
        """Reset everything but the configuration space and the PHY (13.4.1, 14.9)."""
        self._regs.RCTL.write(RCTL())
        self._regs.TCTL.write(TCTL())
        if self._part.express:
            with self._regs.CTRL.edit() as ctrl:
                ctrl.GIO_MASTER_DISABLE = True
            try:
                self._regs.STATUS.wait(lambda s: not s.GIO_MASTER_ENABLE, self._clock, MASTER_S)
            except Stuck as error:
                # With bus mastering off they end nowhere; the data sheet says to go on.
                _log.warning("%s: requests on the bus do not end: %s", self._name, error)
        with self._regs.CTRL.edit() as ctrl:
            ctrl.RST = True
        self._clock.pause(0.001)  # no register may be touched for a microsecond
        self._regs.CTRL.wait(lambda it: not it.RST, self._clock, RESET_S)
        if self._part.express:
            try:
                self._regs.EECD.wait(lambda it: it.AUTO_RD, self._clock, RESET_S)
            except Stuck as error:
                _log.warning("%s: it does not load its memory: %s", self._name, error)
        else:
            self._clock.pause(LOADS_S)
        self._status()
        self._silence()

    def _find_mac(self) -> bytes:
        if any(self._factory):
            return self._factory
        mac = nvm.hardware_address(self._read_nvm, self._name)
        if mac is None:
            mac = self._filters.mac  # the card has read its memory itself, after the reset
            if not nvm.is_station(mac):
                raise DeviceError(f"{self._name} has no hardware address: {mac.hex(':')}")
        return mac

    def _adopt(self) -> None:
        """Take over a card that runs, with the very rings it runs on.

        Nothing it may not be told while it is enabled is written; both rings lie where they lay, so
        whatever it fetched ahead is still true.  It stands where it stands, and so do we.
        """
        self._mac = self._factory = self._filters.mac
        self._promiscuous = self._regs.RCTL.read().UPE
        self._rx.reset()
        self._tx.reset(self._regs.TDT.read().VALUE)
        self._function.set_bus_master(True)
        self._rx.find_head(self._regs.RDH.read().VALUE % self._rx.entries)
        self._regs.RDT.write(Half(VALUE=self._rx.tail))
        self.counters.adopted = 1
        self._open()

    def _open(self) -> None:
        """Let interrupts through."""
        self.state = State.RUNNING
        self._watch.begin()
        self._set.route_interrupts(self._regs, self._more, self._vectors)
        self.link = self._speed(self._status())
        self._regs.IMS.write(self._heard)

    def _set_receiver(self) -> None:
        rctl = RCTL.of(self._set.rctl.raw)
        rctl.UPE = self._promiscuous
        self._regs.RCTL.write(rctl)

    # -- what the card has to say ------------------------------------------------------------------

    def on_interrupt(self, vector: int = 0) -> bool:
        """Look after whatever the card interrupts for; tell whether there was anything."""
        if self.state is not State.RUNNING:
            return False
        if self._messages:
            self._on_message(vector)
            return True
        causes = self._get(self._icr)  # which clears them
        if causes == GONE:
            self.gone()
            return False
        before = self.link
        if causes & _LINK:
            self._look_at_link()
        return self._look_at_rings() or self.link != before

    def _on_message(self, vector: int) -> None:
        if vector == self._vectors - 1 and self._more is not None:
            self._more.ICR.write(_OTHER_X)
            self._look_at_link()  # which reads a register: the write has arrived by then
        if vector == 0:
            self._look_at_rings()
            # QEMU's masks what it clears by itself, which the data sheet says of EIAME only.
            self._regs.IMS.write(self._heard)
            if self._tx.starved:
                self._regs.IMS.write(self._room)

    def _look_at_rings(self) -> bool:
        found = self._tx.starved and self._look_for_room()
        if self._rx.waiting:
            self.on_frames()
            if self._rx.trouble:
                self._complain()
            return True
        return found

    def _look_for_room(self) -> bool:
        if not self._tx.reclaim():
            return False
        self._tx.starved = False
        self._regs.IMC.write(self._room)
        self.on_room()
        return True

    def _ask_for_room(self) -> None:
        """Somebody waits for a slot: the next report of the card shall interrupt."""
        if self.state is State.RUNNING:
            self._regs.IMS.write(self._room)

    def _speed(self, status: STATUS) -> int:
        return _SPEEDS.get(status.SPEED, 1000) if status.LU else 0

    @property
    def _link_words(self) -> str:
        return f"link at {self.link} Mb/s" if self.link else "no link"

    def _look_at_link(self) -> None:
        status = self._regs.STATUS.read()
        if status.raw == GONE:
            self.gone()
            return
        self._set_link(self._speed(status))

    def _set_link(self, link: int) -> None:
        if link != self.link:
            self.link = link
            _log.info("%s: %s", self._name, self._link_words)
            self.on_link()

    def gone(self) -> None:
        """Hear that the function has left: nothing comes or goes any more."""
        if self.state in (State.RUNNING, State.FAILED):
            self.state = State.GONE
            still = ", though its slot is not empty" * (not self._function.gone)
            _log.error("%s has left%s", self._name, still)
            self._set_link(0)

    # -- what no interrupt announces ---------------------------------------------------------------

    def tick(self, now: float) -> float:
        """Look for lost interrupts, hangs and nonsense; return the time by which to call again."""
        self.deadline = now + PERIOD_S
        if self.state is State.RUNNING:
            self._look(now)
        elif self.state is State.FAILED:
            again = self._resets[-1] + RESETS_S
            if now >= again:
                self._resets.clear()
                self._recover("another try after a while", now)
            else:
                self.deadline = again
        return self.deadline

    def _look(self, now: float) -> None:
        status = self._regs.STATUS.read()
        if status.raw == GONE:
            self.gone()
            return
        self._set_link(self._speed(status))
        if self._promiscuous and not self._asked and now - self._began >= SETTLES_S:
            self.set_promiscuous(False)
        if self._tx.starved and self._look_for_room():
            self.counters.late_interrupts += 1
        if self._rx.waiting:
            self.counters.late_interrupts += self._watch.late()
            self.on_frames()
        self._rx.trouble = self._rx.trouble or self._watch.lags()
        if self._rx.trouble:
            self._complain()
        elif why := self._watch.hangs(now, status):
            self._unhang(why, now)
        elif now - self._counted >= COUNT_S:
            self._counted = now
            self._statistics.collect()

    def _unhang(self, why: str, now: float) -> None:
        # Without a link nothing is sent; what waits then is too old by the time there is one.
        if self.link:
            self.counters.tx_hangs += 1
            self._recover(why, now)
        else:
            self._recover(f"there is no link, and {why}", now)

    def _complain(self) -> None:
        """Reset a card that broke the rules: what else it wrote cannot be trusted either."""
        self.counters.nonsense += 1
        self._recover(self._rx.trouble, self._clock.now())

    def _recover(self, why: str, now: float) -> None:
        self.counters.resets += 1
        self.counters.tx_lost += self._watch.unsent
        while self._resets and now - self._resets[0] > RESETS_S:
            self._resets.popleft()
        self._resets.append(now)
        self._function.set_bus_master(False)
        starved = self._tx.starved
        try:
            if len(self._resets) > RESETS_MOST:
                raise DeviceError("resets do not help")
            _log.warning("%s: %s; resetting it", self._name, why)
            link, self.link = self.link, 0
            self._bring_up()
            link, self.link = self.link, link
            self._set_link(link)
        except Gone:
            self.gone()
            return
        except DeviceError as error:
            self._give_up(why, error)
            return
        if starved:
            self.on_room()

    def _give_up(self, why: str, error: DeviceError) -> None:
        _log.error("%s: %s; it is left alone for %g s: %s", self._name, why, RESETS_S, error)
        self.state = State.FAILED
        self._function.set_bus_master(False)
        self._rx.reset()
        self.deadline = self._resets[-1] + RESETS_S
        self._set_link(0)

    # -- the rest ----------------------------------------------------------------------------------

    @property
    def mac(self) -> bytes:
        """See `NetworkAdapter.mac`."""
        return self._mac

    def set_mac(self, mac: bytes, /) -> None:
        """See `NetworkAdapter.set_mac`; ValueError for what is no station's address."""
        if len(mac) != 6 or not nvm.is_station(mac):
            raise ValueError(f"{mac.hex(':')} is no hardware address of a card")
        self._mac = bytes(mac)
        if self.state is State.RUNNING:
            self._filters.set_mac(mac)
            self._regs.STATUS.read()  # so that it holds from now on

    def set_promiscuous(self, on: bool, /) -> None:
        """See `NetworkAdapter.set_promiscuous`."""
        self._asked = True
        if on is not self._promiscuous:
            self._promiscuous = on
            if self.state is State.RUNNING:
                self._set_receiver()
                self._regs.STATUS.read()  # so that it holds from now on

    def statistics(self) -> Mapping[str, int]:
        """See `NetworkAdapter.statistics`; then what the driver itself had to do."""
        if self.state is State.RUNNING and self._regs.STATUS.read().raw != GONE:
            self._statistics.collect()
        counted = {f"DRIVER_{name.upper()}": value for name, value in asdict(self.counters).items()}
        return {**self._statistics.total, "DRIVER_RX_DROPPED": self._rx.dropped, **counted}
