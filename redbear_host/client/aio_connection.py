"""A connection whose callers are asyncio tasks: one per scheme and event loop.

Calls of one turn of the loop share one ring of the daemon's bell.  A cancelled task cancels its
call and goes on at once; what the answer then brings is closed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from socket import MSG_DONTWAIT
from typing import Final, TypeVar

from redbear_host.client import paths
from redbear_host.client.calls import Call
from redbear_host.client.connection import CALLS_AT, Lost
from redbear_host.client.handshake import LAYOUT, Line
from redbear_host.client.ring import Ring
from redbear_host.client.slot import DONE, ORPHAN, Slot
from redbear_host.errors import ProtocolError
from schemefs.errno import to_linux

T = TypeVar("T")

_FULL_S: Final = 0.01  # how long to wait before calling again at a socket with a full queue


class AioConnection(Ring):
    """The rings of one scheme, for the tasks of one loop."""

    def __init__(self, line: Line) -> None:
        """Use a line that has been welcomed."""
        super().__init__(line)
        self._waiting: Final[deque[asyncio.Future[None]]] = deque()  # for room
        self.posts: Final[dict[int, list[tuple[int, Callable[[int], object]]]]] = {}
        self._rung = False  # the bell will be rung at the end of this turn
        asyncio.get_running_loop().add_reader(line.socket.fileno(), self._on_readable)

    @classmethod
    async def open(cls, name: str) -> AioConnection:
        """Call at a scheme; waits while its daemon is being restarted."""
        loop = asyncio.get_running_loop()
        for _ in range(CALLS_AT):
            line = Line(name, LAYOUT)
            try:
                line.socket.setblocking(False)
                while True:
                    try:
                        line.connect()
                        break
                    except BlockingIOError:
                        await asyncio.sleep(_FULL_S)
                readable = loop.create_future()
                loop.add_reader(line.socket.fileno(), _settle, readable)
                try:
                    await readable
                finally:
                    loop.remove_reader(line.socket.fileno())
                if line.welcomed():
                    return cls(line)
            except BrokenPipeError:
                pass  # it died meanwhile
            except BaseException:
                line.close()
                raise
            line.close()
        raise OSError(errno.EIO, f"{CALLS_AT} daemons died when they were called", name)

    async def perform(self, call: Call[T]) -> T:
        """Make a call; its errno is raised as Linux's `OSError`."""
        room = self.room_for(call)
        while True:
            if self.dead:
                raise self.error()
            self.flush_drops()
            slot = self.take(room, bool(call.fds))
            if slot is not None:
                break
            await self._wait_for_room()
        try:
            self.put(slot, call)
        except BaseException:
            self.give(slot)
            raise
        self._ring_soon()
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        slot.wake = lambda: _settle(answered)
        try:
            await answered
        except asyncio.CancelledError:
            self._orphan(slot)
            raise
        return self._finish(slot, call)

    def _finish(self, slot: Slot, call: Call[T]) -> T:
        result, untaken = slot.result, slot.untaken
        slot.untaken = False
        try:
            if result >= 0:
                return call.decode(slot)
        except ProtocolError as err:
            raise OSError(errno.EPROTO, str(err), self.name) from err
        finally:
            self.give(slot)
            self._wake_one()
        if self.dead and -result == errno.EIO:
            raise Lost(errno.EIO, self.dead, self.name, untaken)
        number = to_linux(-result, False)
        raise OSError(number, os.strerror(number), self.name)

    def _orphan(self, slot: Slot) -> None:
        if slot.state == DONE:  # it was answered in the same turn
            self.dispose(slot)
            self._wake_one()
        else:
            slot.wake = None
            slot.state = ORPHAN
            self.cancel(slot)
        self._ring_soon()

    async def _wait_for_room(self) -> None:
        self._ring_soon()
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(room)
        await room

    def _wake_one(self) -> None:
        while self._waiting:
            room = self._waiting.popleft()
            if not room.done():
                room.set_result(None)
                return

    def drop(self, handle: int) -> None:
        """Close a handle with nobody waiting."""
        super().drop(handle)
        with suppress(RuntimeError):  # no loop runs any more: the end of the connection closes it
            self._ring_soon()

    def _ring_soon(self) -> None:
        """Ring the bell once the tasks that are ready now have made their calls."""
        if not self._rung:
            asyncio.get_running_loop().call_soon(self._ring)
            self._rung = True

    def _ring(self) -> None:
        self._rung = False
        if not self.dead:
            self.flush_drops()
            self.publish()
            os.eventfd_write(self._line.bell, 1)

    def _on_readable(self) -> None:
        with suppress(BlockingIOError):
            while not self.fate:
                self.listen(MSG_DONTWAIT)
        before = len(self._free)
        self.reap()
        if self.fate:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self.end(self.fate)
            while self._waiting:
                self._wake_one()
        elif len(self._free) > before:  # answers nobody wanted
            self._wake_one()
        if self._closing and not self.dead:
            self._ring_soon()

    def on_event(self, handle: int, flags: int) -> None:
        """Tell who has subscribed."""
        for mask, post in self.posts.get(handle, ()):
            if flags & mask:
                post(flags & mask)

    def end(self, why: str) -> None:
        """End the connection; who waits for events is told to look, and gets the error."""
        if not self.dead:
            super().end(why)
            for entries in self.posts.values():
                for mask, post in entries:
                    post(mask)

    def hang_up(self) -> None:
        """End the connection from our side."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self.end("it was closed")
        self._line.close()

    def __del__(self) -> None:
        """Hang up when nobody holds a handle any more."""
        if hasattr(self, "_line"):
            self._line.close()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_known: Final[
    weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], AioConnection]]
] = weakref.WeakKeyDictionary()


async def connect(name: str) -> AioConnection:
    """Return this loop's connection to a scheme, made anew when its daemon was restarted."""
    known = _known.setdefault(asyncio.get_running_loop(), {})
    key = (paths.rings(), name)
    connection = known.get(key)
    if connection is None or connection.dead:
        made = await AioConnection.open(name)
        connection = known.get(key)  # another task may have been quicker
        if connection is None or connection.dead:
            connection = known[key] = made
        else:
            made.hang_up()
    return connection
