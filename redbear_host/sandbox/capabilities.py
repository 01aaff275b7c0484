"""Capabilities: none, but those a manifest says its daemon keeps.

Ref: linux/capability.h, linux/prctl.h, capabilities(7).
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Collection
from typing import Final

from redbear_host import linux

# Those a daemon can ask for; all others, also those the future brings, are always dropped.
KEEPABLE: Final = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_ADMIN": 21,
    "CAP_MKNOD": 27,
}

_PR_SET_KEEPCAPS: Final = 8
_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_CAPSET: Final = {"x86_64": 126, "aarch64": 91}
_VERSION_3: Final = 0x2008_0522
_WORDS: Final = 64


def mask(names: Collection[str]) -> int:
    """Return a bit for each."""
    return sum(1 << KEEPABLE[name] for name in names)


def empty_bounding_set(keeps: Collection[str]) -> None:
    """Make sure that no program this process might start could ever have more."""
    kept = {KEEPABLE[name] for name in keeps}
    for number in range(_WORDS):
        try:
            there = linux.prctl(_PR_CAPBSET_READ, number)
        except OSError as err:
            if err.errno == errno.EINVAL:  # the kernel knows no more
                break
            raise
        if there and number not in kept:
            linux.prctl(_PR_CAPBSET_DROP, number)
    linux.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def become(uid: int, keeps: Collection[str]) -> None:
    """Become user and group `uid`, without other groups, with `keeps` and nothing else."""
    linux.prctl(_PR_SET_KEEPCAPS, 1)  # the next line would take all, those to keep as well
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kept = mask(keeps)
    low, high = kept & 0xFFFF_FFFF, kept >> 32
    header = struct.pack("=Ii", _VERSION_3, 0)
    data = struct.pack("=6I", low, low, 0, high, high, 0)  # effective, permitted, inheritable
    linux.syscall(_CAPSET[os.uname().machine], header, data)
    linux.prctl(_PR_SET_KEEPCAPS, 0)
