"""What was sent to one end and not read yet: bounded, so that a writer waits for a slow reader."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from redbear_host.scheme.request import Caller

ROOM: Final = 1 << 20  # bytes
MESSAGES: Final = 4096  # whole messages; empty ones take no bytes
FDS: Final = 64  # descriptors on their way


class Message(NamedTuple):
    """What one write brought: bytes, descriptors, and who sent it from where."""

    data: memoryview
    fds: tuple[int, ...]
    sender: Caller
    source: bytes  # the name the sender is bound to


class Inbox:
    """Messages for one end, at most `ROOM` bytes of them."""

    def __init__(self) -> None:
        self._queue: Final[deque[Message]] = deque()
        self._bytes = 0
        self._fds = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def room(self) -> int:
        """How many more bytes may be put in."""
        return ROOM - self._bytes if len(self._queue) < MESSAGES else 0

    def takes(self, count: int) -> bool:
        """Tell whether `count` more descriptors may be put in."""
        return self._fds + count <= FDS

    def put(self, message: Message) -> None:
        """Put a message in; the descriptors belong to the inbox from now on."""
        self._queue.append(message)
        self._bytes += len(message.data)
        self._fds += len(message.fds)

    def message(self) -> Message:
        """Take the oldest message out whole; its descriptors are the taker's."""
        found = self._queue.popleft()
        self._bytes -= len(found.data)
        self._fds -= len(found.fds)
        return found

    def stream(self, size: int) -> Message:
        """Take up to `size` bytes out, across messages; with descriptors, those of one message.

        Descriptors come with the first byte of what they were sent with.
        """
        first = self._queue[0]
        if len(first.data) > size:
            self._queue[0] = first._replace(data=first.data[size:], fds=())
            self._bytes -= size
            self._fds -= len(first.fds)
            return first._replace(data=first.data[:size])
        found = self.message()
        parts, left = [found.data], size - len(found.data)
        while left and self._queue and not self._queue[0].fds and len(parts) < MESSAGES:
            if self._queue[0].sender != found.sender:
                break  # credentials are those of one sender
            if len(self._queue[0].data) > left:
                parts.append(self.stream(left).data)
                break
            parts.append(self.message().data)
            left -= len(parts[-1])
        if len(parts) == 1:
            return found
        return found._replace(data=memoryview(b"".join(parts)))

    def close(self) -> None:
        """Drop everything."""
        for message in self._queue:
            close_all(message.fds)
        self._queue.clear()
        self._bytes = self._fds = 0


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors nobody fetched."""
    for fd in fds:
        os.close(fd)
