"""Sinks: descriptors that get every line as it comes (Redox's `log/add_sink`).

A sink must never stop the log.  So a client's descriptor is a pipe or a socket, which is made
non-blocking (it is the log's from then on): any other file may be one of a file system that answers
when it likes, or never.  One that is full is left behind and catches up when it has room; one that
is broken is dropped.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import select
import socket
from pathlib import Path
from typing import Final

from daemons.logd.reader import Reader
from daemons.logd.store import Store
from redbear_host.abi import errno as e
from redbear_host.errors import ConfigError, Refused
from redbear_host.scheme.loop import Loop

_LOG: Final = logging.getLogger(__name__)

_MOST: Final = 64  # sinks of clients
_PIECE: Final = 65536  # bytes


class _Sink:
    def __init__(self, fd: int, reader: Reader) -> None:
        self.fd: Final = fd
        self.reader: Final = reader
        self.waiting = b""  # read from the log and not taken by the descriptor yet

    def catch_up(self) -> bool:
        """Write what there is; False when the descriptor took all it can for now."""
        while True:
            self.waiting = self.waiting or self.reader.read(_PIECE)
            if not self.waiting:
                return True
            try:
                count = os.write(self.fd, self.waiting)
            except BlockingIOError:
                return False
            self.waiting = self.waiting[count:]


class Sinks:
    """All sinks of the log `store`."""

    def __init__(self, store: Store, loop: Loop) -> None:
        self._store: Final = store
        self._loop: Final = loop
        self._sinks: Final[dict[int, _Sink]] = {}
        self._full: Final[set[int]] = set()
        # A descriptor with room makes this one readable; the loop itself only knows readers.
        self._room: Final = select.epoll()
        loop.watch(self._room.fileno(), self._on_room)

    def add_file(self, fd: int) -> None:
        """Add the file the configuration names: it gets what is new, not what it has already."""
        self._sinks[fd] = _Sink(fd, Reader(self._store, self._store.end))

    def add(self, fd: int) -> None:
        """Add a client's descriptor: the last lines, then the new ones; `Refused` (EINVAL)."""
        if not _is_pipe(fd) and not _is_socket(fd):
            raise Refused(e.EINVAL, "a sink is a pipe or a socket")
        if len(self._sinks) >= _MOST:
            raise Refused(e.EMFILE)
        os.set_blocking(fd, False)
        recent = self._store.recent
        start = recent[0] if recent else self._store.end
        self._sinks[fd] = _Sink(fd, Reader(self._store, start))
        self._feed(fd)

    def feed(self) -> None:
        """Pass on what is new."""
        for fd in list(self._sinks):
            if fd not in self._full:
                self._feed(fd)

    def close(self) -> None:
        """Close all sinks."""
        for fd in list(self._sinks):
            self._drop(fd)
        self._loop.unwatch(self._room.fileno())
        self._room.close()

    def __len__(self) -> int:
        return len(self._sinks)

    def _feed(self, fd: int) -> None:
        try:
            caught_up = self._sinks[fd].catch_up()
        except OSError as err:
            name = errno.errorcode.get(err.errno or 0, "?")
            _LOG.info("sink %d takes no more lines (%s) and is dropped", fd, name)
            self._drop(fd)
            return
        if caught_up and fd in self._full:
            self._full.remove(fd)
            self._room.unregister(fd)
        elif not caught_up and fd not in self._full:
            self._full.add(fd)
            self._room.register(fd, select.EPOLLOUT)

    def _on_room(self) -> None:
        for fd, _ in self._room.poll(0):
            self._feed(fd)

    def _drop(self, fd: int) -> None:
        del self._sinks[fd]
        if fd in self._full:
            self._full.remove(fd)
            self._room.unregister(fd)
        os.close(fd)


def open_file(path: Path) -> int:
    """Open the file that lines are appended to; `ConfigError` if that cannot be."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o640)
    except OSError as err:
        raise ConfigError(
            f"the log cannot be copied to {path}: {err.strerror}",
            "set [daemon.logd] file to another path, or to the empty text",
        ) from err


def _is_pipe(fd: int) -> bool:
    # Asked by what only a pipe can answer: fstat would ask the file system, which may not answer.
    try:
        fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except OSError:
        return False
    return True


def _is_socket(fd: int) -> bool:
    try:
        socket.socket(fileno=fd).detach()
    except OSError:
        return False
    return True
