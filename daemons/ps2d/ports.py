"""The files ps2d holds: both ports of `serio`, and a producer's of `input`.

Opened as root through the mounts, before ps2d is locked in.  Such a descriptor outlives the daemons
behind it: when one of them dies, its successor opens the handle again.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import Final

from daemons.ps2d.driver import KEYBOARD, MOUSE
from daemons.ps2d.keyboard import Record

log = logging.getLogger(__name__)

_EVENT: Final = Struct("<qqq")  # OrbitalEvent
_AT_ONCE: Final = 256  # bytes


class Ports:
    """What is read, and where it goes."""

    def __init__(self, mount: Path) -> None:
        """Open all three; that may start inputd."""
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
        self.serio: Final = [os.open(mount / f"serio/{port}", flags) for port in (KEYBOARD, MOUSE)]
        self._producer: Final = os.open(mount / "input/producer", os.O_WRONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close all."""
        for fd in (*self.serio, self._producer):
            os.close(fd)

    def read(self, port: int) -> bytes:
        """Return what a device has sent; nothing when there is nothing."""
        try:
            return os.read(self.serio[port], _AT_ONCE)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""  # the daemon behind serio died over it; its successor goes on

    def send(self, port: int, byte: int) -> bool:
        """Send a device a byte; False where none takes any."""
        try:
            return os.write(self.serio[port], bytes((byte,))) == 1
        except OSError as error:
            log.debug("port %d takes no commands: %s", port, error.strerror)
            return False

    def tell(self, records: Sequence[Record]) -> None:
        """Tell inputd; what was on its way when inputd died is lost."""
        data = b"".join([_EVENT.pack(*record) for record in records])
        try:
            os.write(self._producer, data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            log.warning("%d events are lost: inputd died", len(records))
