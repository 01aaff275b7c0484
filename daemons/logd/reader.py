"""Reading the log: a place in it, and how to go on from there."""

from __future__ import annotations

from typing import Final

from daemons.logd.store import Store


class Reader:
    """Reads from a place on; of one writer only, if `name` is given."""

    def __init__(self, store: Store, place: int, name: bytes | None = None) -> None:
        self._store: Final = store
        self._name: Final = name
        self._place = place
        self._rest = b""  # of a line that was longer than what was asked for

    @property
    def behind(self) -> bool:
        """Whether there is something to read, or to look at at least."""
        return bool(self._rest) or self._place < self._store.end

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes of lines; empty at the end of the log."""
        store, found, length = self._store, [self._rest], len(self._rest)
        if self._place < store.start:
            found.append(b"log: %d bytes were dropped\n" % (store.start - self._place))
            length += len(found[-1])
            self._place = store.start
        while length < size and self._place < store.end:
            line = store.line(self._place)
            self._place = line.next
            if self._name is None or line.name == self._name:
                found.append(line.shown)
                length += len(found[-1])
        whole = b"".join(found)
        self._rest = whole[size:]
        return whole[:size]
