"""What a display's driver does once its card is started: it serves the scheme, and hears of VTs.

inputd tells which virtual terminal is active (`input/handle/DISPLAY`).  It may come, die and come
again: the shim says when it is there, and calls at it for us.
"""

from __future__ import annotations

import logging
import struct
from typing import Final

from redbear_host.abi import flags as f
from redbear_host.classes.display import DisplayScheme
from redbear_host.classes.screen import DisplayAdapter
from redbear_host.client import calls
from redbear_host.client.calls import Answer
from redbear_host.client.looped import Looped
from redbear_host.daemon import Daemon
from redbear_host.link import Link
from redbear_host.ring.layout import NO_OFFSET

log = logging.getLogger(__name__)

INPUT: Final = "input"
VT_EVENT: Final = struct.Struct("<QQ")  # what, 0 for ACTIVATE; the VT

_ACTIVATE: Final = 0
_ROOM: Final = 16 * VT_EVENT.size


def serve_display(daemon: Daemon, adapter: DisplayAdapter) -> DisplayScheme:
    """Serve an adapter under the daemon's first name; go on with what was shown before."""
    name = daemon.scheme_names[0]
    display = DisplayScheme(name, adapter, daemon.kept, daemon.keep, daemon.forget)
    daemon.callback(display.close)
    daemon.loop.at_round_end(display.end_batch)
    daemon.serve(name, display)
    Activation(daemon, display)
    return display


class Activation:
    """The way to inputd, and what it says."""

    def __init__(self, daemon: Daemon, display: DisplayScheme) -> None:
        """Call there, whenever there is somebody."""
        self._display: Final = display
        self._connection: Looped | None = None
        self._handle = -1
        link = Link(INPUT, daemon)
        link.on_open = self._open
        link.on_lost = self._on_lost
        daemon.callback(link.close)
        link.start()

    def _open(self, connection: Looped) -> None:
        self._connection = connection
        path = f"handle/{self._display.name}".encode()
        connection.perform(calls.openat(0, path, f.O_RDONLY, 0), self._on_opened)

    def _on_opened(self, answer: Answer | OSError) -> None:
        if isinstance(answer, OSError):
            log.warning("%s does not say which VT is active: %s", INPUT, answer.strerror)
            return
        self._handle = answer.handle
        self._read()

    def _read(self) -> None:
        if self._connection is not None:
            self._connection.perform(calls.read(self._handle, _ROOM, NO_OFFSET, 0), self._on_read)

    def _on_read(self, answer: bytes | OSError) -> None:
        if isinstance(answer, OSError):
            return  # the connection has ended
        whole = len(answer) // VT_EVENT.size * VT_EVENT.size
        if not whole:
            log.warning("%s says nothing more about VTs", INPUT)
            return
        for kind, vt in VT_EVENT.iter_unpack(answer[:whole]):
            if kind == _ACTIVATE:
                self._display.activate(vt)
        self._read()

    def _on_lost(self) -> None:
        self._connection = None
        self._display.unled()
