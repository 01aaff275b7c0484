"""A mounted scheme served by a child process, for tests of the FUSE door."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from schemefs import mount
from schemefs.handshake import answer_init
from schemefs.journal import Geometry, Journal

SERVED = Path(__file__).with_name("served.py")


class Rig:
    """Plays the shim: holds connection and journal, starts and kills the server."""

    def __init__(self, point: Path, kind: str, *arguments: str, geometry: Geometry | None = None):
        self.point = point
        self.kind = kind
        self.arguments = arguments
        self.fd = mount.open_connection()
        mount.mount(self.fd, point, f"test.{kind}")
        self.minor = answer_init(self.fd)
        os.set_blocking(self.fd, False)
        self.journal = Journal.create(self.minor, geometry)
        self.server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a server, the first or a successor of one that has ended."""
        if self.server is not None:
            self.kill()
        fds = (self.fd, self.journal.fd)
        argv = [sys.executable, str(SERVED), self.kind, *map(str, fds), *self.arguments]
        self.server = subprocess.Popen(argv, pass_fds=fds, stderr=subprocess.PIPE)

    def kill(self) -> None:
        """End the server as `kill -9` would."""
        assert self.server is not None
        self.server.send_signal(signal.SIGKILL)
        self.server.wait(10)
        assert self.server.stderr is not None
        self.server.stderr.close()
        self.server = None

    def close(self) -> None:
        for _, _, minor in mount.mounts_below(self.point):
            mount.abort(minor)
        mount.unmount(self.point)
        if self.server is not None:
            self.kill()
        self.journal.close()
        os.close(self.fd)
