"""The AHCI controller: start, stop, on_interrupt, poll, tick, and the disks behind its ports.

Ref: Serial ATA AHCI 1.3.1 Specification; sections in parentheses.

The driver is synchronous and never blocks but in `start` and `stop`.  Whoever owns it calls
`on_interrupt` when a vector's eventfd fires and `tick` at the latest at `deadline`; that is all the
time there is.  A fault never raises out of those calls: commands end with an errno, and a port is
brought up again while its commands wait (`daemons.ahcid.port`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final, TypeAlias

from daemons.ahcid.atapi import Cd
from daemons.ahcid.disk import AtaDisk
from daemons.ahcid.hba import Adapter
from daemons.ahcid.identify import AtaIdentity
from daemons.ahcid.port import Port
from daemons.ahcid.regs import GONE, Host
from daemons.ahcid.state import Rung
from daemons.ahcid.state import State as PortState
from daemons.ahcid.story import Story
from daemons.ahcid.watch import MOST_ADAPTER_RESETS, MOST_RESETS, Budget
from redbear_host.abi import errno as e
from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.ports import Clock, PciFunction

__all__ = ["Controller", "State"]

TIMEOUT_S: Final = 10.0
MAX_TRANSFER: Final = 4 << 20  # one PRD
ABAR: Final = 5  # the base address register of AHCI's registers (2.1.11)
LEAST_WINDOW: Final = 0x180  # the registers of one port
LONGEST_TICK_S: Final = 1.0
STEP_S: Final = 0.001  # how often a recovery is looked at
FIRST_PAUSE_S: Final = 0.00005  # `start` looks soon at first, then less often
LONGEST_PAUSE_S: Final = 0.005

_log = logging.getLogger(__name__)

AnyDisk: TypeAlias = AtaDisk | Cd


class State(Enum):
    """What the controller is up to."""

    STOPPED = auto()
    RUNNING = auto()
    RESETTING = auto()  # the adapter is being reset; commands of all ports wait
    FAILED = auto()  # given up; commands end with EIO
    GONE = auto()  # has left; commands end with ENODEV


class Controller:
    """One AHCI adapter on one PCI function."""

    def __init__(
        self,
        function: PciFunction,
        clock: Clock,
        *,
        timeout: float = TIMEOUT_S,
        ncq: bool = True,
        polled: bool = False,
        max_transfer: int = MAX_TRANSFER,
        trust_trim: bool = False,
    ) -> None:
        """Prepare to drive `function`; nothing is touched before `start`.

        A command may take `timeout` seconds.  With `polled` only errors interrupt: call `poll`.
        `max_transfer` bytes go into one command at most; `trust_trim` see `AtaDisk`.
        """
        self._function: Final = function
        self._clock: Final = clock
        self._timeout: Final = timeout
        self._ncq: Final = ncq
        self._polled: Final = polled
        self._most: Final = max_transfer
        self._trust_trim: Final = trust_trim
        self._period: Final = min(LONGEST_TICK_S, timeout / 4)
        self._budgets: dict[int, Budget] = {}  # adapter resets on behalf of each port
        self._budget: Final = Budget(MOST_RESETS)
        self._story: Story[None] | None = None
        self._adapter: Adapter
        self._ports: list[Port] = []  # those with a device
        self._retired: list[Port] = []  # those without
        self._wired: list[Port | None] = []  # by number
        self._sole: Port | None = None  # the only one, which need not be looked for
        self.state = State.STOPPED
        self.deadline = 0.0  # clock time by which to call `tick`
        self.disks: Sequence[AnyDisk] = ()
        self.resets = 0  # of the adapter, while it ran

    # -- start and stop ----------------------------------------------------------------------------

    def start(self) -> None:
        """Take the adapter over, whatever state it is in, reset it, and meet its devices.

        Raises `Gone`, `Stuck` or another `DeviceError`; the controller is then off the bus and
        `start` may be tried again.
        """
        self.stop()
        function = self._function
        try:
            window = function.bar(ABAR)
            if window.size < LEAST_WINDOW:
                raise DeviceError(f"{function.address} has {window.size:#x} bytes of registers")
            self._adapter = Adapter(window, self._clock)
            # With bus mastering still off: it may know addresses a predecessor gave it.
            self._tell(self._adapter.reset())
            function.set_bus_master(True)
            self._meet()
        except (DeviceError, MemoryError):
            function.set_bus_master(False)
            self._release()
            raise

    def _meet(self) -> None:
        """Bring up all ports, all at once, and make disks of what is found."""
        ports = [self._port(number) for number in self._adapter.ports]
        self._ports = ports
        self.state = State.RUNNING
        for port in ports:
            port.begin(port.recovery.rise(), Rung.ADAPTER)
        pause = FIRST_PAUSE_S
        while any(port.telling for port in ports):
            self._clock.pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            for port in ports:
                port.step()
        if self.state is not State.RUNNING:
            raise Gone(f"controller {self._function.address} has left")
        for port in ports:
            if port.state is not PortState.RUNNING:
                self._retire(port)
        self._ports = [port for port in ports if port.state is PortState.RUNNING]
        disks = [self._disk(port, number) for number, port in enumerate(self._ports)]
        self._wired = [None] * (self._adapter.ports[-1] + 1)
        for port in self._ports:
            self._wired[port.number] = port
        self._sole = self._ports[0] if len(self._ports) == 1 else None
        self.disks = tuple(disks)
        self._adapter.listen()
        self.deadline = self._clock.now() + self._period
        self._log_start()

    def _retire(self, port: Port) -> None:
        """Keep a port that serves nothing from reaching memory."""
        self._retired.append(port)
        port.link.hush()
        try:
            self._tell(port.link.stop_receiving())
        except DeviceError as error:  # its memory stays its own until `stop`
            _log.warning("%s: %s", port.name, error)

    def _port(self, number: int) -> Port:
        return Port(
            number, self._adapter, self._function.dma, self._clock, self,
            address=self._function.address, timeout=self._timeout, ncq=self._ncq,
            polled=self._polled,
        )  # fmt: skip

    def _disk(self, port: Port, number: int) -> AnyDisk:
        facts = port.recovery.identity
        if isinstance(facts, AtaIdentity):
            return AtaDisk(port, facts, number, self._most, trust_trim=self._trust_trim)
        if facts is None:
            raise DeviceError(f"{port.name} runs without a device")
        return Cd(port, facts, port.recovery.medium, number)

    def stop(self) -> None:
        """Let running commands end, save the disks' caches and stop.

        Never raises a `DeviceError`: what does not work is logged, and ends with bus mastering off.
        """
        if self.state is State.STOPPED:
            return
        if self.state is State.RUNNING:
            try:
                self._farewell()
            except DeviceError as error:
                _log.warning("%s: not shut down cleanly: %s", self._function.address, error)
        if self.state is not State.GONE:
            self._function.set_bus_master(False)
        self._release()

    def _farewell(self) -> None:
        saved: list[int] = []
        deadline = self._clock.now() + self._timeout
        for disk in self.disks:
            disk.flush(saved.append)
            disk.flush_queue()
        while any(port.commands.busy for port in self._ports) or len(saved) < len(self.disks):
            if self._clock.now() >= deadline or self.state is not State.RUNNING:
                raise DeviceError("commands are still running")
            self._clock.pause(STEP_S)
            for port in self._ports:
                port.on_interrupt()
                port.tick(self._clock.now())
        self._adapter.hush()
        for port in self._ports:
            self._tell(port.link.stop_receiving())

    def _release(self) -> None:
        """End every command and give all memory back; the device is off the bus."""
        self.state = State.STOPPED
        self._story = None
        for port in self._ports:
            port.leave(PortState.DEAD, e.EIO)
            port.flush_queue()
        for port in {*self._ports, *self._retired}:
            port.commands.release()
        for disk in self.disks:
            if isinstance(disk, Cd):
                disk.release()
        self._retired = []
        self._ports, self._wired, self._sole, self.disks = [], [], None, ()

    def _tell(self, story: Story[None]) -> None:
        """Tell a story to its end, here and now."""
        pause = FIRST_PAUSE_S
        for _ in story:
            self._clock.pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _log_start(self) -> None:
        cap = self._adapter.cap
        _log.info(
            "%s: AHCI with %d port(s), %d slots each%s",
            self._function.address, len(self._adapter.ports), cap.NCS + 1,
            ", NCQ" if cap.SNCQ else "",
        )  # fmt: skip
        for disk, port in zip(self.disks, self._ports, strict=True):
            it = disk.facts
            _log.info(
                "%s: disk %d is %s %s (firmware %s), %d blocks of %d bytes",
                port.name, disk.number, it.model, it.serial, it.firmware, disk.block_count,
                disk.block_size,
            )  # fmt: skip

    # -- what the devices have to say --------------------------------------------------------------

    def on_interrupt(self, vector: int = 0) -> int:
        """End what the devices have completed; return how many commands that was."""
        if self.state is not State.RUNNING:
            self._step()
            return 0
        sole = self._sole
        if sole is not None:
            ended = sole.on_interrupt()
            self._adapter.mmio.write32(Host.IS.offset, 1 << sole.number)
            return ended
        read, write = self._adapter.mmio.read32, self._adapter.mmio.write32
        waiting = read(Host.IS.offset)
        if waiting == GONE:
            self.suspect()
        ended, rest = 0, waiting
        while rest:
            number = (rest & -rest).bit_length() - 1
            rest &= rest - 1
            port = self._wired[number] if number < len(self._wired) else None
            if port is not None:
                ended += port.on_interrupt()
        if waiting:
            write(Host.IS.offset, waiting)  # after the ports' own (10.7.2.1)
        return ended

    def poll(self, looks: int = 1) -> int:
        """End what has ended, by a look into memory; return how many commands that was.

        Looks at each port up to `looks` times, until there is something.
        """
        ended = 0
        for port in self._ports:
            if port.commands.pending:
                port.commands.ring()
            ended += port.poll(looks)
        return ended

    def flush_queue(self) -> None:
        """Hand everything queued since the last call to the devices."""
        for port in self._ports:
            port.flush_queue()

    def tick(self, now: float) -> float:
        """Look after what no interrupt announces; return the time by which to call again."""
        if self.state is State.RUNNING:
            if self._adapter.gone:
                self.suspect()
            elif not self._adapter.sane:
                self._reset("lost its settings", None)
        if self.state is State.RESETTING:
            self._step()
        for port in self._ports:
            port.tick(now)
        hasty = self._story is not None or any(port.telling for port in self._ports)
        self.deadline = now + (STEP_S if hasty else self._period)
        return self.deadline

    # -- the ports' owner --------------------------------------------------------------------------

    def gone(self) -> None:
        """Hear that the function has left (`gone_fd`): every command ends, now and later."""
        if self.state not in (State.GONE, State.STOPPED):
            self._leave(State.GONE, "has left")

    def suspect(self) -> None:
        """Find out whether the adapter has left."""
        if self.state in (State.RUNNING, State.RESETTING) and self._adapter.gone:
            self.gone()

    def hurry(self) -> None:
        """Have `tick` called soon."""
        self.deadline = min(self.deadline, self._clock.now() + STEP_S)

    def escalate(self, port: Port, why: str, /) -> None:
        """Reset the adapter, as a port cannot be helped otherwise; too often, and it is dead."""
        budget = self._budgets.setdefault(port.number, Budget(MOST_ADAPTER_RESETS))
        hopeless = not budget.spend(self._clock.now())
        self._reset(f"{port.name}: {why}", port if hopeless else None)

    def _reset(self, why: str, hopeless: Port | None) -> None:
        if self.state is not State.RUNNING:
            return
        if not self._budget.spend(self._clock.now()):
            self._leave(State.FAILED, f"{why}, and resets did not help")
            return
        _log.warning("%s: resetting the adapter: %s", self._function.address, why)
        self.resets += 1
        self.state = State.RESETTING
        self._adapter.hush()
        for port in self._ports:
            if port.state in (PortState.RUNNING, PortState.RECOVERING):
                port.suspend()
        self._story = self._again(hopeless)
        self.hurry()

    def _again(self, hopeless: Port | None) -> Story[None]:
        yield from self._adapter.reset()
        self.state = State.RUNNING
        if hopeless is not None:
            _log.error("%s: resets do not help; every command fails now", hopeless.name)
            hopeless.leave(PortState.DEAD, e.EIO)
        self._adapter.listen()
        for port in self._ports:
            if port.state in (PortState.RECOVERING, PortState.ABSENT):
                port.begin(port.recovery.rise(), Rung.ADAPTER)

    def _step(self) -> None:
        if self._story is None:
            return
        try:
            next(self._story)
        except StopIteration:
            self._story = None
        except Gone:
            self.gone()
        except DeviceError as error:
            self._leave(State.FAILED, f"cannot be reset ({error})")

    def _leave(self, state: State, why: str) -> None:
        """No way back: every command ends, now and later."""
        _log.error("%s: %s; every command fails from now on", self._function.address, why)
        self.state = state
        self._story = None
        if state is not State.GONE:
            # It may still be writing to the memory of the commands that end now.
            self._function.set_bus_master(False)
            self._adapter.hush()  # or a line that nobody lowers rings for ever
        for port in self._ports:
            port.leave(PortState.DEAD, e.ENODEV if state is State.GONE else e.EIO)
