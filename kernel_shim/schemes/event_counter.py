"""A counter as of eventfd(2), which Red Bear OS serves below `event/eventfd`."""

from __future__ import annotations

from typing import Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.errors import Refused

_MOST: Final = (1 << 64) - 2
_INITIAL_MOST: Final = (1 << 32) - 1


class Counter:
    """Counts up by writes; a read takes all of it, or one where it is a semaphore."""

    def __init__(self, count: int, semaphore: bool) -> None:
        self._count = count
        self._semaphore: Final = semaphore

    def read(self, size: int) -> bytes:
        """Take the count, eight bytes; EWOULDBLOCK while it is zero."""
        if size < 8:
            raise Refused(e.EINVAL)
        if not self._count:
            raise Refused(e.EWOULDBLOCK)
        taken = 1 if self._semaphore else self._count
        self._count -= taken
        return taken.to_bytes(8, "little")

    def add(self, data: memoryview) -> None:
        """Add what the first eight bytes say; EWOULDBLOCK while it would be too much."""
        if len(data) < 8:
            raise Refused(e.EINVAL)
        more = int.from_bytes(data[:8], "little")
        if more > _MOST:
            raise Refused(e.EINVAL)
        if self._count + more > _MOST:
            raise Refused(e.EWOULDBLOCK)
        self._count += more

    @property
    def ready(self) -> int:
        """What it is ready for: EVENT_READ, EVENT_WRITE."""
        readable = f.EVENT_READ if self._count else 0
        return readable | (f.EVENT_WRITE if self._count < _MOST else 0)


def counter_of(initial: str, semaphore: str) -> Counter:
    """Make the counter a path names; ENOENT for what is no number, or no 0 or 1."""
    if not initial.isdecimal() or not initial.isascii() or len(initial) > 10:
        raise Refused(e.ENOENT)
    count = int(initial)
    if count > _INITIAL_MOST or semaphore not in ("0", "1"):
        raise Refused(e.ENOENT)
    return Counter(count, semaphore == "1")
