"""Lists of schemes: which names a namespace is to hold.

A name is taken as it is; a trailing `*` stands for all that begin so (Redox's ForkNs rule), and a
bare `*` for all there are.  A plain name that does not exist is an error, a prefix may match none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused

NAME_MOST: Final = 255  # bytes: a scheme's name is the name of a file here
NULL: Final = ("memory", "pipe")  # what Redox's null namespace holds


def check(name: str) -> str:
    """Return the name of a scheme as it is; EINVAL for what cannot be one."""
    if name in ("", ".", "..") or any(character in name for character in "/:\0"):
        raise Refused(e.EINVAL, f"{name!r} cannot be the name of a scheme")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Refused(e.EINVAL, f"{name!r} is not UTF-8") from None
    if size > NAME_MOST:
        raise Refused(e.EINVAL, f"a scheme's name of {size} bytes; {NAME_MOST} are the most")
    return name


def select(wanted: Iterable[str], there: Collection[str]) -> tuple[str, ...]:
    """Return the names `wanted` stands for, each once, sorted; ENODEV for an unknown plain name."""
    found: set[str] = set()
    for name in wanted:
        if name.endswith("*"):
            found.update(one for one in there if one.startswith(name[:-1]))
        elif name in there:
            found.add(name)
        else:
            raise Refused(e.ENODEV, f"there is no scheme {name!r}")
    return tuple(sorted(found))


def known(wanted: Iterable[str], there: Collection[str]) -> tuple[str, ...]:
    """Do as `select`, but leave out what does not exist: for lists written for many machines."""
    return select((name for name in wanted if name.endswith("*") or name in there), there)
