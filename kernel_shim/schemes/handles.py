"""The handles of one of the kernel's schemes: numbers, and how many of them one user may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller

T = TypeVar("T")

MOST_OF_A_USER: Final = 4096  # a quarter of what a scheme's journal holds for all


class Handles(Generic[T]):
    """What is open, by the number the scheme gave it; numbers are not used twice."""

    def __init__(self, most: int = MOST_OF_A_USER) -> None:
        """Let each user but root have at most `most` handles."""
        self._most: Final = most
        self._open: Final[dict[int, T]] = {}
        self._owners: Final[dict[int, int]] = {}
        self._count: Final[Counter[int]] = Counter()
        self._next = 1

    def add(self, item: T, caller: Caller) -> int:
        """Keep an open file; return its number.  `Refused` with EMFILE when it is one too many."""
        uid = caller.uid
        if uid and self._count[uid] >= self._most:
            raise Refused(e.EMFILE)
        number, self._next = self._next, self._next + 1
        self._open[number] = item
        self._owners[number] = uid
        self._count[uid] += 1
        return number

    def __getitem__(self, number: int) -> T:
        """Look an open file up; `Refused` with EBADF when it is none."""
        try:
            return self._open[number]
        except KeyError:
            raise Refused(e.EBADF) from None

    def __iter__(self) -> Iterator[int]:
        """Go through the numbers of all that is open; others may be closed meanwhile."""
        return iter(tuple(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def remove(self, number: int) -> T | None:
        """Forget an open file; None when it was none."""
        item = self._open.pop(number, None)
        if item is not None:
            uid = self._owners.pop(number)
            self._count[uid] -= 1
            if not self._count[uid]:
                del self._count[uid]
        return item
