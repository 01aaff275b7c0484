"""A scheme we are a client of, from within our own loop: nothing here ever waits.

A daemon that is locked in finds no sockets, so the shim connects us (`{"connect": …}`,
`kernel_shim.joins`): when the scheme is there, and again when its daemon was restarted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from socket import MSG_DONTWAIT
from typing import Any, Final, TypeVar

from redbear_host.abi import errno as e
from redbear_host.client.calls import Call
from redbear_host.client.handshake import Line
from redbear_host.client.ring import Ring
from redbear_host.client.slot import Slot
from redbear_host.errors import ProtocolError
from redbear_host.ring.layout import Layout
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

T = TypeVar("T")

_LAYOUT: Final = Layout(16, 1 << 17)
_AGAIN_S: Final = 0.05
_ID: Final = 1


class Wire(Ring):
    """One connection: calls that call back."""

    def __init__(self, line: Line, loop: Loop, on_end: Callable[[], object]) -> None:
        """Use a line that has been welcomed."""
        super().__init__(line)
        self._loop: Final = loop
        self._on_end: Final = on_end
        self._bell: Final = line.bell
        self._fd: Final = line.socket.fileno()
        loop.watch(self._fd, self._on_readable)

    def perform(
        self, call: Call[T], done: Callable[[T], object], failed: Callable[[int], object]
    ) -> None:
        """Make a call; `done` gets its answer or `failed` Redox's errno, never at once."""
        slot = self.take(self.room_for(call))
        if slot is None:
            raise ProtocolError(f"too many calls to {self.name} at once")
        self.put(slot, call)
        slot.wake = partial(self._finish, slot, call, done, failed)
        self.ring()

    def ring(self) -> None:
        """Show the daemon what was put, handles to close among it."""
        if not self.dead:
            self.flush_drops()
            self.publish()
            os.eventfd_write(self._bell, 1)

    def _finish(
        self,
        slot: Slot,
        call: Call[T],
        done: Callable[[T], object],
        failed: Callable[[int], object],
    ) -> None:
        if slot.result < 0:
            errno = -slot.result
            self.give(slot)
            self._loop.soon(partial(failed, errno))
            return
        answer = call.decode(slot)
        self.give(slot)
        self._loop.soon(partial(done, answer))

    def _on_readable(self) -> None:
        try:
            while not self.fate:
                self.listen(MSG_DONTWAIT)
        except BlockingIOError:
            pass
        self.reap()
        if self.fate:
            self.close()
            self._on_end()

    def close(self) -> None:
        """Hang up; what is in hand fails with EIO."""
        if not self.dead:
            self._loop.unwatch(self._fd)
            self.end(self.fate or "it was closed")
            self._line.close()


class Link:
    """The scheme `name`: connected whenever it is there."""

    def __init__(
        self,
        name: str,
        loop: Loop,
        say: Callable[[Mapping[str, Any]], object],
        *,
        on_wire: Callable[[Wire], object],
        on_lost: Sequence[Callable[[], object]],
    ) -> None:
        """Do nothing yet; `on_wire` is called with each connection, `on_lost` when it has ended."""
        self.name: Final = name
        self._loop: Final = loop
        self._say: Final = say
        self._on_wire: Final = on_wire
        self._lost: Final = on_lost
        self._line: Line | None = None
        self.wire: Wire | None = None

    def ask(self) -> None:
        """Ask the shim to connect us."""
        if self.wire is None and self._line is None:
            self._say({"connect": self.name, "id": _ID})

    def on_told(self, message: dict[str, Any], fds: list[int]) -> None:
        """Hear what the shim says: the answer, and that the scheme is there."""
        if message.get("with") == self.name:
            self.ask()
        elif message.get("answer") == _ID and fds and self.wire is None and self._line is None:
            self._greet(fds.pop(0))
        elif message.get("answer") == _ID and message.get("errno") == e.EAGAIN:
            self._loop.at(self._loop.now() + _AGAIN_S, self.ask)
        for fd in fds:
            os.close(fd)

    def _greet(self, fd: int) -> None:
        line = self._line = Line(self.name, _LAYOUT, fd)
        try:
            line.greet()
        except OSError:  # its daemon has died
            self._hang_up(line)
            return
        self._loop.watch(fd, partial(self._on_answer, line, fd))

    def _on_answer(self, line: Line, fd: int) -> None:
        self._loop.unwatch(fd)
        try:
            welcomed = line.welcomed()
        except OSError as error:
            log.warning("%s does not take us: %s", self.name, error.strerror)
            welcomed = False
        if not welcomed:
            self._hang_up(line)
            return
        self._line = None
        self.wire = Wire(line, self._loop, self._on_end)
        self._on_wire(self.wire)

    def _hang_up(self, line: Line) -> None:
        self._line = None
        line.close()
        self._loop.at(self._loop.now() + _AGAIN_S, self.ask)

    def _on_end(self) -> None:
        """Call again at once: the shim holds the socket at which the next daemon listens."""
        self._let_go()
        self.ask()

    def _let_go(self) -> None:
        self.wire = None
        for hear in self._lost:
            hear()

    def restart(self) -> None:
        """Begin anew, since the daemon there says what makes no sense."""
        if self.wire is not None:
            self.wire.close()
            self._let_go()
            self._loop.at(self._loop.now() + _AGAIN_S, self.ask)

    def close(self) -> None:
        """Hang up for good."""
        if self.wire is not None:
            self.wire.close()
        if self._line is not None:
            self._line.close()
