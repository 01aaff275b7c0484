"""Checks of what an Sqe says; each raises the errno a client is to get."""

from __future__ import annotations

from typing import Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import TimeSpec
from redbear_host.errors import Refused
from redbear_host.ring.layout import NO_OFFSET, PATH_MOST

OFFSET_MOST: Final = (1 << 63) - 1  # files end there on Linux
_U32_MOST: Final = (1 << 32) - 1
_OPEN_FLAGS: Final = 0xFFFF_0FFF  # all sixteen flags, and permissions
_MAP_FLAGS: Final = (
    f.PROT_EXEC
    | f.PROT_WRITE
    | f.PROT_READ
    | f.MAP_SHARED
    | f.MAP_PRIVATE
    | f.MAP_FIXED_NOREPLACE
    | f.MAP_LAZY
)
_SECONDS_MOST: Final = 1 << 40  # 35,000 years
_NSEC: Final = 10**9


def only(flags: int, known: int) -> int:
    """Refuse bits that mean nothing."""
    if flags & ~known:
        raise Refused(e.EINVAL)
    return flags


def open_flags(flags: int) -> int:
    """Check the flags of an open."""
    return only(flags, _OPEN_FLAGS)


def fcntl_flags(flags: int) -> int:
    """Check the flags a read, write or open brings."""
    return only(flags, f.O_FCNTL_MASK)


def map_flags(flags: int) -> int:
    """Check the flags of a mapping."""
    return only(flags, _MAP_FLAGS)


def word32(value: int) -> int:
    """Check a number of 32 bits."""
    if value > _U32_MOST:
        raise Refused(e.EINVAL)
    return value


def length(value: int) -> int:
    """Check a length or an offset in a file."""
    if value > OFFSET_MOST:
        raise Refused(e.EINVAL)
    return value


def offset(value: int, stream: bool) -> int:
    """Check where to read or write; a stream has no places, and its scheme sees 0."""
    if stream:
        if value != NO_OFFSET:
            raise Refused(e.ESPIPE)
        return 0
    if value > OFFSET_MOST:
        raise Refused(e.EINVAL)
    return value


def path(raw: bytes) -> str:
    """Turn what was copied from the arena into a path as schemes expect it.

    Without slashes at the ends or twice, without `.` and `..`; the latter may not lead out of the
    directory the path starts from.
    """
    if len(raw) > PATH_MOST:
        raise Refused(e.ENAMETOOLONG)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Refused(e.EINVAL) from None
    if "\0" in text:
        raise Refused(e.EINVAL)
    names: list[str] = []
    for name in text.split("/"):
        if name == "..":
            if not names:
                raise Refused(e.EACCES)
            names.pop()
        elif name and name != ".":
            names.append(name)
    return "/".join(names)


def times(raw: bytes) -> list[TimeSpec]:
    """Read no, one or two TimeSpecs."""
    if len(raw) not in (0, TimeSpec.size, 2 * TimeSpec.size):
        raise Refused(e.EINVAL)
    found = [TimeSpec.load(raw, at) for at in range(0, len(raw), TimeSpec.size)]
    for time in found:
        if not (0 <= time.tv_nsec < _NSEC and -_SECONDS_MOST < time.tv_sec < _SECONDS_MOST):
            raise Refused(e.EINVAL)
    return found
