"""Lists of schemes: which names a namespace is to hold.

A name is taken as it is; a trailing `*` stands for all that begin so (Redox's ForkNs rule), and a
bare `*` for all there are.  A plain name that does not exist is an error, a prefix may match none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import ConfigError, Refused
from redbear_host.toml_table import did_you_mean

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


def parse(text: str) -> tuple[str, ...]:
    """Split a comma-separated list as a user types it; `ConfigError` for a name that cannot be."""
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        try:
            check(name.removesuffix("*") or "all")
            if not name:
                raise Refused(e.EINVAL, "a name is missing")
        except Refused as refusal:
            raise ConfigError(
                f"--schemes {text}: {refusal}", "write them as: --schemes rand,log,disk*"
            ) from None
    return names


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


def select_or_say(wanted: Sequence[str], there: Collection[str]) -> tuple[str, ...]:
    """Do as `select` for a user: `ConfigError` says what there is."""
    for name in wanted:
        if not name.endswith("*") and name not in there:
            raise ConfigError(
                f"there is no scheme {name!r} (ENODEV)",
                did_you_mean(name, there) or f"there is: {', '.join(sorted(there)) or 'none'}",
            )
    return select(wanted, there)


def known(wanted: Iterable[str], there: Collection[str]) -> tuple[str, ...]:
    """Do as `select`, but leave out what does not exist: for lists written for many machines."""
    return select((name for name in wanted if name.endswith("*") or name in there), there)
