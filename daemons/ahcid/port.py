"""One port: its state, its interrupts, and who is told when things go wrong.

A fault never raises out of here: commands end with an errno, the port is brought up again
(`RECOVERING`) while commands wait, and when nothing helps it is `DEAD` or its device `ABSENT`; then
every command ends at once, with EIO or ENXIO.  Other ports go on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, Protocol

from daemons.ahcid.hba import Adapter
from daemons.ahcid.link import ALL_ERRORS, Link
from daemons.ahcid.recovery import Recovery
from daemons.ahcid.regs import GONE, PORT_BASE, PORT_SIZE, PxIS
from daemons.ahcid.regs import Port as Registers
from daemons.ahcid.slots import SDB_ERR, Command, CommandList, Single
from daemons.ahcid.state import Counters, Rung, State
from daemons.ahcid.status import describe, failed
from daemons.ahcid.story import Story
from daemons.ahcid.watch import MOST_RESETS, Budget, Watch
from redbear_host.abi import errno as e
from redbear_host.classes.commands import AtaResult
from redbear_host.classes.disk import Done
from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.ports import Clock, Dma

_log = logging.getLogger(__name__)

_TROUBLE: Final = PxIS(
    UFS=True, PCS=True, PRCS=True, IPMS=True, OFS=True, INFS=True, IFS=True, HBDS=True, HBFS=True,
    TFES=True, CPDS=True,
).raw  # fmt: skip
_FATAL: Final = PxIS(OFS=True, IFS=True, HBDS=True, HBFS=True, IPMS=True).raw
_LINK: Final = PxIS(PCS=True, PRCS=True).raw


class Owner(Protocol):
    """The adapter a port belongs to."""

    def suspect(self) -> None:
        """Find out whether the adapter has left."""
        ...

    def escalate(self, port: Port, why: str, /) -> None:
        """Reset the adapter: this port cannot be helped otherwise."""
        ...

    def hurry(self) -> None:
        """Have `tick` called soon."""
        ...


class Port:
    """One port of a started adapter."""

    def __init__(
        self,
        number: int,
        adapter: Adapter,
        dma: Dma,
        clock: Clock,
        owner: Owner,
        *,
        address: str,
        timeout: float,
        ncq: bool,
        polled: bool,
    ) -> None:
        """Take memory for port `number`; raises `MemoryError` without room."""
        self.number: Final = number
        self.name: Final = f"{address}, port {number}"
        limit = 1 << 64 if adapter.cap.S64A else 1 << 32
        self.slots: Final = adapter.cap.NCS + 1
        self.ncq: Final = ncq and adapter.cap.SNCQ
        self.timeout: Final = timeout
        self.dma: Final = dma
        self.limit: Final = limit
        self.link: Final = Link(number, adapter.mmio, clock, polled=polled)
        self.commands: Final = CommandList(number, adapter.mmio, dma, 1, limit)
        self.watch: Final = Watch(timeout)
        self.counters: Final = Counters()
        self.state = State.STARTING
        self.errno = 0  # what every command ends with
        self.rung = Rung.ADAPTER
        self.recovery: Final = Recovery(self, clock, spin_up=adapter.cap.SSS)
        self._budget: Final = Budget(MOST_RESETS)
        self._clock: Final = clock
        self._owner: Final = owner
        self._story: Story[None] | None = None
        self._refused: list[tuple[Done, int]] = []
        self._delivering = False
        self._error_logged = False
        base = PORT_BASE + number * PORT_SIZE
        self._is: Final = base + Registers.IS.offset
        self._read: Final = adapter.mmio.read32
        self._write: Final = adapter.mmio.write32

    # -- commands ----------------------------------------------------------------------------------

    def refuse(self, done: Done, errno: int, /) -> None:
        """End a command that never reached the device, at the next `flush_queue`."""
        self._refused.append((done, errno))

    def enqueue(self, single: Single, *, first: bool = False) -> None:
        """Have a command run alone, as soon as those before it have ended."""
        self.commands.enqueue(single, first=first)
        if self.errno:
            self._owner.hurry()

    def flush_queue(self) -> None:
        """Hand everything queued since the last call to the device."""
        if self.commands.pending:
            self.commands.ring()
        if self._refused or self.errno:
            self._deliver()

    def _deliver(self) -> None:
        # A client may answer an error by trying again; that one waits for the next call.
        if self._delivering:
            return
        self._delivering = True
        refused, self._refused = self._refused, []
        if self.errno:
            commands, singles = self.commands.drain()
            self.end(commands, singles, self.errno)
        for done, errno in refused:
            done(errno)
        self._delivering = False

    def end(self, commands: Iterable[Command], singles: Iterable[Single], errno: int) -> None:
        """End commands with an errno; the device must not be able to reach their memory."""
        for command in commands:
            command[6](errno)
        for single in singles:
            single.done(AtaResult(errno))

    # -- what the device has to say ----------------------------------------------------------------

    def on_interrupt(self) -> int:
        """End what has ended; return how many commands that was."""
        state = self.state
        if state is not State.RUNNING and state is not State.ABSENT:
            self.step()  # a story looks at PxIS itself
            return 0
        status = self._read(self._is)
        if status:
            self._write(self._is, status)
            if status & _TROUBLE:
                return self._alarm(status)
        return self.look()

    def look(self) -> int:
        """End what has ended, by the registers alone; return how many commands that was."""
        if self.state is not State.RUNNING:
            self.step()
            return 0
        commands = self.commands
        if commands.issued:
            ended = commands.reap()
            if commands.stray:
                self._stray()
            return ended
        if commands.running is not None and commands.ended:
            return self._finish(commands.running)
        return 0

    def poll(self, looks: int) -> int:
        """Look into memory up to `looks` times; end what has ended."""
        if self.state is not State.RUNNING:
            return 0
        word = self.commands.arrived(looks)
        if not word:
            return 0
        return self.on_interrupt() if word & SDB_ERR else self.look()

    def _finish(self, single: Single) -> int:
        result = self.commands.result()
        if result.status == 0xFF and result.error == 0xFF:
            self._owner.suspect()
            return 0
        if failed(result):
            self._task_error()
            return 1
        self.commands.running = None
        self.commands.go_on()
        single.done(result)
        return 1

    def _alarm(self, status: int) -> int:
        if status == GONE:
            self._owner.suspect()
            return 0
        if status & ~PxIS(TFES=True).raw:
            # UFS, PCS and PRCS are only cleared with the bits of SError behind them.
            errors = self.link.regs.SERR.read()
            self.link.regs.SERR.write(ALL_ERRORS)
            _log.debug("%s: %r, %r", self.name, PxIS.of(status), errors)
        if self.state is State.ABSENT:
            if status & _LINK:
                self.begin(self.recovery.arrival(), Rung.COMRESET)
        elif status & _LINK:
            self.recover("the link changed", trusted=not self.link.connected)
        elif status & _FATAL:
            self.recover(f"reports {PxIS.of(status)!r}")
        elif status & PxIS(TFES=True).raw:
            return self._task_error()
        else:
            return self.look()
        return 0

    def _task_error(self) -> int:
        """Begin again after PxIS.TFES: the port stands still until it is restarted (6.2.2)."""
        commands = self.commands
        if not commands.issued and commands.running is None:
            self.counters.nonsense += 1
            self.recover("reports an error of no command")
            return 0
        commands.close()
        ended = commands.reap() if commands.issued else 0
        self.counters.restarts += 1
        self.begin(self.recovery.after_error(), Rung.RESTART)
        return ended

    def _stray(self) -> None:
        stray, self.commands.stray = self.commands.stray, 0
        self.counters.nonsense += 1
        self._owner.suspect()
        if self.state is State.RUNNING:
            self.recover(f"has commands {stray:#x}, which nobody issued")

    # -- time --------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look after what no interrupt announces."""
        self._error_logged = False
        if self._story is not None:
            self.step()
        elif self.state is State.RUNNING:
            self._look_after(now)
        self.flush_queue()

    def _look_after(self, now: float) -> None:
        known = self.watch.known
        if known:
            known = self.watch.still(self.commands)
            status = PxIS.of(self._read(self._is))
            if status.raw:
                self.on_interrupt()
            else:
                self.look()
            if self.state is not State.RUNNING:
                return
            self.counters.late_interrupts += known - self.watch.still(self.commands)
        late = self.watch.late(now, self.commands)
        if late:
            what = f"{len(late)} command(s) did not end in {self.timeout:g} s"
            self.recover(what, late)

    # -- recovery ----------------------------------------------------------------------------------

    def recover(
        self, why: str, late: Iterable[Command | Single] = (), *, trusted: bool = False
    ) -> None:
        """Reset the link and issue again what did not end; commands in `late` end with EIO.

        Resets of a port that is `trusted` do not lead to giving it up.
        """
        _log.warning("%s: %s, resetting it", self.name, why)
        self.recovery.condemn(late)
        if trusted or self._budget.spend(self._clock.now()):
            self.begin(self.recovery.reset(), Rung.COMRESET)
        else:
            self.suspend()
            self._owner.escalate(self, why)

    def begin(self, story: Story[None], rung: Rung) -> None:
        """Tell a story; until it ends commands wait."""
        self.link.hush()  # the story looks itself, and a line that is up would ring all the time
        self.commands.close()
        self.watch.forget()
        if self.state is not State.STARTING:
            self.state = State.RECOVERING
        self.errno = 0
        self.rung = rung
        self._story = story
        self.step()
        if self._story is not None:
            self._owner.hurry()

    def suspend(self) -> None:
        """Stop what is going on here: the adapter is going to be reset."""
        self.commands.close()
        self.watch.forget()
        self._story = None
        self.state = State.RECOVERING

    @property
    def telling(self) -> bool:
        """Whether a story is being told, which wants `tick` often."""
        return self._story is not None

    def step(self) -> None:
        """Tell the story a little further."""
        story = self._story
        if story is None:
            return
        try:
            next(story)
        except StopIteration:
            self._story = None
        except Gone:
            self._story = None
            self._owner.suspect()
        except DeviceError as error:
            self._story = None
            self._climb(error)

    def _climb(self, error: DeviceError) -> None:
        """Take the next rung of the ladder, as this one broke."""
        if self.state is State.STARTING:
            _log.warning("%s: %s", self.name, error)
            self.leave(State.EMPTY, e.ENXIO)
        elif self.rung is Rung.RESTART:
            self.recover(f"{error}")
        elif self.rung is Rung.COMRESET:
            self.suspend()
            self._owner.escalate(self, f"{error}")
        else:
            _log.error("%s: %s; every command fails from now on", self.name, error)
            self.leave(State.DEAD, e.EIO)

    def run(self) -> None:
        """Let commands flow."""
        if self.state is State.RECOVERING:
            _log.info("%s: works again", self.name)
        self.state = State.RUNNING
        self.link.listen()
        self.commands.open()

    def leave(self, state: State, errno: int) -> None:
        """End every command, now and later; the device must not reach memory any more."""
        self.state = state
        self.errno = errno
        self._story = None
        commands, singles = self.commands.drain()
        self.end(commands, singles, errno)
        self._owner.hurry()

    def report(self, result: AtaResult, what: str) -> None:
        """Count and log a command that failed; one line per tick."""
        self.counters.errors += 1
        level = logging.DEBUG if self._error_logged else logging.WARNING
        self._error_logged = True
        _log.log(level, "%s: %s failed: %s", self.name, what, describe(result))
