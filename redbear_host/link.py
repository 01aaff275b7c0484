"""A scheme that a daemon is a client of: connected while it is served, again after each death.

Locked in, a daemon finds no sockets: the shim calls there for it (`kernel_shim.joins`; `with` or
`calls` in its manifest says where it may, `asks = ["connect"]` that it does).  Nobody waits here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from redbear_host.abi import errno as e
from redbear_host.client.looped import Looped, nothing
from redbear_host.daemon import Daemon
from redbear_host.scheme.loop import Timer

log = logging.getLogger(__name__)

_AGAIN_S: Final = 0.05  # between two calls at a scheme that takes none
_OFTEN_S: Final = 1.0  # what is lost again so soon is not called again at once


class Link:
    """One scheme, from when it is served to when it is not."""

    def __init__(self, name: str, daemon: Daemon) -> None:
        """Do nothing yet: see `start`."""
        self.name: Final = name
        self.on_open: Callable[[Looped], object] = lambda connection: None
        """Called with each connection, once calls can be made on it."""
        self.on_lost: Callable[[], object] = nothing
        """Called when the connection has ended; another is on its way."""
        self._daemon: Final = daemon
        self._connection: Looped | None = None
        self._started = self._closed = False
        self._asked = False  # the shim has not answered yet
        self._again: Timer | None = None  # calls in a moment
        self._lost_at = float("-inf")

    def start(self) -> None:
        """Call there now, and whenever it is served again."""
        if not self._started:
            self._started = True
            self._daemon.follow(self.name, self._call)
        self._call()

    @property
    def expected(self) -> bool:
        """Whether there is a connection, or may be one in a moment."""
        return self._connection is not None or self._asked or self._again is not None

    def restart(self) -> None:
        """Begin anew, since the daemon there says what makes no sense."""
        if self._connection is not None:
            self._connection.close()
            self._forget(_AGAIN_S)

    def close(self) -> None:
        """Hang up, and stay so."""
        if self._started and not self._closed:
            self._daemon.unfollow(self.name, self._call)
        self._closed = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if not (self._closed or self._asked or self._connection is not None):
            self._asked = True
            self._daemon.ask({"connect": self.name}, self._on_answer)

    def _call_in(self, seconds: float) -> None:
        if self._again is None and not self._closed:
            loop = self._daemon.loop
            self._again = loop.at(loop.now() + seconds, self._call)

    def _on_answer(self, answer: Mapping[str, Any], fds: list[int]) -> None:
        self._asked = False
        if not fds:
            if answer.get("errno") == e.EAGAIN:
                self._call_in(_AGAIN_S)
            else:  # it has gone; the shim says when it is there again
                log.info("%s is not to be reached: errno %s", self.name, answer.get("errno"))
            return
        if self._closed:
            os.close(fds[0])
            return
        connection = self._connection = Looped(self.name, fds[0], self._daemon.loop)
        connection.on_open = lambda: self.on_open(connection)
        connection.on_lost = self._on_lost

    def _on_lost(self) -> None:
        if self._closed or self._connection is None:
            return
        log.info("%s is called again: %s", self.name, self._connection.why)
        # The shim holds the socket at which the next daemon listens.  One that ends with each call
        # must not have us do nothing else.
        now = self._daemon.loop.now()
        pause, self._lost_at = (_AGAIN_S if now < self._lost_at + _OFTEN_S else 0.0), now
        self._forget(pause)

    def _forget(self, pause: float) -> None:
        self._connection = None
        self.on_lost()
        self._call_in(pause)
