"""The scheme of redox_served.py in a child, at a socket that outlives it, as the shim's does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

SERVED = Path(__file__).with_name("redox_served.py")


class Served:
    """Plays the shim: holds the listener, starts and kills the daemon."""

    def __init__(self, rings: Path):
        self.rings = rings
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(rings / "bench"))
        self.listener.listen()
        self.listener.setblocking(False)
        self.child: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        fd = self.listener.fileno()
        self.child = subprocess.Popen([sys.executable, str(SERVED), str(fd)], pass_fds=[fd])

    def kill(self) -> None:
        assert self.child is not None
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(10)

    def close(self) -> None:
        self.kill()
        self.listener.close()
        os.unlink(self.rings / "bench")
