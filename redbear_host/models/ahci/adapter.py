"""The modelled adapter: generic host control, interrupts, and its ports.

Ref: Serial ATA AHCI 1.3.1 Specification; sections in parentheses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from redbear_host.bits import Clock
from redbear_host.hw.ports import PciIds
from redbear_host.models.ahci.drive import Drive, Task
from redbear_host.models.ahci.faults import Fault
from redbear_host.models.ahci.port import PortModel
from redbear_host.models.function import Host, Slot

CAP, GHC, IS, PI, VS, CAP2, BOHC = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x24, 0x28
HR, IE, AE = 0x1, 0x2, 1 << 31  # GHC
BOS, OOS = 0x1, 0x2  # BOHC
PORTS_AT, PORT_SIZE = 0x100, 0x80
WINDOW: Final = 0x1000
GONE: Final = 0xFFFF_FFFF


class AhciModel:
    """An AHCI 1.3.1 adapter.

    `automatic` completes commands as soon as they are issued, in order; otherwise that holds for
    commands outside of `manual` opcodes only, and a test calls `run` or a port's `complete`.
    `faults` may be changed at any time.  `violations` collects what the driver did against the
    specification.
    """

    ids: PciIds = PciIds(0x5242, 0x4148, 0x5242, 0x0001, 0x010601, 1)
    window_size: int = WINDOW
    vectors: int = 1

    def __init__(
        self,
        drives: Sequence[Drive | None],
        clock: Clock,
        *,
        slots: int = 32,
        ncq: bool = True,
        wide: bool = True,
        staggered: bool = False,
        handoff: bool = False,
        automatic: bool = True,
    ) -> None:
        """Build an adapter with a port for each of `drives`; None for an empty one."""
        self.clock: Final = clock
        self.slots: Final = slots
        self.wide: Final = wide
        self.staggered: Final = staggered
        self.automatic = automatic
        self.faults: list[Fault] = []
        self.violations: list[str] = []
        self.reset_after = 0.0  # seconds that GHC.HR takes
        self.never_reset = False  # GHC.HR stays 1
        self.forgetful = False  # a reset loses PI
        self.bios_answers = True
        self._ncq = ncq
        self._handoff: Final = handoff
        self._bohc = BOS if handoff else 0
        self._mask: Final = (1 << len(drives)) - 1
        self._pi = self._mask
        self._ghc = 0
        self._is = 0
        self._reset_at: float | None = None
        self._host: Host | None = None
        self._told = False
        self.ports: Final = [PortModel(self, n, drive) for n, drive in enumerate(drives)]

    @property
    def host(self) -> Host:
        """The machine it sits in."""
        if self._host is None:
            raise ValueError("the model is not plugged in")
        return self._host

    def plug(self, host: Host, /) -> None:
        """Be put into a machine."""
        self._host = host

    def reset(self) -> None:
        """Be reset by the bus."""
        self._ghc = self._is = 0
        self._reset_at = None
        for port in self.ports:
            port.reset()
        self.update()

    def vanish(self) -> None:
        """Leave the bus."""
        if isinstance(self._host, Slot):
            self._host.pull()

    # -- registers ---------------------------------------------------------------------------------

    def read(self, offset: int, width: int, /) -> int:
        """Read a register; what is not modelled reads as zero."""
        if width != 4:
            self.violations.append(f"register {offset:#x} was read with {width} bytes")
        self._settle()
        if offset >= PORTS_AT:
            port = self._port(offset)
            return 0 if port is None else port.read(offset % PORT_SIZE)
        cap = len(self.ports) - 1 | self.slots - 1 << 8 | 1 << 18
        cap |= self.staggered << 27 | self._ncq << 30 | self.wide << 31
        return {
            CAP: cap, GHC: self._ghc, IS: self._is, PI: self._pi, VS: 0x10301,
            CAP2: int(self._handoff), BOHC: self._bohc,
        }.get(offset, 0)  # fmt: skip

    def write(self, offset: int, value: int, width: int, /) -> None:
        """Write a register of 32 bits."""
        self._settle()
        if width != 4:
            self.violations.append(f"register {offset:#x} was written with {width} bytes")
        elif offset >= PORTS_AT:
            port = self._port(offset)
            if port is None:
                self.violations.append(f"a register of no port was written: {offset:#x}")
            elif self._ghc & HR:
                self.violations.append("a port was written during a reset")
            else:
                port.write(offset % PORT_SIZE, value)
        elif offset == IS:
            self._is &= ~value
            self._told = False  # whatever is left is told again
            self.update()
        elif offset == GHC:
            self._control(value)
        elif offset == PI:
            self._pi = value & self._mask
        elif offset == BOHC:
            self._bohc = self._bohc & BOS | value & OOS
            if self.bios_answers:
                self._bohc &= ~BOS
        else:
            self.violations.append(f"register {offset:#x} cannot be written")

    def _control(self, value: int) -> None:
        if value & HR:
            if not self._ghc & AE:
                self.violations.append("HR was set without AE")
            if self._bohc & BOS and not self._bohc & OOS:
                self.violations.append("the adapter still belongs to the BIOS")
            for port in self.ports:
                port.reset()
            self._ghc = AE | HR
            self._is = 0
            self._reset_at = self.clock.now() + self.reset_after
            if self.forgetful:
                self._pi = 0
        else:
            self._ghc = value & (AE | IE)
        self._settle()
        self.update()

    def _settle(self) -> None:
        if self._reset_at is None or self.never_reset or self.clock.now() < self._reset_at:
            return
        self._reset_at = None
        self._ghc = 0

    def _port(self, offset: int) -> PortModel | None:
        number = (offset - PORTS_AT) // PORT_SIZE
        return self.ports[number] if number < len(self.ports) else None

    # -- interrupts --------------------------------------------------------------------------------

    def update(self, *, silent: bool = False) -> None:
        """Follow the ports' interrupts; `silent` loses the message, and the line stays down."""
        before = self._is
        for port in self.ports:
            self._is |= port.interrupting << port.number
        if self._host is None:
            return
        raised = bool(self._is and self._ghc & IE)
        if not silent:
            self.host.line(raised)
            if raised and (self._is & ~before or not self._told):
                self._told = True
                self.host.message(0)

    def shout(self) -> None:
        """Interrupt for nothing at all."""
        self.host.message(0)

    # -- commands ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Complete what all ports have, in order."""
        for port in self.ports:
            port.run()

    def release(self) -> None:
        """Let go of the commands that are held."""
        for port in self.ports:
            for command in port.running:
                command.held = False

    def fault(self, port: int, task: Task) -> Fault | None:
        """Return what is to go wrong with a command."""
        for fault in self.faults:
            if fault.matches(port, task.opcode, task.address, task.blocks):
                return fault
        return None
