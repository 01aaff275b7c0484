"""What the shim tells inputd: displays that come and go, and whose the screen is.

While that is Linux's, so are the devices that were grabbed; producers, who may be far away, go on.
"""

from __future__ import annotations

import os
from typing import Any, Final

from daemons.inputd.desk import Desk
from daemons.inputd.devices import Devices
from redbear_host.daemon import Daemon


class News:
    """Brings the desk up to date; give `on_told` to the daemon."""

    def __init__(self, desk: Desk, devices: Devices, daemon: Daemon) -> None:
        """Begin with what the set-up says."""
        self._desk: Final = desk
        self._devices: Final = devices
        self._say: Final = daemon.say
        for name in daemon.facts.get("with", {}):
            desk.serve_display(name)
        if daemon.seat is not None and not daemon.seat.active:
            devices.rest()

    def on_told(self, message: dict[str, Any], fds: list[int]) -> None:
        """Take one message."""
        for fd in fds:
            os.close(fd)
        if "with" in message:
            self._desk.serve_display(message["with"])
        elif "without" in message:
            self._desk.end_display(message["without"])
        elif message.get("seat") == "release":
            self._devices.rest()
            self._say({"seat": "released"})
        elif message.get("seat") == "acquired":
            self._devices.resume()
