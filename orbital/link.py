"""A scheme that Orbital is a client of: connected while it is served, again after each death."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Final

from orbital.shim import Shim
from redbear_host.abi import errno as e
from redbear_host.client.looped import Looped, nothing
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

_AGAIN_S: Final = 0.2  # between two calls at a scheme that takes none


class Link:
    """One scheme, from when it is served to when it is not."""

    def __init__(self, name: str, shim: Shim, loop: Loop) -> None:
        self.name: Final = name
        self.on_open: Callable[[Looped], object] = lambda connection: None
        """Called with each connection, once calls can be made on it."""
        self.on_lost: Callable[[], object] = nothing
        """Called when the connection has ended; another is on its way."""
        self._shim: Final = shim
        self._loop: Final = loop
        self._connection: Looped | None = None
        self._closed = False
        self._lost_at = 0.0

    def start(self) -> None:
        """Call."""
        if not self._closed:
            self._shim.connect(self.name, self._on_connected)

    def close(self) -> None:
        """Hang up, and stay so."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _on_connected(self, errno: int, fd: int) -> None:
        if fd < 0:
            if errno == e.EAGAIN:
                self._loop.at(self._loop.now() + _AGAIN_S, self.start)
            else:
                log.warning("%s is not to be reached: errno %d", self.name, errno)
            return
        if self._closed:
            os.close(fd)
            return
        connection = self._connection = Looped(self.name, fd, self._loop)
        connection.on_open = lambda: self.on_open(connection)
        connection.on_lost = self._on_lost

    def _on_lost(self) -> None:
        if self._closed:
            return
        why = "" if self._connection is None else self._connection.why
        self._connection = None
        log.info("%s is called again: %s", self.name, why)
        self.on_lost()
        now = self._loop.now()
        # One that ends with each call must not have us do nothing else.
        pause, self._lost_at = (_AGAIN_S if now < self._lost_at + 1 else 0.0), now
        self._loop.at(now + pause, self.start)
