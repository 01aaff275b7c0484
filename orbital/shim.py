"""What Orbital asks the shim for: connections while it is locked in, and to keep what must last."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from redbear_host.abi import errno as e
from redbear_host.daemon import Daemon

log = logging.getLogger(__name__)


class Shim:
    """Questions, and who waits for their answers."""

    def __init__(self, daemon: Daemon) -> None:
        """Hear all that the shim tells `daemon` from now on."""
        self.on_with: Callable[[str], object] = lambda name: None
        """Called with the name of a scheme that is served, or whose facts have changed."""
        self.on_without: Callable[[str], object] = lambda name: None
        self.on_seat: Callable[[dict[str, Any]], object] = lambda message: None
        """Called when cards have to be let go of, or are ours again."""
        self.seat: Final = daemon.seat
        self._daemon: Final = daemon
        self._waiting: Final[dict[int, Callable[[int, int], object]]] = {}
        self._asked = 0
        daemon.on_told = self._on_told

    def keep(self, name: str, fd: int) -> None:
        """Have a descriptor kept for our successors."""
        self._ask({"keep": name}, (fd,), _complain(name))

    def forget(self, name: str) -> None:
        """Have it kept no longer."""
        self._ask({"forget": name}, (), _ignore)

    def connect(self, name: str, done: Callable[[int, int], object]) -> None:
        """Call at a scheme: `done(0, socket)`, or `done(errno, -1)` with Redox's errno."""
        self._ask({"connect": name}, (), done)

    def say(self, message: Mapping[str, Any]) -> None:
        """Tell it something that it does not answer."""
        self._daemon.say(message)

    def _ask(
        self, question: dict[str, Any], fds: tuple[int, ...], done: Callable[[int, int], object]
    ) -> None:
        self._asked += 1
        self._waiting[self._asked] = done
        self._daemon.say({**question, "id": self._asked}, fds)

    def _on_told(self, message: dict[str, Any], fds: list[int]) -> None:
        if "answer" in message:
            done = self._waiting.pop(message["answer"], None)
            if done is not None:
                done(message.get("errno", 0), fds.pop() if fds else -1)
        elif "seat" in message:
            self.on_seat(message)
        elif "with" in message:
            self.on_with(message["with"])
        elif "without" in message:
            self.on_without(message["without"])
        for fd in fds:
            os.close(fd)


def _ignore(errno: int, fd: int) -> None:
    pass


def _complain(name: str) -> Callable[[int, int], None]:
    def done(errno: int, fd: int) -> None:
        if errno == e.ENFILE:
            log.warning("the shim does not keep %s: a crash would lose it", name)

    return done
