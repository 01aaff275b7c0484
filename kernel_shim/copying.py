"""A daemon's copier (`kernel_shim.copier`): started when it is first asked, ended with the daemon.

The daemon's end of a socket pair goes into its set-up.  The other stays here until something
comes, is then lent to a copier, and comes back when that has ended: idle, dead, or killed.  So a
daemon nobody makes ioctls to costs nothing, and a copier that dies is replaced at the next
question.  The one it had is asked again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kernel_shim.service import Running
from redbear_host.scheme.clients import AGAIN, ANSWER, STAGING_BYTES
from redbear_host.scheme.loop import Loop
from schemefs.mount import all_mounts

log = logging.getLogger(__name__)

ASKED: Final = "client"  # in `asks` of a manifest

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_DEATHS_MOST: Final = 5  # in one life of a daemon


class Copiers:
    """Those of all daemons whose manifest asks for one."""

    def __init__(self, loop: Loop) -> None:
        self._loop: Final = loop
        self._of: Final[dict[str, Copying]] = {}

    def setup(self, running: Running, fds: list[int]) -> Mapping[str, Any]:
        """Return what goes into a new life's set-up, and add its descriptors to `fds`."""
        if ASKED not in running.service.asks:
            return {}
        copying = self._of[running.service.name] = Copying(running.service.name)
        fds += copying.fds
        return {"client_fd": len(fds) - 2, "staging_fd": len(fds) - 1}

    def begin(self, running: Running, log_path: Path) -> None:
        """Wait for the questions of a life that has its set-up."""
        copying = self._of.get(running.service.name)
        if copying is not None:
            mounts = [scheme.path for scheme in running.schemes]
            copying.begin(self._loop, running.pid, running.pidfd, mounts, log_path)

    def end(self, running: Running) -> None:
        """End the copier of a life that has ended; before its pidfd is closed."""
        copying = self._of.pop(running.service.name, None)
        if copying is not None:
            copying.close()


class Copying:
    """The copier of one life of a daemon; `close` it when the daemon has died."""

    def __init__(self, name: str) -> None:
        self._name: Final = name
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._staging: Final = os.memfd_create(
            "redbear-clients", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        )
        os.ftruncate(self._staging, STAGING_BYTES)
        # A daemon that could shorten it would kill the copier.
        fcntl.fcntl(self._staging, fcntl.F_ADD_SEALS, _SEALS)
        self._loop: Loop | None = None
        self._arguments: list[str] = []
        self._daemon = self._copier = -1  # pidfds
        self._log_path = Path(os.devnull)
        self._deaths = 0

    @property
    def fds(self) -> tuple[int, int]:
        """What the daemon gets: its end of the socket, and the staging area."""
        return self._theirs.fileno(), self._staging

    def begin(
        self, loop: Loop, pid: int, pidfd: int, mounts: Sequence[Path], log_path: Path
    ) -> None:
        """Watch for the first question of the daemon, which holds its end now."""
        self._theirs.close()
        devices = [f"0:{mount.minor}" for mount in all_mounts() if mount.point in mounts]
        self._loop, self._daemon, self._log_path = loop, pidfd, log_path
        self._arguments = [str(pid), *devices]
        loop.watch(self._ours.fileno(), self._start)

    def _start(self) -> None:
        loop = self._loop
        if loop is None or self._copier >= 0:
            return
        loop.unwatch(self._ours.fileno())
        if self._deaths >= _DEATHS_MOST:
            log.error("the copier of %s is given up: %d deaths", self._name, self._deaths)
            self._ours.shutdown(socket.SHUT_RDWR)  # so that the daemon waits for no answer
            return
        lent = (self._ours.fileno(), self._staging, self._daemon)
        arguments = [*map(str, lent), *self._arguments]
        with self._log_path.open("ab") as log_file:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-m", "kernel_shim.copier", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log_file,
                    stderr=log_file,
                    pass_fds=lent,
                    start_new_session=True,
                    cwd="/",
                )
            except OSError as error:
                log.error("the copier of %s cannot be started: %s", self._name, error)
                return
        process.returncode = 0  # it is waited for through its pidfd
        self._copier = os.pidfd_open(process.pid)
        loop.watch(self._copier, self._on_end)

    def _on_end(self) -> None:
        loop = self._loop
        if loop is None:
            return
        info = self._reap(loop)
        try:
            # It may have died while the daemon was stopped.
            signal.pidfd_send_signal(self._daemon, signal.SIGCONT)
        except ProcessLookupError:
            return
        if info:
            self._deaths += 1
            log.warning("the copier of %s died (%d)", self._name, info)
            with suppress(OSError):  # the daemon is behind in its reading, or dead
                self._ours.send(ANSWER.pack(AGAIN, 0, 0, 0, 0), socket.MSG_DONTWAIT)
        loop.watch(self._ours.fileno(), self._start)

    def _reap(self, loop: Loop) -> int:
        """Collect the copier that has ended; return its exit status or signal."""
        loop.unwatch(self._copier)
        info = os.waitid(os.P_PIDFD, self._copier, os.WEXITED)
        os.close(self._copier)
        self._copier = -1
        return 0 if info is None else info.si_status

    def close(self) -> None:
        """End the copier, and give everything back."""
        loop, self._loop = self._loop, None
        if loop is not None:
            if self._copier >= 0:
                signal.pidfd_send_signal(self._copier, signal.SIGKILL)
                self._reap(loop)
            loop.unwatch(self._ours.fileno())
        self._theirs.close()
        self._ours.close()
        os.close(self._staging)
