"""How many sockets there may be: no user may leave the others without.

The doors bound handles, each its own; a socket may be opened at either, of four schemes, and there
are such as no handle stands for yet, whose connection is being made.  So they are counted here.
"""

from __future__ import annotations

import resource
import socket
import weakref
from collections import Counter
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused

OF_ONE: Final = 4096  # of one user but root
_REST: Final = 6144  # descriptors for the clients' rings, SOCKS, and all else


class Quota:
    """Counts the sockets of all schemes."""

    def __init__(self, of_one: int = OF_ONE, most: int | None = None) -> None:
        """`most` is for all users; default: what the limit of descriptors leaves."""
        if most is None:
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            most = max(limit // 2, limit - _REST)
        self._of_one: Final = of_one
        self._most: Final = most
        self._all = 0
        self._of: Final[Counter[int]] = Counter()

    def check(self, uid: int) -> None:
        """Refuse one more: EMFILE to a user who has too many, ENFILE when all have."""
        if uid and self._of[uid] >= self._of_one:
            raise Refused(e.EMFILE)
        if self._all >= self._most:
            raise Refused(e.ENFILE)

    def count(self, sock: socket.socket, uid: int) -> None:
        """Count a socket until it is no more: whoever closes it forgets it as well."""
        self._of[uid] += 1
        self._all += 1
        weakref.finalize(sock, self._forget, uid).atexit = False

    def _forget(self, uid: int) -> None:
        self._all -= 1
        self._of[uid] -= 1
        if not self._of[uid]:
            del self._of[uid]
