"""The lives of an instance's daemons: how each begins, what it says, how it ends, what follows."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from kernel_shim import patience
from kernel_shim.copying import Copiers
from kernel_shim.forgetters import Forgetters
from kernel_shim.functions import Functions
from kernel_shim.joins import Joins
from kernel_shim.keepable import let_go
from kernel_shim.notes import Notes
from kernel_shim.rundir import RunDir
from kernel_shim.seat import RIGHT, Seat
from kernel_shim.service import Running, State
from redbear_host.errors import RedbearError, TransportError
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

_READY_WITHIN_S: Final = 30.0  # not counted while it is at work: `kernel_shim.patience`
_STOP_WITHIN_S: Final = 5.0
_BACKOFF_S: Final = 0.1  # doubled with each death before ready, or of its own doing
_SAID_MAX: Final = 4096  # bytes of what a daemon says at once


def _parsed(said: bytes) -> dict[str, Any] | None:
    """Read what a daemon says; None for what is no message, as one that was taken over may send."""
    try:
        message = json.loads(said)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _answer_nothing(running: Running, said: dict[str, Any], fds: list[int]) -> None:
    """Be asked before somebody is there who answers."""


class Lives:
    """All daemons of an instance; `note_progress` is called when one's state has changed."""

    def __init__(self, loop: Loop, run_dir: RunDir, note_progress: Callable[[], object]) -> None:
        self.loop: Final = loop
        self.running: Final[list[Running]] = []
        self.stopping = False  # no other life begins
        self.notes: Final = Notes(self.running)
        self.joins: Final = Joins()
        self.seat: Final = Seat(loop, note_progress)
        self.functions: Final = Functions()
        self.on_ask: Callable[[Running, dict[str, Any], list[int]], None] = _answer_nothing
        self._run_dir: Final = run_dir
        self._note_progress: Final = note_progress
        self._forgetters: Final = Forgetters(loop)
        self._copiers: Final = Copiers(loop)

    # -- beginning -------------------------------------------------------------------------------

    def add(self, running: Running) -> None:
        """Take a daemon on whose schemes are mounted."""
        self.running.append(running)
        self.joins.add(running)
        self.seat.add(running)

    def begin(self, running: Running) -> None:
        """Start its first life, now or with the first use of its schemes."""
        if running.service.lazy:
            self._await_use(running)
        else:
            self._spawn(running)

    def await_ready(self, started: list[Running]) -> list[Running]:
        """Wait until all serve; `TransportError` for one that does not."""

        def starting() -> list[Running]:
            return [running for running in started if running.state is State.STARTING]

        while (late := starting()) and (left := min(map(_left, late))):
            self.loop.run_until(lambda: not starting(), left)
        for running in started:
            if running.state not in (State.READY, State.WAITING):
                name = running.service.name
                raise TransportError(
                    f"{name} did not start: {running.why or 'it never became ready'}",
                    f"see its log: redbear-host logs {name}   ({self.log_path(running)})",
                )
        return started

    def _await_use(self, running: Running) -> None:
        """Start a daemon with the first request for one of its schemes, which it then finds."""
        running.state = State.WAITING
        self.joins.on_waiting(running)
        for fd in running.doors():
            self.loop.watch(fd, lambda: self.wake(running))
        self._note_progress()

    def wake(self, running: Running) -> None:
        """Start what waits for its first use."""
        if running.state is State.WAITING:
            self._unwatch_doors(running)
            self._respawn(running)

    def _unwatch_doors(self, running: Running) -> None:
        for fd in running.doors():
            self.loop.unwatch(fd)
        running.state = State.STOPPED

    def log_path(self, running: Running) -> Path:
        """Return where a daemon writes what happens."""
        return self._run_dir.log_path(running.service.name)

    def _spawn(self, running: Running) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        log_fd = os.open(self.log_path(running), flags, 0o644)
        try:
            facts = {**self.joins.facts(running), **self.functions.facts(running)}
            self.seat.prepare(running)
            running.spawn(log_fd, partial(self._add_to_setup, running), facts)
        finally:
            os.close(log_fd)
        self._copiers.begin(running, self.log_path(running))
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

    # -- what it says ----------------------------------------------------------------------------

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

    # -- ending ----------------------------------------------------------------------------------

    def _on_death(self, running: Running) -> None:
        was_ready = running.state is State.READY
        self._collect(running)
        if self.stopping or running.ending:
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

    def _respawn(self, running: Running) -> None:
        if self.stopping or running.ending:
            return
        try:
            self._spawn(running)
        except (OSError, RedbearError) as err:
            hint = getattr(err, "hint", "")  # as which cards there are, for one that there is not
            self._give_up(running, f"{err}; {hint}" if hint else str(err))
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

    def remove(self, running: Running) -> None:
        """End a daemon for good."""
        self.end(running)
        if self.stopping:
            return
        self.joins.on_lost(running)
        device = running.service.device
        if device is not None:
            none = {"irq": device.address, "kind": "intx", "line": 0, "unmasks": False}
            self.notes.forget(f"irq {device.address}", none)
        self.running.remove(running)

    def end(self, running: Running) -> None:
        """Ask a daemon to stop, then make it; no other life follows."""
        running.ending = True
        if running.state is State.WAITING:
            self._unwatch_doors(running)
        if running.state not in (State.STARTING, State.READY) or running.pidfd < 0:
            return
        running.tell({"stop": True})
        self.loop.run_until(lambda: running.pidfd < 0, _STOP_WITHIN_S)
        if running.pidfd >= 0:
            log.warning("%s does not stop; it is killed", running.service.name)
            signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)
            self.loop.run_until(lambda: running.pidfd < 0, _STOP_WITHIN_S)


def _left(running: Running) -> float:
    """Return how long a daemon that is starting is still waited for, in seconds."""
    if running.pidfd < 0:
        return _READY_WITHIN_S  # its next life has not begun
    return patience.left(running.pid, running.spawned_at, _READY_WITHIN_S)
