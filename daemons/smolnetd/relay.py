"""Bytes both ways between two connections, with no more of them in hand than one read brings."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from daemons.smolnetd.poller import Poller

_TURN: Final = 1 << 20  # bytes moved before others come
_SCRATCH: Final = memoryview(bytearray(256 << 10))  # for one read; what is not sent is copied


class _Way:
    """From one socket to the other."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self._source: Final = source
        self._target: Final = target
        self._rest = memoryview(b"")  # read and not sent yet
        self._ended = False  # the source has sent all
        self.is_done = False  # and the target was told so

    def move(self) -> bool:
        """Move what can be moved; True when there is more to do at once."""
        budget = _TURN
        while budget > 0 and not self.is_done:
            try:
                if self._rest:
                    self._rest = self._rest[self._target.send(self._rest) :]
                    continue
                if self._ended:
                    self.is_done = True
                    with suppress(OSError):  # it has gone: so be it
                        self._target.shutdown(socket.SHUT_WR)
                    return False
                count = self._source.recv_into(_SCRATCH)
                if not count:
                    self._ended = True
                    continue
                budget -= count
                sent = 0
                try:
                    sent = self._target.send(_SCRATCH[:count])
                finally:
                    if sent < count:
                        self._rest = memoryview(bytes(_SCRATCH[sent:count]))
            except BlockingIOError:
                return False
        return not self.is_done


class Relay:
    """Two connections that are each other's continuation; `on_end` when both have ended."""

    def __init__(
        self,
        one: socket.socket,
        other: socket.socket,
        poller: Poller,
        on_end: Callable[[], object],
    ) -> None:
        self._sockets: Final = (one, other)
        self._ways: Final = (_Way(one, other), _Way(other, one))
        self._poller: Final = poller
        self._on_end: Final = on_end
        self._ended = False
        self._is_due = False  # it goes on in the next round
        for sock in self._sockets:
            with suppress(OSError):  # a Unix socket has none
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            poller.add(sock.fileno(), lambda flags: self._move())

    def _move(self) -> None:
        if self._ended:
            return
        try:
            more = [way.move() for way in self._ways]
        except OSError:  # one of them broke: the other hears of it by being closed
            self.close()
            return
        if all(way.is_done for way in self._ways):
            self.close()
        elif any(more) and not self._is_due:
            self._is_due = True
            loop = self._poller.loop
            loop.at(loop.now(), self._go_on)

    def _go_on(self) -> None:
        self._is_due = False
        self._move()

    def close(self) -> None:
        """Close both."""
        if self._ended:
            return
        self._ended = True
        for sock in self._sockets:
            self._poller.remove(sock.fileno())
            sock.close()
        self._on_end()
