"""Lines from writes: each process's unfinished line waits for its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from daemons.logd.store import LINE_MOST

_PROCESSES: Final = 64  # that have an unfinished line at one handle; a further one ends the oldest
_KEPT_MOST: Final = 2 * LINE_MOST  # bytes of those; a user may have thousands of handles


class Lines:
    """What was written at one handle, cut into lines.

    Processes that share a handle, as children share their parent's standard output, do not get
    into each other's lines.
    """

    def __init__(self) -> None:
        self._unfinished: Final[dict[int, bytes]] = {}  # by process
        self._kept = 0  # bytes of those

    def take(self, pid: int, data: bytes) -> Iterator[bytes]:
        """Take what process `pid` wrote; return the lines that are whole now."""
        *whole, rest = (self._end(pid) + data).split(b"\n")
        for line in whole:
            yield from _pieces(line)
        while len(rest) > LINE_MOST:
            yield rest[:LINE_MOST]
            rest = rest[LINE_MOST:]
        if rest:
            while len(self._unfinished) >= _PROCESSES or self._kept + len(rest) > _KEPT_MOST:
                yield self._end(next(iter(self._unfinished)))
            self._unfinished[pid] = rest
            self._kept += len(rest)

    def finish(self) -> Iterator[bytes]:
        """Return what never got its newline: the handle is closed."""
        while self._unfinished:
            yield self._end(next(iter(self._unfinished)))

    def _end(self, pid: int) -> bytes:
        line = self._unfinished.pop(pid, b"")
        self._kept -= len(line)
        return line


def _pieces(line: bytes) -> Iterator[bytes]:
    for at in range(0, len(line) or 1, LINE_MOST):
        yield line[at : at + LINE_MOST]
