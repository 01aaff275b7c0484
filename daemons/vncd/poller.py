"""Sockets that are waited for in both directions: an epoll of its own below the daemon's loop.

The loop waits for what can be read only.  What is ready is told once a round, and again in the next
while it is so: who is served one piece a round leaves the rest of the daemon its turn.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final, TypeAlias

from redbear_host.scheme.loop import Loop

OnReady: TypeAlias = Callable[[bool, bool], object]
"""Called with whether one can read, and whether one can write."""

_READ: Final = select.EPOLLIN
_WRITE: Final = select.EPOLLOUT
_FAILED: Final = select.EPOLLHUP | select.EPOLLERR
_ROUND: Final = 64


class Poller:
    """Calls back when sockets are ready."""

    def __init__(self, loop: Loop) -> None:
        self._loop: Final = loop
        self._epoll: Final = select.epoll()
        self._callbacks: Final[dict[int, OnReady]] = {}
        self._wanted: Final[dict[int, int]] = {}
        loop.watch(self._epoll.fileno(), self._run)

    def add(self, fd: int, on_ready: OnReady) -> None:
        """Call back when it can be read."""
        self._callbacks[fd] = on_ready
        self._wanted[fd] = _READ
        self._epoll.register(fd, _READ)

    def want(self, fd: int, read: bool, write: bool) -> None:
        """Say what is waited for."""
        wanted = (_READ if read else 0) | (_WRITE if write else 0)
        if self._wanted[fd] != wanted:
            self._wanted[fd] = wanted
            self._epoll.modify(fd, wanted)

    def remove(self, fd: int) -> None:
        """Hear no more of it; before it is closed."""
        if self._callbacks.pop(fd, None) is not None:
            del self._wanted[fd]
            self._epoll.unregister(fd)

    def _run(self) -> None:
        for fd, events in self._epoll.poll(0, _ROUND):
            callback = self._callbacks.get(fd)
            if callback is not None:  # an earlier one of this round may have dropped it
                failed = bool(events & _FAILED)
                callback(failed or bool(events & _READ), bool(events & _WRITE))

    def close(self) -> None:
        """Let all go."""
        self._loop.unwatch(self._epoll.fileno())
        self._epoll.close()
