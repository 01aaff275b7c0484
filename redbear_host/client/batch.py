"""Many calls for one bell: they are written one after another, and the daemon is woken once.

```python
batch = Batch()
for fd in fds:
    batch.read(fd, 4096)
for answer in batch.collect():
    ...                     # what the call returns, or the OSError it would have raised
```

Answers come in the order of the calls, however the daemon answered them.  Calls of one batch may go
to several schemes.  A batch of more calls than a connection has room for is sent in several.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from redbear_host.abi import flags as f
from redbear_host.client import calls
from redbear_host.client.calls import Bytes, Call
from redbear_host.client.connection import Connection
from redbear_host.client.fd import AnyFd, Fd, fd_of
from redbear_host.client.file import cannot
from redbear_host.client.ring import PAYLOAD_MOST
from redbear_host.client.ringfile import RingFile
from redbear_host.client.slot import DONE, Slot


class Batch:
    """Calls on handles of schemes; used again after each `collect`."""

    def __init__(self) -> None:
        self._calls: list[tuple[Connection, Slot, Call[Any]]] = []
        self._touched: Final[set[Connection]] = set()
        self._answers: list[Any] = []  # of those that had to be collected before the rest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def __del__(self) -> None:
        """Leave no slot behind."""
        self.abandon()

    def add(self, fd: AnyFd, make: Callable[[int], Call[Any]]) -> None:
        """Add any other of `redbear_host.client.calls`; `make` gets the handle."""
        file = _ring_file(fd)
        self._put(file.connection, make(file.handle))

    def read(self, fd: AnyFd, size: int) -> None:
        """Add a read; those of a positioned file all start where it stands now."""
        file = _ring_file(fd)
        if size > PAYLOAD_MOST:
            size = PAYLOAD_MOST
        call = calls.read(file.handle, size, file.offset, file.flags & f.O_FCNTL_MASK)
        self._put(file.connection, call)

    def pread(self, fd: AnyFd, size: int, offset: int) -> None:
        """Add a read at `offset`, for positioned files."""
        file = _ring_file(fd)
        if size > PAYLOAD_MOST:
            size = PAYLOAD_MOST
        call = calls.read(file.handle, size, offset, file.flags & f.O_FCNTL_MASK)
        self._put(file.connection, call)

    def write(self, fd: AnyFd, data: Bytes) -> None:
        """Add a write; those of a positioned file all start where it stands now."""
        self.pwrite(fd, data, _ring_file(fd).offset)

    def pwrite(self, fd: AnyFd, data: Bytes, offset: int) -> None:
        """Add a write at `offset`, for positioned files."""
        file = _ring_file(fd)
        flags = file.flags & f.O_FCNTL_MASK
        self._put(file.connection, calls.write(file.handle, data, offset, flags))

    def call(self, fd: AnyFd, payload: Bytes, metadata: Sequence[int] = ()) -> None:
        """Add Redox's call; answered by its result and the payload as it is then."""
        file = _ring_file(fd)
        self._put(file.connection, calls.call(file.handle, payload, len(payload), metadata))

    def submit(self) -> None:
        """Wake the daemons; `collect` does it otherwise."""
        for connection in self._touched:
            connection.send()
        self._touched.clear()

    def collect(self) -> list[Any]:
        """Wait for all answers and return them; an error is returned, not raised."""
        self._collect()
        answers, self._answers = self._answers, []
        return answers

    def abandon(self) -> None:
        """Drop what was not collected."""
        pending, self._calls = self._calls, []
        for connection, slot, _ in pending:
            connection.orphan(slot)
            self._touched.add(connection)
        self._answers = []
        self.submit()

    def _put(self, connection: Connection, call: Call[Any]) -> None:
        self._touched.add(connection)
        while (slot := connection.queue(call)) is None:
            self.submit()
            self._collect_answered()  # the calls in the way may be ours
            first = self._calls[0][1] if self._calls else None
            connection.wait_for_room(call, first)
            self._touched.add(connection)
        self._calls.append((connection, slot, call))

    def _collect_answered(self) -> None:
        """Take the answers that are there, up to the first that is not."""
        count = 0
        for _, slot, _ in self._calls:
            if slot.state != DONE:
                break
            count += 1
        self._take(count)

    def _collect(self) -> None:
        self.submit()
        self._take(len(self._calls))

    def _take(self, count: int) -> None:
        """Wait for the first `count` answers."""
        pending, self._calls = self._calls[:count], self._calls[count:]
        done = 0
        try:
            for connection, slot, call in pending:
                if slot.state != DONE:
                    connection.settle(slot)
                done += 1
                try:
                    self._answers.append(connection.finish(slot, call))
                except OSError as err:
                    self._answers.append(err)
        finally:
            for connection, slot, _ in pending[done:]:
                connection.orphan(slot)


def _ring_file(fd: AnyFd) -> RingFile:
    file = fd._file if isinstance(fd, Fd) else fd_of(fd).file
    if not isinstance(file, RingFile):
        raise cannot(errno.EOPNOTSUPP if file else errno.EBADF)
    return file
