"""Redox's errno to Linux's: the one place where it happens.

The numbers are the same but for two: Redox's EWOULDBLOCK parks a request and never leaves a scheme
for a client, so a client that would block is told EAGAIN; EDEADLOCK is EDEADLK on Linux.
"""

from __future__ import annotations

from typing import Final

from redbear_host.abi import errno as e

_DIFFERENT: Final = {e.EWOULDBLOCK: 11, e.EDEADLOCK: 35}
_EINTR: Final = 4


def to_linux(errno: int, cancelled: bool) -> int:
    """Return what the client's system call shall fail with; `cancelled` when a signal woke it.

    As Redox's kernel does: an answer ECANCELED to a cancelled call becomes EINTR, and an EINTR that
    nobody asked for becomes EIO.  A number outside 1..511 (the kernel's limit) becomes EIO.
    """
    if cancelled and errno in (e.ECANCELED, e.EINTR):
        return _EINTR
    if errno == e.EINTR or not 0 < errno < 512:
        return e.EIO
    return _DIFFERENT.get(errno, errno)
