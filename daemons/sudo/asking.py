"""Asking the shim, which alone can make namespaces."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from redbear_host.daemon import Daemon


class Asking:
    """Questions to the shim, and who waits for which answer."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon: Final = daemon
        self._waiting: Final[dict[int, Callable[[int], None]]] = {}
        self._asked = 0
        daemon.on_told = self._on_told

    def namespace(self, user: str, then: Callable[[int], None]) -> None:
        """Ask for the namespace that `user` gets after a password."""
        self._asked += 1
        self._waiting[self._asked] = then
        self._daemon.say({"namespace": user, "id": self._asked})

    def _on_told(self, message: dict[str, Any], fds: list[int]) -> None:
        then = self._waiting.pop(message.get("answer", 0), None)
        if then is not None:
            then(fds.pop(0) if fds else -1)
        for fd in fds:
            os.close(fd)
