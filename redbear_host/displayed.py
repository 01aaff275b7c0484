"""What a display's driver does once its card is started: it serves the scheme, and hears of VTs.

inputd tells which virtual terminal is active (`input/handle/DISPLAY`).  It may come, die and come
again: the shim says when it is there, and calls at it for us.
"""

from __future__ import annotations

import logging
import os
import struct
from typing import Any, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes.display import DisplayScheme
from redbear_host.classes.screen import DisplayAdapter
from redbear_host.client import calls
from redbear_host.client.calls import Answer
from redbear_host.client.looped import Looped
from redbear_host.daemon import Daemon
from redbear_host.ring.layout import NO_OFFSET

log = logging.getLogger(__name__)

INPUT: Final = "input"
VT_EVENT: Final = struct.Struct("<QQ")  # what, 0 for ACTIVATE; the VT

_ACTIVATE: Final = 0
_ROOM: Final = 16 * VT_EVENT.size
_QUESTION: Final = 1  # the id of what the shim is asked
_AGAIN_S: Final = 0.2  # between two calls at a scheme that takes none


def serve_display(daemon: Daemon, adapter: DisplayAdapter) -> DisplayScheme:
    """Serve an adapter under the daemon's first name; go on with what was shown before."""
    name = daemon.scheme_names[0]
    display = DisplayScheme(name, adapter, daemon.kept, daemon.keep, daemon.forget)
    daemon.callback(display.close)
    daemon.loop.at_round_end(display.end_batch)
    daemon.serve(name, display)
    activation = Activation(daemon, display)
    daemon.callback(activation.close)
    daemon.on_told = activation.on_told
    if INPUT in daemon.facts.get("with", {}):
        activation.ask()
    return display


class Activation:
    """The way to inputd, and what it says."""

    def __init__(self, daemon: Daemon, display: DisplayScheme) -> None:
        self._daemon: Final = daemon
        self._display: Final = display
        self._connection: Looped | None = None
        self._asked = False
        self._handle = -1

    def on_told(self, message: dict[str, Any], fds: list[int]) -> None:
        """Hear what the shim says."""
        if message.get("with") == INPUT:
            self.ask()
        elif message.get("answer") == _QUESTION and self._asked:
            self._on_connected(message.get("errno", 0), fds.pop() if fds else -1)
        for fd in fds:
            os.close(fd)

    def ask(self) -> None:
        """Ask the shim to call at inputd, which is there."""
        if self._connection is None and not self._asked:
            self._asked = True
            self._daemon.say({"connect": INPUT, "id": _QUESTION})

    def _on_connected(self, errno: int, fd: int) -> None:
        self._asked = False
        if fd < 0:
            if errno == e.EAGAIN:
                self._ask_later()
            return  # else it has gone, and we hear of the next one
        connection = self._connection = Looped(INPUT, fd, self._daemon.loop)
        connection.on_open = self._open
        connection.on_lost = self._on_lost

    def _open(self) -> None:
        if self._connection is not None:
            path = f"handle/{self._display.name}".encode()
            self._connection.perform(calls.openat(0, path, f.O_RDONLY, 0), self._on_opened)

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
        self._ask_later()

    def _ask_later(self) -> None:
        self._daemon.loop.at(self._daemon.loop.now() + _AGAIN_S, self.ask)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
