"""How programs spell what they open, and which scheme that is.

| spelling                | scheme   | path in it                                    |
|-------------------------|----------|-----------------------------------------------|
| `/scheme/NAME/REST`     | NAME     | REST                                          |
| `NAME:REST`             | NAME     | REST; the older spelling                      |
| `/scheme/NAME:REST`     | NAME     | REST; both at once                            |
| `/scheme`, `:`, `:NAME` | none     | the list of schemes, and one name in it       |
| any other absolute path | `file`   | the path without its first slash              |
| a relative path         |          | as if the working directory stood before it   |

Redox's programs resolve `.` and `..` themselves and by the letter, and so does this.
"""

from __future__ import annotations

import errno
import os
import posixpath
from typing import Final, NamedTuple

from redbear_host.ring.layout import PATH_MOST

FILE: Final = "file"  # the scheme of every path that names none
CANONICAL: Final = "/scheme"


class Place(NamedTuple):
    """Where a path leads; `scheme` is empty for the list of schemes."""

    scheme: str
    path: str


def rings() -> str:
    """Return the folder of the schemes' sockets."""
    return os.environ.get("REDBEAR_RINGS") or "/run/redbear-host/ring"


def mount() -> str:
    """Return where the schemes are mounted."""
    return os.environ.get("REDBEAR_SCHEME") or CANONICAL


def encode(path: str) -> bytes:
    """Return a path as it travels; `OSError` for one that cannot."""
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise OSError(errno.EINVAL, "a path holds a NUL", path)
    if len(raw) > PATH_MOST:
        raise OSError(errno.ENAMETOOLONG, f"a path of {len(raw)} bytes, more than {PATH_MOST}")
    return raw


def check_name(name: str) -> str:
    """Return the name of a scheme as it is; `OSError(EINVAL)` if it cannot be one."""
    if not name or name in (".", "..") or any(c in name for c in "/:\0"):
        raise OSError(errno.EINVAL, "no name of a scheme", name)
    return name


def parse(path: str) -> Place:
    """Say which scheme a path belongs to, and what it is called there."""
    encode(path)
    if not path:
        raise OSError(errno.ENOENT, "an empty path names nothing")
    before, colon, rest = path.partition(":")
    if colon and "/" not in before:
        if before:
            return Place(check_name(before), rest.strip("/"))
        return Place("", rest.strip("/"))
    absolute = posixpath.normpath(posixpath.join(os.getcwd(), path))
    if absolute.startswith("//"):
        absolute = absolute[1:]  # POSIX lets exactly two slashes mean something else; not here
    for root in {CANONICAL, mount()}:
        if absolute == root:
            return Place("", "")
        if absolute.startswith(root + "/"):
            name, _, inner = absolute[len(root) + 1 :].partition("/")
            name, colon, head = name.partition(":")
            if colon:
                inner = f"{head}/{inner}".strip("/")
            return Place(check_name(name), inner)
    return Place(FILE, absolute[1:])
