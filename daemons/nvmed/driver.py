"""The NVMe controller: reset, start, submit, on_interrupt, poll, tick, stop.

Ref: NVM Express Base Specification, revision 2.0c; sections in parentheses.

The driver is synchronous and never blocks but in `start`, `reset` and `stop`.  Whoever owns it
calls `on_interrupt` when a vector's eventfd fires and `tick` at the latest at `deadline`; that is
all the time there is.  A fault never raises out of those calls: commands end with an errno, the
controller is reset (`RECOVERING`) while commands wait, and when nothing helps it is given up
(`FAILED`) or has left (`GONE`); then every command ends at once, with EIO or ENODEV.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from daemons.nvmed.admin import Admin, Story
from daemons.nvmed.events import Events
from daemons.nvmed.identify import Identity
from daemons.nvmed.inquiry import Inquiry
from daemons.nvmed.lanes import Lanes, Wishes
from daemons.nvmed.namespace import Namespace
from daemons.nvmed.passthrough import Forwarded
from daemons.nvmed.prp import DmaChunk, longest
from daemons.nvmed.queues import AdminQueue, Answer, Command, Lobby, QueuePair
from daemons.nvmed.quick import Quick
from daemons.nvmed.recovery import Late, ResetBudget, Watchdog
from daemons.nvmed.regs import GONE, SQE, AsyncEvent, Status
from daemons.nvmed.state import Counters, State
from daemons.nvmed.status import describe, errno_of
from redbear_host.abi import errno as e
from redbear_host.classes.disk import Done
from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.ports import Clock, PciFunction

__all__ = ["Controller", "Counters", "State"]

TIMEOUT_S: Final = 10.0
DEPTH: Final = 256  # I/O queue entries: identifiers stay small integers, which Python keeps ready
MAX_TRANSFER: Final = 1 << 20
LONGEST_TICK_S: Final = 1.0
STEP_S: Final = 0.001  # how often a recovery is looked at
FIRST_PAUSE_S: Final = 0.00005  # `start` looks soon at first, then less often
LONGEST_PAUSE_S: Final = 0.005

_log = logging.getLogger(__name__)


class Controller:
    """One NVMe controller on one PCI function."""

    def __init__(
        self,
        function: PciFunction,
        clock: Clock,
        *,
        vectors: int = 1,
        queues: int = 1,
        depth: int = DEPTH,
        polled: bool = False,
        quick: bool = False,
        timeout: float = TIMEOUT_S,
        max_transfer: int = MAX_TRANSFER,
    ) -> None:
        """Prepare to drive `function`; nothing is touched before `start`.

        `vectors` is how many interrupt vectors are enabled: the first is the admin queue's, the
        I/O queues share the others (or that one).  `queues` is how many I/O queue pairs to ask for,
        `depth` their entries (a power of two), both cut to what the controller grants.  With
        `polled` the I/O queues do not interrupt: call `poll`.  With `quick` there is one queue
        more, which does not: call `linger` whenever there is nothing else to do (`nvmed.quick`).  A
        command may take `timeout` seconds; `max_transfer` bytes go into one command at most.
        """
        if vectors < 1 or queues < 1 or not 2 <= depth <= 4096 or depth & depth - 1:
            raise ValueError(f"{vectors} vectors, {queues} queues of {depth} entries make no sense")
        self._function: Final = function
        self._clock: Final = clock
        self._quick: Quick | None = None
        self._timeout: Final = timeout
        self._most: Final = max_transfer
        self._period: Final = min(LONGEST_TICK_S, timeout / 4)
        self._watchdog: Final = Watchdog(timeout, timeout / 2)
        self._budget: Final = ResetBudget()
        wishes = Wishes(queues, depth, polled, quick)
        self._lanes: Final = Lanes(vectors, wishes, self.refuse, self._failed)
        self._lanes.close(e.EIO)
        self._refused: list[tuple[Done, int]] = []
        self._delivering = False
        self._admin: Admin | None = None
        self._story: Iterator[None] | None = None
        self._offenders: list[Command] = []
        self._aborts_out = 0
        self._error_logged = False
        self.state = State.STOPPED
        self.counters: Final = Counters()
        self.lane: QueuePair | Lobby = self._lanes.lobby  # where the next command goes
        self.deadline = 0.0  # clock time by which to call `tick`
        self.max_transfer = 0  # bytes in one read or write
        self.identity: Identity
        self.namespaces: Sequence[Namespace] = ()
        self.inquiry: Inquiry
        self._events: Events
        self.on_event: Callable[[AsyncEvent], None] = lambda event: None

    # -- start and stop ----------------------------------------------------------------------------

    def start(self) -> None:
        """Reset the controller, whatever state it is in, and bring it up with its namespaces.

        Raises `Gone`, `Stuck` or another `DeviceError`; the controller is then off the bus and
        `start` may be tried again.
        """
        self.stop()
        try:
            self._admin = Admin(self._function, self._clock, self._timeout)
            self._tell(self._bring_up(self._admin))
        except (DeviceError, MemoryError):
            self._function.set_bus_master(False)
            self._let_go(e.EIO)
            raise
        self._log_start()

    def reset(self) -> None:
        """Reset a running controller and issue again what was not answered; raises as `start`."""
        if self._admin is None:
            raise DeviceError(f"controller {self._function.address} is not started")
        self._recover("asked to", trusted=True)
        while self.state is State.RECOVERING:
            self._step()
            self._clock.pause(STEP_S)
        self.flush_queue()
        if self.state is State.GONE:
            raise Gone(f"controller {self._function.address} has left")
        if self.state is not State.RUNNING:
            raise DeviceError(f"controller {self._function.address} did not come back")

    def stop(self) -> None:
        """Let running commands end, save the controller's cache and disable it.

        Never raises a `DeviceError`: what does not work is logged, and ends with bus mastering off.
        """
        admin = self._admin
        if admin is None:
            return
        if self.state is State.RUNNING:
            try:
                self._tell(self._farewell(admin))
            except DeviceError as error:
                _log.warning("%s: not shut down cleanly: %s", self._function.address, error)
        self._story = None
        if self.state is not State.GONE:
            self._function.set_bus_master(False)
        self._let_go(e.EIO)

    def _tell(self, story: Iterator[None]) -> None:
        """Run a story to its end, here and now."""
        pause = FIRST_PAUSE_S
        for _ in story:
            self._clock.pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _bring_up(self, admin: Admin) -> Story[None]:
        # With bus mastering still off: it may yet know addresses a predecessor gave it.
        yield from admin.disable(inherited=True)
        self._function.set_bus_master(True)
        yield from admin.enable()
        self.identity = yield from admin.identify_controller()
        limit = min(self._most, longest(admin.page))
        self.max_transfer = min(limit, self.identity.max_transfer or limit)
        yield from self._lanes.arrive(admin, self._function.dma)
        if self._lanes.quick is not None:
            self._quick = Quick(self._lanes.quick, self._clock)
        geometries = yield from admin.geometries(self.identity.namespace_count)
        self.namespaces = tuple(Namespace(self, geometry) for geometry in geometries)
        self.inquiry = Inquiry(self.submit_admin, self._function.dma, admin.page, self.identity)
        self._events = Events(
            self.submit_admin, self.inquiry, self.identity, self._function.address
        )
        self._open()

    def _open(self) -> None:
        """Commands may flow: those that waited go first."""
        self.state = State.RUNNING
        self._watchdog.forget()
        self._aborts_out = 0
        self.deadline = self._clock.now() + self._period
        self._events.on_event = lambda event: self.on_event(event)
        self._events.begin()
        self._events.arm()
        self.lane = self._lanes.enter()

    def _farewell(self, admin: Admin) -> Story[None]:
        deadline = self._clock.now() + self._timeout
        while self._clock.now() < deadline and self._lanes.busy:
            self.poll()
            yield
        if self.state is not State.RUNNING:
            raise DeviceError(f"{self.counters.nonsense} completions made no sense")
        yield from self._lanes.leave(admin)
        yield from admin.shutdown(self.identity.shutdown_s)
        yield from admin.disable()

    def _let_go(self, errno: int) -> None:
        """End every command with `errno` and give all memory back; the device is off the bus."""
        self.state = State.STOPPED
        self._end_all(errno)
        self._lanes.release()
        self._quick = None
        if self._admin is not None:
            self._admin.release()
            self._admin = None
        self._deliver()

    def _log_start(self) -> None:
        it = self.identity
        _log.info(
            "%s: %s %s (firmware %s, NVMe %s), %d queue(s) of %d, namespaces %s",
            self._function.address,
            it.model,
            it.serial,
            it.firmware,
            it.version,
            len(self._lanes.pairs),
            self._lanes.pairs[0].entries,
            ", ".join(f"{n.number}" for n in self.namespaces) or "none",
        )

    # -- commands ----------------------------------------------------------------------------------

    def chunk(self, size: int) -> DmaChunk:
        """Memory for transfers of up to `size` bytes, for all namespaces."""
        if self._admin is None:
            raise DeviceError(f"controller {self._function.address} is not started")
        return DmaChunk(self._function.dma, self._admin.page, size)

    def submit(
        self, opcode: int, nsid: int, prp1: int, prp2: int, cdw10: int, cdw12: int, done: Done, /
    ) -> None:
        """Queue an NVM command; `cdw10` holds dwords 10 and 11.  It must bear being issued twice.

        Namespaces call `lane.submit` themselves, to save the detour.
        """
        self.lane.submit(opcode, nsid, prp1, prp2, cdw10, cdw12, done)

    def submit_admin(self, sqe: SQE, done: Callable[[Answer], None], /) -> None:
        """Issue an admin command; one that a reset catches is answered without a status."""
        if self.state is State.RUNNING and self._admin is not None:
            self._admin.queue.submit(sqe, done)
        else:
            self.refuse(lambda errno: done(Answer(None, 0)), e.EIO)

    def refuse(self, done: Done, errno: int, /) -> None:
        """End a command that never reached the controller, at the next `flush_queue`."""
        self._refused.append((done, errno))

    def flush_queue(self) -> None:
        """Hand everything queued since the last call to the controller: one doorbell per batch.

        With several queues batches take turns, so that a batch costs one doorbell.
        """
        lane = self.lane
        if lane.tail != lane.rung:
            lane.ring()
            self.lane = lane.next
        if self._refused:
            self._deliver()

    def _deliver(self) -> None:
        # A client may answer an error by trying again; that one waits for the next call.
        if self._delivering:
            return
        self._delivering = True
        refused, self._refused = self._refused, []
        for done, errno in refused:
            done(errno)
        self._delivering = False

    # -- what the controller has to say ------------------------------------------------------------

    def on_interrupt(self, vector: int = 0) -> int:
        """End what the queues of `vector` have completed; return how many commands that was."""
        ended = self._reap(self._lanes.wired[vector])
        if vector == 0 and self._admin is not None:
            ended += self._admin.queue.reap()
            if self._admin.queue.trouble:
                self._complain(self._admin.queue)
            if self._story is not None:
                self._step()
        self.flush_queue()
        return ended

    def poll(self, looks: int = 1) -> int:
        """Hand over what is queued, then end what the I/O queues have completed; return how many.

        Looks at each queue up to `looks` times, until there is something in it.
        """
        lane = self.lane
        if lane.tail != lane.rung:  # as `flush_queue`, which costs a call more
            lane.ring()
            self.lane = lane.next
        if self._refused:
            self._deliver()
        ended = 0
        for pair in self._lanes.pairs:
            ended += pair.reap(looks)
            if pair.trouble:
                self._complain(pair)
        return ended

    def linger(self) -> float | None:
        """Look for what the queue that does not interrupt completes, as long as that is worth it.

        Returns in how many seconds to call again, None if not because of that queue.
        """
        quick = self._quick
        if quick is None or self.state is not State.RUNNING:
            return None
        quick.look()
        self.flush_queue()
        if quick.pair.trouble:
            self._complain(quick.pair)
            return None
        running = sum(pair.running for pair in self._lanes.pairs)
        if not quick.takes(running):
            if self.lane is quick.pair:
                self.lane = self._lanes.pairs[0]
        elif self.lane is not quick.pair:
            self.lane = quick.pair
        return quick.look_again

    def _reap(self, pairs: list[QueuePair]) -> int:
        ended = 0
        for pair in pairs:
            ended += pair.reap()
            if pair.trouble:
                self._complain(pair)
        return ended

    def tick(self, now: float) -> float:
        """Look after what no interrupt announces; return the time by which to call again."""
        if self.state is State.RUNNING:
            self._look(now)
        if self.state is State.RECOVERING:
            self._step()
        self._error_logged = False
        self.flush_queue()
        self.deadline = now + (STEP_S if self.state is State.RECOVERING else self._period)
        return self.deadline

    def gone(self) -> None:
        """Hear that the function has left (`gone_fd`): every command ends, now and later."""
        if self.state not in (State.GONE, State.STOPPED):
            self._leave(State.GONE, "has left")
        self.flush_queue()

    def _complain(self, ring: AdminQueue | QueuePair) -> None:
        """Reset a controller that broke the rules: what else it wrote cannot be trusted either."""
        if self.state is State.RUNNING:
            self.counters.nonsense += 1
            self._recover(ring.trouble)

    def _rings(self) -> Iterator[AdminQueue | QueuePair]:
        if self._admin is not None:
            yield self._admin.queue
        yield from self._lanes.pairs

    def _interrupting(self) -> Iterator[AdminQueue | QueuePair]:
        return (ring for ring in self._rings() if ring is not self._lanes.quick)

    def _failed(self, command: Command, status: Status) -> None:
        told = command[2]
        if isinstance(told, Forwarded):
            told.failed(status)
            return
        errno = errno_of(status)
        self.counters.errors += 1
        # One line per tick: a dying disk fails thousands of commands a second.
        _log.log(
            logging.DEBUG if self._error_logged else logging.WARNING,
            "%s: namespace %d, opcode %#04x at block %d failed: %s",
            self._function.address,
            command[0][1],
            command[0][0],
            command[1],
            describe(status),
        )
        self._error_logged = True
        told(errno or e.EIO)

    # -- the ladder --------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        admin = self._admin
        if admin is None:
            return
        before = self._watchdog.waiting(self._interrupting())
        admin.queue.reap()
        if admin.queue.trouble:
            self._complain(admin.queue)
        self._reap(self._lanes.pairs)
        if self.state is not State.RUNNING:
            return
        self.counters.late_interrupts += before - self._watchdog.waiting(self._interrupting())
        csts = admin.regs.CSTS.read()
        if csts.raw == GONE:
            self._leave(State.GONE, "has left")
            return
        if csts.CFS or not csts.RDY:
            self._recover(f"reports {csts!r}")
            return
        late, lost = self._watchdog.inspect(now, self._rings())
        if lost:
            self._recover(f"did not end command {lost[0].cid:#x} in {lost[0].age:.1f} s", lost)
            return
        for it in late[: self.identity.abort_limit - self._aborts_out]:
            self._abort(admin, it, now)
        self._events.arm()

    def _abort(self, admin: Admin, late: Late, now: float) -> None:
        _log.warning(
            "%s: command %#x of queue %d takes longer than %.1f s, aborting it",
            self._function.address, late.cid, late.ring.qid, late.age,
        )  # fmt: skip
        self.counters.aborts += 1
        self._aborts_out += 1
        self._watchdog.aborting(late, now)
        admin.abort(late.ring.qid, late.cid, self._aborted)

    def _aborted(self, answer: Answer) -> None:
        if answer.status is not None:  # after a reset the count starts over
            self._aborts_out -= 1

    def _recover(self, why: str, lost: Sequence[Late] = (), trusted: bool = False) -> None:
        """Begin a reset.  Commands in `lost` end with EIO, all others are issued again.

        Resets of a controller that is `trusted` do not lead to giving it up.
        """
        admin = self._admin
        if admin is None or self.state in (State.FAILED, State.GONE, State.STOPPED):
            return
        if admin.regs.CSTS.read().raw == GONE:
            self._leave(State.GONE, "has left")
            return
        self.counters.resets += 1
        _log.warning("%s: %s, resetting it", self._function.address, why)
        if not trusted and not self._budget.spend(self._clock.now()):
            self._leave(State.FAILED, f"{why}, and resets did not help")
            return
        self.state = State.RECOVERING
        self.lane = self._lanes.lobby
        self._offenders += self._lanes.evict({id(it.command) for it in lost})
        self._story = self._restart(admin)
        self.deadline = self._clock.now()

    def _restart(self, admin: Admin) -> Story[None]:
        yield from admin.disable()
        # Only now does the controller touch no memory of theirs.
        offenders, self._offenders = self._offenders, []
        self.counters.timeouts += len(offenders)
        self._end_admin(admin)
        for command in offenders:
            command[2](e.EIO)
        yield from admin.enable()
        yield from self._compare(admin)
        yield from self._lanes.come_back(admin)
        self._open()

    def _compare(self, admin: Admin) -> Story[None]:
        """Meet the controller and its namespaces as they were before the reset.

        `DeviceError` if it is another one, or a namespace has another size: what waits was meant
        for the old one, and blocks that are larger now do not fit in the memory of its commands.
        """
        identity = yield from admin.identify_controller()
        before = self.identity
        if (identity.model, identity.serial) != (before.model, before.serial):
            raise DeviceError(f"{identity.model} {identity.serial} has come in its place")
        for it in self.namespaces:
            geometry = yield from admin.identify_namespace(it.number)
            if (geometry.blocks, geometry.shift) != (it.block_count, it.geometry.shift):
                raise DeviceError(
                    f"namespace {it.number} has {geometry.blocks} blocks of "
                    f"{1 << geometry.shift} bytes now, not {it.block_count} of {it.block_size}"
                )

    def _step(self) -> None:
        """Tell the recovery's story a little further."""
        if self._story is None:
            return
        try:
            next(self._story)
        except StopIteration:
            self._story = None
            _log.warning("%s: works again", self._function.address)
        except Gone:
            self._leave(State.GONE, "has left")
        except DeviceError as error:
            self._story = None
            self._recover(f"did not recover ({error})")

    def _leave(self, state: State, why: str) -> None:
        """No way back: every command ends, now and later."""
        _log.error("%s: %s; every command fails from now on", self._function.address, why)
        self.state = state
        self._story = None
        if state is not State.GONE:
            # It may still be writing to the memory of the commands that end now.
            self._function.set_bus_master(False)
        self._end_all(e.ENODEV if state is State.GONE else e.EIO)

    def _end_all(self, errno: int) -> None:
        self.lane = self._lanes.lobby
        commands = [*self._offenders, *self._lanes.close(errno)]
        self._offenders = []
        if self._admin is not None:
            self._end_admin(self._admin)
        for command in commands:
            self.refuse(command[2], errno)

    def _end_admin(self, admin: Admin) -> None:
        for _, done in admin.queue.drain():
            done(Answer(None, 0))
