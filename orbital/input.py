"""What comes from `input/consumer`: keys, buttons and motion, for the desktop."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import Final

from redbear_host.abi import flags as f
from redbear_host.abi.orbital import OrbitalEvent
from redbear_host.client import calls
from redbear_host.client.calls import Answer
from redbear_host.client.looped import Looped, nothing
from redbear_host.daemon import Daemon
from redbear_host.link import Link
from redbear_host.ring.layout import NO_OFFSET
from redbear_host.scheme.scheme import POSITIONED, ROOT

log = logging.getLogger(__name__)

NAME: Final = "input"
_ROOM: Final = 64 * OrbitalEvent.size  # bytes of events that are read at once


class Consumer:
    """A virtual terminal of inputd's, read as long as we live."""

    def __init__(self, daemon: Daemon, on_event: Callable[[OrbitalEvent], object]) -> None:
        """Call `on_event` with each event."""
        self.on_terminal: Callable[[int], object] = lambda vt: None
        """Called whenever inputd takes us: with our VT's number, 0 while it has no display."""
        self.on_lost: Callable[[], object] = nothing
        """Called when inputd has ended: nothing is held any more."""
        self._on_event: Final = on_event
        self._link: Final = Link(NAME, daemon)
        self._link.on_open = self._on_open
        self._link.on_lost = self._lose
        self._handle = -1
        self._offset = NO_OFFSET
        self._connection: Looped | None = None
        self._reading = False

    def start(self) -> None:
        """Call inputd."""
        self._link.start()

    def close(self) -> None:
        """Read no more."""
        self._link.close()

    def _lose(self) -> None:
        self._connection = None
        self._reading = False
        self.on_lost()

    def _on_open(self, connection: Looped) -> None:
        def opened(answer: Answer | OSError) -> None:
            if isinstance(answer, OSError):
                log.error("%s gives us no terminal: %s", NAME, answer)
                return
            self._connection, self._handle = connection, answer.handle
            self._offset = 0 if answer.new_flags & POSITIONED else NO_OFFSET
            connection.perform(calls.fpath(answer.handle), self._on_path)
            connection.subscribe(answer.handle, f.EVENT_READ, lambda flags: self._read())
            connection.perform(calls.fevent(answer.handle, f.EVENT_READ), lambda flags: None)
            self._read()

        connection.perform(calls.openat(ROOT, b"consumer", f.O_RDONLY), opened)

    def _on_path(self, answer: str | OSError) -> None:
        """Take the VT's number, which is the last name of `/scheme/DISPLAY/VT`."""
        last = "" if isinstance(answer, OSError) else answer.rpartition("/")[2]
        self.on_terminal(int(last) if last.isdecimal() else 0)

    def _read(self) -> None:
        """Ask for events, unless somebody has been asked already: inputd lets us wait for them."""
        if not self._reading and self._connection is not None:
            self._reading = True
            call = calls.read(self._handle, _ROOM, self._offset)
            self._connection.perform(call, self._on_read)

    def _on_read(self, answer: bytes | OSError) -> None:
        self._reading = False
        if isinstance(answer, OSError):
            if answer.errno == errno.ESTALE:  # another display has taken over: we use all there are
                self._read()
            return
        for at in range(0, len(answer) - OrbitalEvent.size + 1, OrbitalEvent.size):
            self._on_event(OrbitalEvent.load(answer, at))
        if answer:
            self._read()
