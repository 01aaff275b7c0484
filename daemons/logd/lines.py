"""Lines from writes: each process's unfinished line waits for its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from daemons.logd.store import LINE_MOST

_PROCESSES: Final = 64  # that have an unfinished line at one handle; a further one ends the oldest


class Lines:
    """What was written at one handle, cut into lines.

    Processes that share a handle, as children share their parent's standard output, do not get
    into each other's lines.
    """

    def __init__(self) -> None:
        self._unfinished: Final[dict[int, bytes]] = {}  # by process

    def take(self, pid: int, data: bytes) -> Iterator[bytes]:
        """Take what process `pid` wrote; return the lines that are whole now."""
        *whole, rest = (self._unfinished.pop(pid, b"") + data).split(b"\n")
        for line in whole:
            yield from _pieces(line)
        while len(rest) > LINE_MOST:
            yield rest[:LINE_MOST]
            rest = rest[LINE_MOST:]
        if rest:
            if len(self._unfinished) >= _PROCESSES:
                yield self._unfinished.pop(next(iter(self._unfinished)))
            self._unfinished[pid] = rest

    def finish(self) -> Iterator[bytes]:
        """Return what never got its newline: the handle is closed."""
        while self._unfinished:
            yield self._unfinished.pop(next(iter(self._unfinished)))


def _pieces(line: bytes) -> Iterator[bytes]:
    for at in range(0, len(line) or 1, LINE_MOST):
        yield line[at : at + LINE_MOST]
