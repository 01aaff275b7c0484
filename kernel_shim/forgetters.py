"""Processes that ask the kernel to forget names of a scheme whose table of them is crowded."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Final

from kernel_shim.mounted import MountedScheme
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)


class Forgetters:
    """At most one for each scheme.  They end by themselves, at the latest with the mount."""

    def __init__(self, loop: Loop) -> None:
        self._loop: Final = loop
        self.busy: Final[set[str]] = set()  # names of schemes

    def begin(self, scheme: MountedScheme) -> None:
        """Start one, unless one is at work (`schemefs.forgetting` says why it is a process)."""
        if scheme.name in self.busy:
            return
        fds = (scheme.connection_fd, scheme.journal.fd)
        argv = [sys.executable, "-I", "-m", "schemefs.forgetting", *map(str, fds)]
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=fds, cwd="/"
            )
        except OSError as err:
            log.warning("nobody can ask the kernel to forget names of %s: %s", scheme.name, err)
            return
        pidfd = os.pidfd_open(process.pid)
        process.returncode = 0  # it is waited for through its pidfd, not by subprocess
        self.busy.add(scheme.name)
        self._loop.watch(pidfd, lambda: self._end(scheme.name, pidfd))

    def _end(self, name: str, pidfd: int) -> None:
        self._loop.unwatch(pidfd)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        self.busy.discard(name)
