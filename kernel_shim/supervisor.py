"""The supervisor: mounts schemes, has daemons on them, takes everything down.

How daemons live and die is told in `kernel_shim.lives`.

Its own memory is not precious either: everything it would have to undo stands in the run
directory's state file before it is done, and the guardian (`kernel_shim.guardian`) undoes it if the
supervisor vanishes.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path
from typing import Final

from kernel_shim.guardian import start_guardian
from kernel_shim.holding import Holding
from kernel_shim.lives import Lives
from kernel_shim.mounted import MountedScheme
from kernel_shim.programs import ProgramSchemes
from kernel_shim.rundir import RunDir
from kernel_shim.service import Running, Service, State
from kernel_shim.undo import process_started, unmount_all
from redbear_host import linux
from redbear_host.errors import ConfigError, RedbearError, TransportError
from redbear_host.namespace.build import Instance
from redbear_host.scheme.loop import Loop
from schemefs.mount import HARMLESS, mounts_below

log = logging.getLogger(__name__)

_DESCRIPTORS: Final = 1 << 16
_LOOK_S: Final = 0.2  # `redbear-host status` takes the lock for a moment


def _raise_descriptors() -> None:
    """Have room for many devices: each takes some 80 descriptors, and 1024 are the usual limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _DESCRIPTORS)), hard))


class Supervisor:
    """One instance: a mount, a run directory, and its services."""

    def __init__(self, run_dir: RunDir, mount: Path) -> None:
        self.loop: Final = Loop()
        # Once and now: later, to follow links means to ask file systems that may hang.
        self.mount: Final = mount.resolve()
        self.instance: Final = Instance(self.mount, run_dir.path.resolve())
        self._run_dir: Final = run_dir
        self._numbers: Final = count()
        self._holdings: Final[dict[str, Holding]] = {}  # by address
        self._undo: Final = ExitStack()
        self._mount_created = False
        self._began: Final = time.time()
        self._stopped = False
        self._errands: Final[list[Callable[[], object]]] = []
        self.opened = False  # whether there is anything to undo
        self.lives: Final = Lives(self.loop, run_dir, self._note_progress)
        self._dismiss: Callable[[], None] = lambda: None
        self.programs: Final = ProgramSchemes(
            self.mount, run_dir.rings, self.loop, self.lives.notes.note, self.lives.notes.forget
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
            self._undo.callback(self.lives.joins.close)
            self._undo.callback(self.lives.seat.close)
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
        self.lives.stopping = True
        if not self.opened:
            return
        try:
            with self._undo:  # closed last, and whatever happens before
                for holding in self._holdings.values():
                    self._undo.push(holding.undo)
                for running in self.lives.running:
                    if running.service.with_:  # it still has something to say through a device
                        self._undo.callback(self.lives.end, running)
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
            self.lives.functions.forget(holding.address, self.lives.running)
            self._save()

    def _save(self) -> None:
        alive = [
            {"name": r.service.name, "pid": r.pid, "started": r.started}
            for r in self.lives.running
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
                "console": self.lives.seat.describe(),
                "daemons": [r.describe() for r in self.lives.running],
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
        return self.lives.await_ready([self._begin(service) for service in services])

    def use(self, running: Running) -> None:
        """Start what waits for its first use, and wait until it serves."""
        self.lives.wake(running)
        self.lives.await_ready([running])

    def _begin(self, service: Service) -> Running:
        schemes: list[MountedScheme] = []
        holding = service.device and self._holdings.get(service.device.address)
        undo = holding.undo if holding else self._undo
        for name in service.schemes:
            is_file = name in service.file_roots
            scheme = MountedScheme(name, self.mount, self._run_dir.rings, is_file)
            schemes.append(scheme)
            undo.callback(scheme.remove if holding else scheme.close)
            self.lives.notes.note(
                f"scheme {name}",
                {"scheme": name, "service": service.name},
                [scheme.journal.fd, scheme.meter.fd],
            )
            undo.callback(self.lives.notes.forget, f"scheme {name}", {"no_scheme": name})
        running = Running(service, schemes, next(self._numbers))
        self.lives.add(running)
        undo.callback(self.lives.remove, running)
        self.lives.begin(running)
        return running

    @property
    def services(self) -> Sequence[Running]:
        """What was begun and not ended for good."""
        return self.lives.running

    # -- waiting ---------------------------------------------------------------------------------

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
