"""One daemon under supervision: what it is, and the process it is right now."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from kernel_shim.device import Device
from kernel_shim.mounted import MountedScheme
from kernel_shim.undo import process_started
from redbear_host.errors import TransportError
from redbear_host.sandbox.policy import Policy

log = logging.getLogger(__name__)

_SETUP_MAX: Final = 1 << 18
_FDS_MOST: Final = 253  # SCM_MAX_FD: descriptors in one message
_IMPLIED: Final = {"forget": "keep"}  # who may ask the one may ask the other

More: TypeAlias = Callable[[list[int]], Mapping[str, Any]]

_FROM_OUTSIDE: Final = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class State(StrEnum):
    """Where a service is in its life."""

    WAITING = "waiting"  # for the first use of its schemes
    STARTING = "starting"
    READY = "ready"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Service:
    """What to run; `name` is unique in an instance and names the log."""

    name: str
    module: str
    schemes: tuple[str, ...]
    file_roots: tuple[str, ...] = ()  # those of its schemes whose root is a file
    asks: frozenset[str] = frozenset()  # what it may ask: `kernel_shim.answers`
    with_: tuple[str, ...] = ()  # how the schemes begin that it is told of: `kernel_shim.joins`
    calls: tuple[str, ...] = ()  # and those it is told of and may be connected with
    keep_most: int = 64  # descriptors that are kept for it
    lazy: bool = False  # it is started when its schemes are first used
    lists_functions: bool = False  # it serves `pci`, and is told of them: `kernel_shim.functions`
    is_kernel: bool = False  # it serves the kernel's schemes, and is told what there is
    device: Device | None = None
    policy: Policy | None = None  # what it may do when it serves; None: whatever root may
    options: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)  # what only this daemon is told
    early_deaths: int = 5  # more deaths than this before it was ready, in `within`: give up
    within: float = 10.0

    def may_ask(self, name: str) -> bool:
        """Tell whether its manifest lets it ask that."""
        return _IMPLIED.get(name, name) in self.asks


class Running:
    """A service's present process, and the count of those before it."""

    def __init__(self, service: Service, schemes: list[MountedScheme], number: int) -> None:
        self.service: Final = service
        self.number: Final = number  # of this instance's services; its user is its own
        self.schemes: Final = schemes
        self.state = State.STOPPED
        self.life = 0
        self.pid = -1
        self.started = 0
        self.pidfd = -1
        self.control: socket.socket | None = None
        self.spawned_at = 0.0
        self.ready_after = 0.0  # seconds from spawn to ready, of the present life
        self.early_deaths: list[float] = []  # when it died before it was ready
        self.crashes: list[float] = []  # when it died later, by its own doing
        self.outdated = False  # its present life ends as soon as it is ready
        self.overdue = False  # it is being killed, since it did not become ready in time
        self.gone = False  # its device has left
        self.ending = False  # it has no further life
        self.why = ""
        self.trace_fd = -1  # where its next lives write each access to their device's registers
        self.crashed = False  # the last life ended by its own doing, not by a kill from outside

    def spawn(self, log_fd: int, more: More, facts: Mapping[str, Any]) -> None:
        """Start the next life: a fresh interpreter, then the set-up over its control socket.

        `more` adds to the set-up and its descriptors, `facts` to what this life alone is told.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # nothing a daemon does or leaves undone may stop the shim
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SETUP_MAX)
        with theirs:
            # -I: neither the environment nor a folder named `daemons` in the working directory may
            # choose what a root process imports.
            argv = [sys.executable, "-I", "-m", self.service.module, str(theirs.fileno())]
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log_fd,
                    stderr=log_fd,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    cwd="/",
                )
            except OSError as err:
                ours.close()
                raise TransportError(f"{self.service.name} cannot be started: {err}") from err
        self.life += 1
        self.gone = self.outdated = False
        self.pid = process.pid
        process.returncode = 0  # it is waited for through its pidfd, not by subprocess
        self.started = process_started(self.pid) or 0
        self.pidfd = os.pidfd_open(self.pid)
        self.control = ours
        self.spawned_at = time.monotonic()
        self.state = State.STARTING
        self._send_setup(more, facts)

    def _send_setup(self, more: More, facts: Mapping[str, Any]) -> None:
        service = self.service
        grant: dict[str, Any] | None = None
        fds: list[int] = []
        if service.device is not None:
            grant, fds = service.device.grant()
            fds = list(fds)
        entries = []
        for scheme in self.schemes:
            entries.append(
                {
                    "name": scheme.name,
                    "connection_fd": len(fds),
                    "journal_fd": len(fds) + 1,
                    "listener_fd": len(fds) + 2,
                    "meter_fd": len(fds) + 3,
                }
            )
            fds += [scheme.connection_fd, scheme.journal.fd]
            fds += [scheme.listener.fileno(), scheme.meter.fd]
        setup: dict[str, Any] = {
            "name": service.name,
            "life": self.life,
            "crashed": self.crashed,
            "schemes": entries,
            "grant": grant,
            "options": dict(service.options),
            "facts": {**service.facts, **facts},
            "kernel": service.is_kernel,
            "sandbox": service.policy and service.policy.with_uid(self.number).to_wire(),
        }
        if self.trace_fd >= 0:
            setup["trace_fd"] = len(fds)
            fds.append(self.trace_fd)
        setup.update(more(fds))
        setup["descriptors"] = len(fds)
        self.tell(setup, fds[:_FDS_MOST])
        for first in range(_FDS_MOST, len(fds), _FDS_MOST):  # the rest of them, right behind it
            self.tell({}, fds[first : first + _FDS_MOST])

    def tell(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """Send the daemon a message; one that is dead, or reads none, misses it."""
        if self.control is None:
            return
        try:
            socket.send_fds(self.control, [json.dumps(message).encode()], fds)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it died; its pidfd says so
        except BlockingIOError:
            log.warning("%s does not listen to the shim", self.service.name)

    def doors(self) -> list[int]:
        """Return what becomes readable when somebody wants something of its schemes."""
        return [
            fd for scheme in self.schemes for fd in (scheme.connection_fd, scheme.listener.fileno())
        ]

    def reap(self) -> str:
        """Collect the dead process; say how it died."""
        info = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)
        self.pidfd = -1
        if self.control is not None:
            self.control.close()
            self.control = None
        exited = info is None or info.si_code == os.CLD_EXITED
        self.crashed = exited or (info is not None and info.si_status not in _FROM_OUTSIDE)
        if info is None or exited:
            return f"exit status {info.si_status if info else 'unknown'}"
        return f"signal {info.si_status}"

    def deaths(self, was_ready: bool) -> int:
        """Count the death just reaped; return how many of its kind there were lately.

        Kills from outside, of a daemon that was ready, count as none.
        """
        if was_ready and not self.crashed:
            return 0
        kind = self.crashes if was_ready else self.early_deaths
        now = time.monotonic()
        kind[:] = [when for when in kind if when > now - self.service.within] + [now]
        return len(kind)

    def describe(self) -> dict[str, Any]:
        """Return what `status` shows."""
        device = self.service.device
        return {
            "name": self.service.name,
            "state": self.state.value,
            "pid": self.pid if self.state in (State.STARTING, State.READY) else None,
            "schemes": [scheme.name for scheme in self.schemes],
            "device": device.address if device else None,
            "gone": self.gone,
            "restarts": max(0, self.life - 1),
            "ready_ms": round(self.ready_after * 1000),
            "why": self.why,
        }
