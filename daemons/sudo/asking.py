"""Asking the shim, which alone can make namespaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from redbear_host.daemon import Daemon


class Asking:
    """Questions to the shim."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon: Final = daemon

    def namespace(self, user: str, then: Callable[[int], None]) -> None:
        """Ask for the namespace that `user` gets after a password; -1 if there is none."""

        def done(answer: Mapping[str, Any], fds: list[int]) -> None:
            then(fds[0] if fds else -1)

        self._daemon.ask({"namespace": user}, done)
