"""The supervisor: mounts schemes, starts daemons, starts them again, takes everything down.

Its own memory is not precious either: everything it would have to undo stands in the run
directory's state file before it is done, and the guardian (`kernel_shim.guardian`) undoes it if the
supervisor vanishes.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

from kernel_shim import patience
from kernel_shim.copying import Copiers
from kernel_shim.forgetters import Forgetters
from kernel_shim.functions import Functions
from kernel_shim.guardian import start_guardian
from kernel_shim.holding import Holding
from kernel_shim.joins import Joins
from kernel_shim.keepable import let_go
from kernel_shim.mounted import MountedScheme
from kernel_shim.notes import Notes
from kernel_shim.programs import ProgramSchemes
from kernel_shim.rundir import RunDir
from kernel_shim.seat import RIGHT, Seat
from kernel_shim.service import Running, Service, State
from kernel_shim.undo import process_started, unmount_all
from redbear_host import linux
from redbear_host.errors import ConfigError, RedbearError, TransportError
from redbear_host.namespace.build import Instance
from redbear_host.scheme.loop import Loop
from schemefs.mount import HARMLESS, mounts_below

log = logging.getLogger(__name__)

_READY_WITHIN_S: Final = 30.0  # not counted while it is at work: `kernel_shim.patience`
_STOP_WITHIN_S: Final = 5.0
_BACKOFF_S: Final = 0.1  # doubled with each death before ready, or of its own doing
_SAID_MAX: Final = 4096  # bytes of what a daemon says at once
_DESCRIPTORS: Final = 1 << 16
_LOOK_S: Final = 0.2  # `redbear-host status` takes the lock for a moment


def _parsed(said: bytes) -> dict[str, Any] | None:
    """Read what a daemon says; None for what is no message, as one that was taken over may send."""
    try:
        message = json.loads(said)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _raise_descriptors() -> None:
    """Have room for many devices: each takes some 80 descriptors, and 1024 are the usual limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _DESCRIPTORS)), hard))


def _answer_nothing(running: Running, said: dict[str, Any], fds: list[int]) -> None:
    """Be asked before somebody is there who answers."""


