"""A connection for a daemon's own loop: nobody waits, each answer comes to who asked for it.

```python
held = Looped(name, fd, loop)            # a socket that the shim has connected
held.on_open = lambda: held.perform(calls.openat(0, b"consumer", flags), opened)
held.on_lost = ask_the_shim_again
```
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from socket import MSG_DONTWAIT
from typing import Any, Final, TypeVar

from redbear_host.client.calls import Call
from redbear_host.client.handshake import Line
from redbear_host.client.ring import Ring
from redbear_host.client.slot import Slot
from redbear_host.errors import ProtocolError
from redbear_host.ring.layout import Layout
from redbear_host.scheme.loop import Loop
from schemefs.errno import to_linux

T = TypeVar("T")

LAYOUT: Final = Layout(32, 32 * 4096 + (1 << 17))  # few calls at a time, each small


def nothing() -> None:
    """Do nothing: what a hook is until somebody sets it."""


class Looped:
    """One connection to a scheme, from HELLO to its end."""

    def __init__(self, name: str, fd: int, loop: Loop) -> None:
        """Take over a connected socket; `on_open` is called when its daemon has answered."""
        self.name: Final = name
        self.on_open: Callable[[], object] = nothing
        self.on_lost: Callable[[], object] = nothing
        """Called once, when the connection has ended, after all calls in hand have failed."""
        self._loop: Final = loop
        self._line: Final = Line(name, LAYOUT, fd)
        self._line.socket.setblocking(False)
        self._rings: _Rings | None = None
        self._closed = False
        self.why = "its daemon has ended"  # that the connection has ended
        try:
            self._line.greet()
        except OSError as error:
            self.why = f"it cannot be greeted: {error.strerror}"
            loop.soon(self._lose)
            return
        loop.watch(self._line.socket.fileno(), self._on_welcome)

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._rings is not None and not self._rings.dead

    def perform(self, call: Call[T], done: Callable[[T | OSError], object]) -> None:
        """Make a call; `done` hears of its answer, or of Linux's error.  Never waits."""
        if self._rings is None or self._rings.dead:
            self._loop.soon(lambda: done(_lost(self.name)))
        else:
            self._rings.perform(call, done)

    def subscribe(self, handle: int, mask: int, post: Callable[[int], object]) -> None:
        """Have `post` called with events of a handle; `calls.fevent` asks for them."""
        if self._rings is not None:
            self._rings.posts[handle] = (mask, post)

    def drop(self, handle: int) -> None:
        """Close a handle."""
        if self._rings is not None and not self._rings.dead:
            self._rings.posts.pop(handle, None)
            self._rings.drop(handle)
            self._rings.ring()

    def close(self) -> None:
        """Hang up, without a word to anybody."""
        if not self._closed:
            self._closed = True
            self._loop.unwatch(self._line.socket.fileno())
            self._line.close()

    def _on_welcome(self) -> None:
        self._loop.unwatch(self._line.socket.fileno())
        try:
            welcomed = self._line.welcomed()
        except OSError as error:
            self.why = f"it has no welcome: {error.strerror}"
            welcomed = False
        if not welcomed:
            self._lose()
            return
        self._rings = _Rings(self._line)
        self._loop.watch(self._line.socket.fileno(), self._on_readable)
        self.on_open()

    def _on_readable(self) -> None:
        rings = self._rings
        if rings is not None and not rings.look():
            self._lose()

    def _lose(self) -> None:
        if self._closed:
            return
        self.close()
        self.on_lost()


class _Rings(Ring):
    """The rings, when there are some."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.posts: Final[dict[int, tuple[int, Callable[[int], object]]]] = {}
        self._waiting: Final[deque[tuple[Call[Any], Callable[[Any], object]]]] = deque()
        self._answered: Final[deque[tuple[Slot, Call[Any], Callable[[Any], object]]]] = deque()
        self._events: Final[deque[tuple[int, int]]] = deque()

    def perform(self, call: Call[Any], done: Callable[[Any], object]) -> None:
        """Make a call, or have it wait for room."""
        self._waiting.append((call, done))
        self._send()

    def _send(self) -> None:
        sent = False
        while self._waiting:
            call, done = self._waiting[0]
            slot = self.take(self.room_for(call), bool(call.fds))
            if slot is None:
                break
            self._waiting.popleft()
            slot.wake = self._waker(slot, call, done)
            self.put(slot, call)
            sent = True
        if sent:
            self.ring()

    def _waker(
        self, slot: Slot, call: Call[Any], done: Callable[[Any], object]
    ) -> Callable[[], None]:
        return lambda: self._answered.append((slot, call, done))

    def ring(self) -> None:
        """Show the daemon what was put, and wake it."""
        self.flush_drops()
        self.publish()
        os.eventfd_write(self._line.bell, 1)

    def look(self) -> bool:
        """Take what has come; False when the connection has ended, of which all have heard then."""
        with suppress(BlockingIOError):
            while not self.fate:
                self.listen(MSG_DONTWAIT)
        self.reap()
        if self.fate:
            self.end(self.fate)
        self._tell()
        if not self.dead:
            self._send()
            return True
        for _, done in self._waiting:
            done(_lost(self.name))
        self._waiting.clear()
        return False

    def _tell(self) -> None:
        while self._answered:
            slot, call, done = self._answered.popleft()
            done(self._finish(slot, call))
        while self._events:
            handle, flags = self._events.popleft()
            mask, post = self.posts.get(handle, (0, None))
            if post is not None and flags & mask:
                post(flags & mask)

    def _finish(self, slot: Slot, call: Call[Any]) -> Any:
        try:
            if slot.result >= 0:
                return call.decode(slot)
        except ProtocolError as error:
            return OSError(errno.EPROTO, str(error), self.name)
        finally:
            self.give(slot)
        number = to_linux(-slot.result, False)
        return OSError(number, os.strerror(number), self.name)

    def on_event(self, handle: int, flags: int) -> None:
        """Note it; whoever wants it hears when all answers were taken."""
        self._events.append((handle, flags))


def _lost(name: str) -> OSError:
    return OSError(errno.EIO, "the connection has ended", name)
