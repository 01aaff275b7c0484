"""The listings that clients read at present, piece by piece.

A listing is made once, so that what comes and goes meanwhile shifts nothing.  It is kept for as
long as its handle is open, and a client may have thousands of those, of folders as large as he
likes: so there is a bound on all together, past which the oldest go.  Who still reads one has it
made again.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final

ENTRIES_MOST: Final = 1 << 18  # of all listings of a door: some 40 MiB


class Listings:
    """Those of one door, by its handles."""

    def __init__(self) -> None:
        self._kept: Final[dict[Hashable, Sequence[Any]]] = {}
        self._count = 0  # entries in all

    def __len__(self) -> int:
        """Tell how many entries are kept."""
        return self._count

    def get(self, handle: Hashable) -> Sequence[Any] | None:
        """Return the listing that is read by a handle."""
        return self._kept.get(handle)

    def put(self, handle: Hashable, entries: Sequence[Any]) -> None:
        """Keep a listing, instead of the one before; alone it may be as long as it is."""
        self.drop(handle)
        while self._kept and self._count + len(entries) > ENTRIES_MOST:
            self.drop(next(iter(self._kept)))
        self._kept[handle] = entries
        self._count += len(entries)

    def drop(self, handle: Hashable) -> None:
        """Forget that of a handle: it is closed."""
        self._count -= len(self._kept.pop(handle, ()))