class Supervisor:
    """One instance: a mount, a run directory, and its services."""

    def __init__(self, run_dir: RunDir, mount: Path) -> None:
        self.loop: Final = Loop()
        # Once and now: later, to follow links means to ask file systems that may hang.
        self.mount: Final = mount.resolve()
        self.instance: Final = Instance(self.mount, run_dir.path.resolve())
        self._run_dir: Final = run_dir
        self._running: Final[list[Running]] = []
        self._numbers: Final = count()
        self._holdings: Final[dict[str, Holding]] = {}  # by address
        self._undo: Final = ExitStack()
        self._mount_created = False
        self._began: Final = time.time()
        self._stopping = False
        self._stopped = False
        self._errands: Final[list[Callable[[], object]]] = []
        self.opened = False  # whether there is anything to undo
        self.notes: Final = Notes(self._running)
        self.on_ask: Callable[[Running, dict[str, Any], list[int]], None] = _answer_nothing
        self.joins: Final = Joins()
        self.seat: Final = Seat(self.loop, self._note_progress)
        self.functions: Final = Functions()
        self._dismiss: Callable[[], None] = lambda: None
        self._forgetters: Final = Forgetters(self.loop)
        self._copiers: Final = Copiers(self.loop)
        self.programs: Final = ProgramSchemes(
            self.mount, run_dir.rings, self.loop, self.notes.note, self.notes.forget
        )

    # -- the instance ----------------------------------------------------------------------------

    def open(self) -> None:
        """Take the run directory and the mount point; `ConfigError` if either is taken."""
        os.umask(0o022)  # what root makes here, others may look at and not change
        _raise_descriptors()
        self._run_dir.lock(_LOOK_S)
        try:
            if self._run_dir.read():
                raise ConfigError(
                    "an earlier redbear-host ended without cleaning up",
                    "clean up after it with: redbear-host down",
                )
            self._check_mount_point()
        except RedbearError:
            self._run_dir.unlock()
            raise
        self.opened = True
        self._save()
        self._run_dir.set_aside_logs()
        self._dismiss = start_guardian(self._run_dir.path)
        try:
            if not self.mount.exists():
                self.mount.mkdir()
                self._mount_created = True
                self._save()
            self._undo.callback(lambda: unmount_all(self.mount, self._mount_created))
            linux.mount("redbear", self.mount, "tmpfs", HARMLESS, "mode=0755,size=1m")
            self._run_dir.rings.mkdir(mode=0o755, exist_ok=True)
            self._undo.callback(self.joins.close)
            self._undo.callback(self.seat.close)
            self._undo.callback(self.programs.close)
        except PermissionError:
            raise ConfigError(f"mounting on {self.mount} needs root", "run it with sudo") from None
        except OSError as err:
            raise TransportError(
                f"{self.mount} cannot be prepared: {err.strerror}",
                "choose another with --mount DIR",
            ) from err

    def _check_mount_point(self) -> None:
        if not self.mount.parent.is_dir():
            # Made here, it would have to be unmade with all above it.
            folder = self.mount.parent
            raise ConfigError(f"there is no folder {folder}", f"make it with: mkdir -p {folder}")
        hint = "choose another with --mount DIR, or unmount what is there"
        found = mounts_below(self.mount)
        if found:
            raise ConfigError(f"{found[-1][0]} is mounted already ({found[-1][1]})", hint)
        if self.mount.exists():
            if not self.mount.is_dir():
                raise ConfigError(f"{self.mount} is not a folder", hint)
            if any(self.mount.iterdir()):
                raise ConfigError(f"{self.mount} is not empty", hint)

    def close(self) -> None:
        """Undo everything, in reverse order; what fails is left to the guardian.

        Raises the first error after everything else was undone.
        """
        self._stopping = True
        if not self.opened:
            return
        try:
            with self._undo:  # closed last, and whatever happens before
                for holding in self._holdings.values():
                    self._undo.push(holding.undo)
                for running in self._running:
                    if running.service.with_:  # it still has something to say through a device
                        self._undo.callback(self._end, running)
            self._run_dir.empty_scratch()
            self._run_dir.clear()
        finally:
            self._run_dir.unlock()
            self._dismiss()

    def hold(self, address: str) -> Holding:
        """Begin to hold a device, until `let_go` or `close`; what hangs on it is its holding's."""
        holding = Holding(address, self._run_dir.scratch, self._save)
        self._holdings[address] = holding
        return holding

    def held(self, address: str) -> Holding | None:
        """Return the holding of a device, if there is one."""
        return self._holdings.get(address)

    def let_go(self, holding: Holding) -> None:
        """End a device's daemon, take its schemes away, give it back; raises the first error."""
        try:
            holding.undo.close()
        finally:
            self._holdings.pop(holding.address, None)
            self.functions.forget(holding.address, self._running)
            self._save()

    def _save(self) -> None:
        alive = [
            {"name": r.service.name, "pid": r.pid, "started": r.started}
            for r in self._running
            if r.state in (State.STARTING, State.READY)
        ]
        self._run_dir.write(
            {
                "pid": os.getpid(),
                "started": process_started(os.getpid()),
                "began": self._began,
                "mount": str(self.mount),
                "mount_created": self._mount_created,
                "devices": [held.describe() for held in self._holdings.values()],
                "processes": [
                    *chain.from_iterable(held.processes for held in self._holdings.values()),
                    *alive,
                ],
                "console": self.seat.describe(),
                "daemons": [r.describe() for r in self._running],
            }
        )

    def _note_progress(self) -> None:
        """Write down how the daemons are; that it cannot be written is no reason to end them."""
        try:
            self._save()
        except TransportError as err:
            log.warning("%s; `redbear-host status` is out of date", err)

    # -- services --------------------------------------------------------------------------------

    def start(self, *services: Service) -> list[Running]:
        """Mount the services' schemes, start their daemons side by side, wait until all serve."""
        return self._await_ready([self._begin(service) for service in services])

    def use(self, running: Running) -> None:
        """Start what waits for its first use, and wait until it serves."""
        self._wake(running)
        self._await_ready([running])

    def _await_ready(self, started: list[Running]) -> list[Running]:
        def starting() -> list[Running]:
            return [running for running in started if running.state is State.STARTING]

        while (late := starting()) and (left := min(map(_left, late))):
            self._run_until(lambda: not starting(), left)
        for running in started:
            if running.state not in (State.READY, State.WAITING):
                name = running.service.name
                raise TransportError(
                    f"{name} did not start: {running.why or 'it never became ready'}",
                    f"see its log: redbear-host logs {name}   ({self._log_path(running)})",
                )
        return started

    def _begin(self, service: Service) -> Running:
        schemes: list[MountedScheme] = []
        holding = service.device and self._holdings.get(service.device.address)
        undo = holding.undo if holding else self._undo
        for name in service.schemes:
            is_file = name in service.file_roots
            scheme = MountedScheme(name, self.mount, self._run_dir.rings, is_file)
            schemes.append(scheme)
            undo.callback(scheme.remove if holding else scheme.close)
            self.notes.note(
                f"scheme {name}",
                {"scheme": name, "service": service.name},
                [scheme.journal.fd, scheme.meter.fd],
            )
            undo.callback(self.notes.forget, f"scheme {name}", {"no_scheme": name})
        running = Running(service, schemes, next(self._numbers))
        self._running.append(running)
        self.joins.add(running)
        self.seat.add(running)
        undo.callback(self._remove, running)
        if service.lazy:
            self._await_use(running)
        else:
            self._spawn(running)
        return running

    def _await_use(self, running: Running) -> None:
        """Start a daemon with the first request for one of its schemes, which it then finds."""
        running.state = State.WAITING
        self.joins.on_waiting(running)
        for fd in running.doors():
            self.loop.watch(fd, lambda: self._wake(running))
        self._note_progress()

    def _wake(self, running: Running) -> None:
        if running.state is State.WAITING:
            self._unwatch_doors(running)
            self._respawn(running)

    def _unwatch_doors(self, running: Running) -> None:
        for fd in running.doors():
            self.loop.unwatch(fd)
        running.state = State.STOPPED

    def _log_path(self, running: Running) -> Path:
        return self._run_dir.log_path(running.service.name)

    def _spawn(self, running: Running) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        log_fd = os.open(self._log_path(running), flags, 0o644)
        try:
            facts = {**self.joins.facts(running), **self.functions.facts(running)}
            self.seat.prepare(running)
            running.spawn(log_fd, partial(self._add_to_setup, running), facts)
        finally:
            os.close(log_fd)
        self._copiers.begin(running, self._log_path(running))
        self._note_progress()
        if running.service.is_kernel:
            self.notes.repeat(running)
        control = running.control
        if control is None:
            raise TransportError(f"{running.service.name} has no control socket")
        self.loop.watch(running.pidfd, lambda: self._on_death(running))
        self.loop.watch(control.fileno(), lambda: self._on_control(running, control))

    def _add_to_setup(self, running: Running, fds: list[int]) -> Mapping[str, Any]:
        wires = {**self.joins.setup(running, fds), **self._copiers.setup(running, fds)}
        return {**wires, **self.seat.setup(running, fds)}

    def _on_control(self, running: Running, control: socket.socket) -> None:
        try:
            said, fds, _, _ = socket.recv_fds(control, _SAID_MAX, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:  # it was meant for a predecessor's socket with the same number
            return
        except ConnectionResetError:  # it died with an unread message of ours
            said, fds = b"", []
        if not said and not fds:
            self.loop.unwatch(control.fileno())
            return
        try:
            self._on_message(running, said, fds)
        finally:
            if not let_go(fds):  # what nobody has taken out
                # Each may have cost us a thread, which waits for ever: no more of them.
                log.error("%s hands us what no daemon has; it is ended", running.service.name)
                self.restart(running)

    def _on_message(self, running: Running, said: bytes, fds: list[int]) -> None:
        message = _parsed(said)
        if message is None:
            log.warning("%s says what makes no sense: %.100r", running.service.name, said)
            return
        if "ready" in message:
            running.state = State.READY
            running.ready_after = time.monotonic() - running.spawned_at
            self.joins.on_ready(running)
            if running.outdated:
                self.restart(running)
        elif "gone" in message:  # its device has left; it goes on, to say so to its clients
            running.gone = True
            self.joins.on_lost(running)
            if running.service.device is not None:
                running.service.device.abandon()
        elif "adapter" in message:
            try:
                self.joins.on_facts(running, message)
            except (TypeError, ValueError) as error:
                log.warning("%s says of its card: %s", running.service.name, error)
        elif "crowded" in message:
            for scheme in running.schemes:
                if scheme.name == message["crowded"]:
                    self._forgetters.begin(scheme)
        elif "interrupts" in message and running.service.device is not None:
            self.notes.note_interrupts(running.service.device, message)
        elif RIGHT in message and RIGHT in running.service.asks:
            self.seat.on_said(running, message)
        elif running.service.is_kernel or any(map(running.service.may_ask, message)):
            self.on_ask(running, message, fds)
            return
        else:
            log.warning("%s says what it has no right to: %.100s", running.service.name, message)
        self._note_progress()

    def _on_death(self, running: Running) -> None:
        was_ready = running.state is State.READY
        self._collect(running)
        if self._stopping or running.ending:
            return
        if running.gone:
            self._give_up(running, "its device has left")
            return
        try:
            if running.service.device is not None:
                running.service.device.quiesce()
        except (OSError, RedbearError) as err:
            self._give_up(running, f"its device cannot be quieted: {err}")
            return
        if running.schemes and all(scheme.gone for scheme in running.schemes):
            self._give_up(running, "its schemes were unmounted")
            return
        if running.overdue:
            self._give_up(running, f"it was not ready within {_READY_WITHIN_S:g} s")
            return
        deaths = running.deaths(was_ready)
        if not was_ready and running.life == 1:
            self._give_up(running, running.why)
            return
        if not was_ready and deaths > running.service.early_deaths:
            self._give_up(running, f"{running.why}, {deaths} deaths before it was ready")
            return
        log.warning("%s died (%s), starting it again", running.service.name, running.why)
        calm = 1 if was_ready else 0  # so many deaths are answered at once
        if deaths > calm:
            pause = _BACKOFF_S * 2 ** (deaths - calm - 1)
            running.state = State.STARTING
            self.loop.at(self.loop.now() + pause, lambda: self._respawn(running))
        else:
            self._respawn(running)

    def restart(self, running: Running) -> None:
        """End a daemon's present life; the next one begins at once, and its clients wait for it.

        One that is coming up is let: a death now would count as a failure to start.
        """
        if running.state is State.STARTING:
            running.outdated = True
        elif running.state is State.READY and running.pidfd >= 0:
            signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)

    @property
    def services(self) -> Sequence[Running]:
        """What was started."""
        return self._running

    def _respawn(self, running: Running) -> None:
        if self._stopping or running.ending:
            return
        try:
            self._spawn(running)
        except (OSError, RedbearError) as err:
            self._give_up(running, str(err))
            return
        self._check_ready_later(running, running.life, _READY_WITHIN_S)

    def _check_ready_later(self, running: Running, life: int, left: float) -> None:
        self.loop.at(self.loop.now() + left, lambda: self._check_ready(running, life))

    def _check_ready(self, running: Running, life: int) -> None:
        """End a successor that neither serves nor dies: clients are waiting for it."""
        if running.life == life and running.state is State.STARTING and running.pidfd >= 0:
            if left := _left(running):
                self._check_ready_later(running, life, left)
                return
            running.overdue = True
            signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)

    def _collect(self, running: Running) -> None:
        self.loop.unwatch(running.pidfd)
        if running.control is not None:
            self.loop.unwatch(running.control.fileno())
        self._copiers.end(running)
        running.why = running.reap()
        running.state = State.STOPPED
        self.seat.on_death(running)

    def _give_up(self, running: Running, why: str) -> None:
        """Leave a daemon dead; its clients get errors instead of waiting for ever."""
        log.error("%s is given up: %s", running.service.name, why)
        running.why = why
        running.state = State.FAILED
        self.joins.on_lost(running)
        for scheme in running.schemes:
            scheme.fail()
        self._note_progress()

    def _remove(self, running: Running) -> None:
        """End a daemon for good."""
        self._end(running)
        if self._stopping:
            return
        self.joins.on_lost(running)
        device = running.service.device
        if device is not None:
            none = {"irq": device.address, "kind": "intx", "line": 0, "unmasks": False}
            self.notes.forget(f"irq {device.address}", none)
        self._running.remove(running)

    def _end(self, running: Running) -> None:
        """Ask a daemon to stop, then make it; no other life follows."""
        running.ending = True
        if running.state is State.WAITING:
            self._unwatch_doors(running)
        if running.state not in (State.STARTING, State.READY) or running.pidfd < 0:
            return
        running.tell({"stop": True})
        self._run_until(lambda: running.pidfd < 0, _STOP_WITHIN_S)
        if running.pidfd >= 0:
            log.warning("%s does not stop; it is killed", running.service.name)
            signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)
            self._run_until(lambda: running.pidfd < 0, _STOP_WITHIN_S)

    # -- waiting ---------------------------------------------------------------------------------

    def _run_until(self, done: Callable[[], bool], within: float) -> None:
        """Serve events until `done` holds, for at most `within` seconds."""
        deadline = self.loop.now() + within
        timer = self.loop.at(deadline, self.loop.stop)
        while not done() and self.loop.now() < deadline:
            self.loop.run_round()
        timer.cancel()

    def soon(self, errand: Callable[[], object]) -> None:
        """Do something that may take its time, such as starting a daemon, between two events."""
        self._errands.append(errand)
        self.loop.stop()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopped = True
        self.loop.stop()

    def run(self) -> None:
        """Supervise until `stop`, SIGTERM, SIGINT or SIGHUP."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        previous = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        stops = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        handlers = {number: signal.signal(number, lambda *_: None) for number in stops}
        try:
            self.loop.watch(ours.fileno(), lambda: self._on_signals(ours, stops))
            while not self._stopped:
                if self._errands:
                    self._errands.pop(0)()
                else:
                    self.loop.run()
        finally:
            self.loop.unwatch(ours.fileno())
            signal.set_wakeup_fd(previous)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            ours.close()
            theirs.close()

    def _on_signals(self, ours: socket.socket, stops: Sequence[int]) -> None:
        """Stop for those that mean that; others have handlers of their own."""
        if not set(stops).isdisjoint(ours.recv(64)):
            self.stop()


def _left(running: Running) -> float:
    """Return how long a daemon that is starting is still waited for, in seconds."""
    if running.pidfd < 0:
        return _READY_WITHIN_S  # its next life has not begun
    return patience.left(running.pid, running.spawned_at, _READY_WITHIN_S)
