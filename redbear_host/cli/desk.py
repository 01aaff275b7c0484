"""The scheme `input`, as the subcommands of `redbear-host input` see it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from redbear_host.cli.place import failed
from redbear_host.errors import ConfigError

Line: TypeAlias = tuple[str, dict[str, str]]
_LAST = "name"  # the key whose value may hold blanks


def look(mount: Path) -> list[Line]:
    """Return the lines of `input/status`: what each is of, and its values."""
    try:
        text = (mount / "input/status").read_text(errors="replace")
    except OSError as error:
        failed("/scheme/input", mount, error)
    return list(_lines(text))


def _lines(text: str) -> Iterator[Line]:
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        rest, named, name = f" {rest}".partition(f" {_LAST}=")
        values = dict(word.partition("=")[::2] for word in rest.split())
        yield kind, values | ({_LAST: name} if named else {})


def all_of(lines: list[Line], kind: str) -> list[dict[str, str]]:
    """Return the values of all lines of a kind."""
    return [values for found, values in lines if found == kind]


def say(mount: Path, name: str, word: str, hint: str) -> None:
    """Write a word to one of the scheme's texts; `ConfigError` with `hint` if it takes another."""
    try:
        (mount / "input" / name).write_text(f"{word}\n")
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT) and (mount / "input").is_dir():
            raise ConfigError(f"there is no {name} {word!r}", hint) from None
        failed(f"/scheme/input/{name}", mount, error)
