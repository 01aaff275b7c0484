"""Linux's open flags to Redox's."""

from __future__ import annotations

import os
from typing import Final

from redbear_host.abi import flags as f

_FCNTL_MOST: Final = 4096  # a client chooses the flags; it may not choose how much we remember
_ACCESS: Final = {os.O_RDONLY: f.O_RDONLY, os.O_WRONLY: f.O_WRONLY, os.O_RDWR: f.O_RDWR}
_SINGLE: Final = (
    (os.O_NONBLOCK, f.O_NONBLOCK),
    (os.O_APPEND, f.O_APPEND),
    (os.O_DSYNC, f.O_FSYNC),
    (os.O_CREAT, f.O_CREAT),
    (os.O_TRUNC, f.O_TRUNC),
    (os.O_EXCL, f.O_EXCL),
    (os.O_DIRECTORY, f.O_DIRECTORY),
    (os.O_NOFOLLOW, f.O_NOFOLLOW),
)


KNOWN: Final[dict[int, int]] = {}  # what `fcntl_flags` has found so far: few, and asked often


def fcntl_flags(flags: int) -> int:
    """Return the Redox flags, of those fcntl(2) may change, that came with a read or write."""
    known = KNOWN.get(flags)
    if known is None:
        known = to_redox(flags) & f.O_FCNTL_MASK
        if len(KNOWN) < _FCNTL_MOST:
            KNOWN[flags] = known
    return known


def to_redox(flags: int) -> int:
    """Translate; flags without a counterpart (O_DIRECT, O_NOATIME, …) are dropped."""
    redox = _ACCESS.get(flags & os.O_ACCMODE, f.O_RDONLY)
    for linux, own in _SINGLE:
        if flags & linux:
            redox |= own
    return redox
