"""Event queues: waiting for many descriptors at once.

```python
queue = EventQueue()
queue.subscribe(fd, EVENT_READ, "mine")
for event in queue:
    data = fd.read(4096)  # until EAGAIN, if the descriptor is O_NONBLOCK
```

Events are edges, as on Redox: one comes when something changes, not while it lasts.  Those of one
descriptor that nobody has fetched yet are merged.  What is true at `subscribe` is told at once.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple, Self

from redbear_host.abi.flags import EVENT_READ, EVENT_WRITE
from redbear_host.client.connection import Connection
from redbear_host.client.deadline import current, remaining
from redbear_host.client.fd import AnyFd, fd_of
from redbear_host.client.file import File, cannot
from redbear_host.client.linuxfile import LinuxFile
from redbear_host.client.ringfile import RingFile

_FOREVER: Final = -1.0


class Event(NamedTuple):
    """Which descriptor, what is true, and what was said of it at `subscribe`."""

    fd: AnyFd
    flags: int
    user_data: Any


class _Subscription:
    def __init__(self, queue: EventQueue, fd: AnyFd, file: File, user_data: Any) -> None:
        self.fd, self.file, self.user_data = fd, file, user_data
        self.flags = 0  # what happened and was not fetched
        self._queue = queue

    def post(self, flags: int) -> None:
        """Note that something has happened; called from whichever thread reads the socket."""
        before, self.flags = self.flags, self.flags | flags
        if not before:
            self._queue._add(self)


class EventQueue:
    """One queue; a thread may wait in it while others make calls.

    Its `fileno` is readable when there may be something to fetch, for programs that poll.
    """

    def __init__(self) -> None:
        self._subscriptions: Final[dict[AnyFd, _Subscription]] = {}
        self._connections: Final[dict[Connection, int]] = {}  # and how many subscriptions
        self._linux: Final[dict[int, _Subscription]] = {}  # by Linux descriptor
        self._ready: Final[deque[_Subscription]] = deque()
        self._looking = False
        self._bell: Final = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll: Final = select.epoll()
        self._epoll.register(self._bell, select.EPOLLIN)

    def fileno(self) -> int:
        """Return a descriptor for poll and the like."""
        return self._epoll.fileno()

    def subscribe(self, fd: AnyFd, flags: int, user_data: Any = None) -> None:
        """Ask for EVENT_READ, EVENT_WRITE or both of `fd`; replaces an earlier subscription."""
        if not flags & (EVENT_READ | EVENT_WRITE):
            raise OSError(errno.EINVAL, f"flags {flags:#x} name no event")
        file = fd_of(fd).file
        if not isinstance(file, RingFile | LinuxFile):
            raise cannot(errno.EPERM)
        if fd in self._subscriptions:
            self.unsubscribe(fd)
        mine = self._subscriptions[fd] = _Subscription(self, fd, file, user_data)
        if isinstance(file, RingFile):
            self._join(file.connection)
            file.connection.subscribe(file.handle, mine.post, flags)
        else:
            self._watch(file.fileno(), flags, mine)

    def unsubscribe(self, fd: AnyFd) -> None:
        """End a subscription; `OSError(ENOENT)` when there is none."""
        mine = self._subscriptions.pop(fd, None)
        if mine is None:
            raise cannot(errno.ENOENT)
        mine.flags = 0  # what is in the queue is skipped
        if isinstance(mine.file, RingFile):
            mine.file.connection.unsubscribe(mine.file.handle, mine.post)
            self._leave(mine.file.connection)
        else:
            number = mine.file.fileno()
            if self._linux.pop(number, None) is not None:
                with suppress(OSError):  # closed meanwhile
                    self._epoll.unregister(number)

    def next_event(self, timeout: float | None = None) -> Event | None:
        """Wait for the next event; None after `timeout` seconds without one."""
        until = current()
        if timeout is not None:
            until = min(time.monotonic() + timeout, until or float("inf"))
        while True:
            event = self._pop()
            if event is not None:
                return event
            self._look()
            event = self._pop()
            if event is not None:
                return event
            left = remaining(until)
            ready = self._epoll.poll(_FOREVER if left is None else left)
            if not ready and left is not None and not remaining(until):
                return None
            self._take(ready)

    def __iter__(self) -> Iterator[Event]:
        while (event := self.next_event()) is not None:
            yield event

    def close(self) -> None:
        """End every subscription."""
        for fd in list(self._subscriptions):
            self.unsubscribe(fd)
        self._epoll.close()
        os.close(self._bell)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stir(self) -> None:
        """Let whoever waits look again."""
        with suppress(BlockingIOError):
            os.eventfd_write(self._bell, 1)

    def _add(self, subscription: _Subscription) -> None:
        self._ready.append(subscription)
        if not self._looking:
            self.stir()

    def _pop(self) -> Event | None:
        while self._ready:
            mine = self._ready.popleft()
            flags, mine.flags = mine.flags, 0
            if flags:
                return Event(mine.fd, flags, mine.user_data)
        return None

    def _look(self) -> None:
        self._looking = True
        try:
            for connection in list(self._connections):
                connection.look()
        finally:
            self._looking = False

    def _take(self, ready: list[tuple[int, int]]) -> None:
        for number, events in ready:
            if number == self._bell:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._bell)
            elif (mine := self._linux.get(number)) is not None:
                reads = events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR)
                mine.post(EVENT_READ * bool(reads) | EVENT_WRITE * bool(events & select.EPOLLOUT))

    def _join(self, connection: Connection) -> None:
        if connection not in self._connections:
            self._connections[connection] = 0
            self._epoll.register(connection.socket_fd, select.EPOLLIN | select.EPOLLET)
            connection.users.append(self.stir)
        self._connections[connection] += 1

    def _leave(self, connection: Connection) -> None:
        self._connections[connection] -= 1
        if not self._connections[connection]:
            del self._connections[connection]
            connection.users.remove(self.stir)
            with suppress(OSError):
                self._epoll.unregister(connection.socket_fd)

    def _watch(self, number: int, flags: int, mine: _Subscription) -> None:
        mask = select.EPOLLIN * bool(flags & EVENT_READ)
        mask |= select.EPOLLOUT * bool(flags & EVENT_WRITE)
        try:
            self._epoll.register(number, mask | select.EPOLLET)
        except PermissionError:  # a plain file is always ready
            mine.post(flags)
        else:
            self._linux[number] = mine
