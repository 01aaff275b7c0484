"""What every daemon's `__main__` calls: the set-up the shim sends, the loop, and the way out.

A daemon is started as `python -I -m daemons.NAME FD`.  On that socket the shim sends one message
with everything the daemon will ever hold: the FUSE connection and journal of each of its schemes,
its device, its options.  The daemon answers `ready` when it serves.  When the shim says `stop`, or
is gone, the loop ends and what the daemon opened is closed in reverse order.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import Any, Final, Self

from redbear_host import log
from redbear_host.errors import ProtocolError
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import PciFunction
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.scheme import Scheme
from schemefs.connection import Connection
from schemefs.door import Door
from schemefs.journal import Journal

_MESSAGE_MAX: Final = 1 << 20
_FDS_MAX: Final = 253  # SCM_MAX_FD

_LANDINGS: Final = {
    "vfio": "redbear_host.hw.vfio.function",
    "qtest": "redbear_host.hw.qtest.function",
}


class Daemon(ExitStack):
    """One daemon's life: `with Daemon.receive() as daemon: …; daemon.run()`."""

    def __init__(self, control: socket.socket, setup: dict[str, Any], fds: Sequence[int]) -> None:
        super().__init__()
        self.name: Final[str] = setup["name"]
        self.options: Final[dict[str, Any]] = setup["options"]
        self.facts: Final[dict[str, Any]] = setup["facts"]
        self.life: Final[int] = setup["life"]  # 1 for the first, 2 after one restart, …
        self.loop: Final = Loop()
        self.clock: Final = SystemClock()
        self._setup: Final = setup
        self._fds: Final = fds
        self._control: Final = control

    @classmethod
    def receive(cls) -> Self:
        """Take the set-up from the shim; its descriptor is the one argument."""
        control = socket.socket(fileno=int(sys.argv[1]))
        message, fds, _, _ = socket.recv_fds(control, _MESSAGE_MAX, _FDS_MAX)
        if not message:
            raise ProtocolError("the shim closed the control socket before it sent a set-up")
        for fd in fds:
            os.set_inheritable(fd, False)
        setup = json.loads(message)
        log.setup(setup["name"])
        return cls(control, setup, fds)

    @property
    def scheme_names(self) -> list[str]:
        """Names of the schemes this daemon is to serve, in its manifest's order."""
        return [scheme["name"] for scheme in self._setup["schemes"]]

    def function(self) -> PciFunction:
        """Open the PCI function this daemon was given; it is closed at the end."""
        grant = self._setup["grant"]
        if grant is None:
            raise ProtocolError(f"{self.name} was given no device")
        # Only the landing that is needed is loaded: a restart is waited for by clients.
        landing = import_module(_LANDINGS[grant["machine"]])
        function: PciFunction = landing.open_function(grant, self._fds[: self._setup["grant_fds"]])
        self.callback(function.close)
        return function

    def serve(self, name: str, scheme: Scheme) -> None:
        """Serve `scheme` under `name`: first what a predecessor left, then new requests."""
        entry = next(s for s in self._setup["schemes"] if s["name"] == name)
        scheme.name = name
        journal = Journal.open(self._fds[entry["journal_fd"]])
        journal.begin_life()
        connection = Connection(
            self._fds[entry["connection_fd"]], journal, self.loop, scheme.replays
        )
        self.callback(connection.close)
        Door(connection, scheme, self.loop).start()

    def run(self) -> None:
        """Say `ready` and serve until the shim says `stop`."""
        self._control.send(b'{"ready": true}')
        logging.getLogger(__name__).info(
            "serves %s%s", ", ".join(self.scheme_names), f", life {self.life}" * (self.life > 1)
        )
        self.loop.watch(self._control.fileno(), self._on_control)
        self.loop.run()

    def _on_control(self) -> None:
        """Stop: the shim says so, or is gone."""
        self.loop.stop()
