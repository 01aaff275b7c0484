"""Edges of many sockets: an epoll of its own below the daemon's loop.

The loop waits for what can be read, and calls again until it was; a scheme wants to hear once of
both directions and to read when a client asks.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final, TypeAlias

from redbear_host.abi import flags as f
from redbear_host.scheme.loop import Loop

OnEdge: TypeAlias = Callable[[int], object]

READABLE: Final = select.POLLIN | select.POLLPRI | select.POLLHUP | select.POLLERR
WRITABLE: Final = select.POLLOUT | select.POLLHUP | select.POLLERR
_EDGES: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_ROUND: Final = 128  # edges taken at once


class Poller:
    """Calls back with Redox's event flags when a socket has become ready."""

    def __init__(self, loop: Loop) -> None:
        self.loop: Final = loop
        self._epoll: Final = select.epoll()
        self._callbacks: Final[dict[int, OnEdge]] = {}
        loop.watch(self._epoll.fileno(), self._run)

    def add(self, fd: int, callback: OnEdge) -> None:
        """Call back at each edge; what is ready now counts as one."""
        self._callbacks[fd] = callback
        self._epoll.register(fd, _EDGES)

    def remove(self, fd: int) -> None:
        """Hear no more of a descriptor; before it is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _run(self) -> None:
        for fd, events in self._epoll.poll(0, _ROUND):
            callback = self._callbacks.get(fd)
            if callback is not None:  # an earlier one of this round may have dropped it
                flags = f.EVENT_READ if events & (READABLE | select.EPOLLRDHUP) else 0
                callback(flags | (f.EVENT_WRITE if events & WRITABLE else 0))

    def close(self) -> None:
        """Let all go."""
        self.loop.unwatch(self._epoll.fileno())
        self._epoll.close()


def ready(fd: int) -> int:
    """Return which of Redox's events are true of a socket now."""
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLOUT)
    for _, events in poll.poll(0):
        flags = f.EVENT_READ if events & READABLE else 0
        return flags | (f.EVENT_WRITE if events & WRITABLE else 0)
    return 0
