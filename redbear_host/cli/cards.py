"""The network cards of an instance, as their schemes show them."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redbear_host.cli.place import failed
from redbear_host.errors import ConfigError
from redbear_host.toml_table import did_you_mean

PREFIX: Final = "network."


@dataclass(frozen=True)
class Card:
    """What the files of a `network.*` say."""

    name: str
    mac: str
    link: int  # Mb/s; 0: down
    joins: Sequence[str]  # INTERFACE WHO; the first has the wire
    stats: dict[str, int]


def names(mount: Path) -> list[str]:
    """Return the schemes of network cards, sorted."""
    try:
        found = os.listdir(mount)
    except OSError as error:
        failed(":", mount, error)
    return sorted(name for name in found if name.startswith(PREFIX))


def folder_of(name: str, mount: Path) -> Path:
    """Return the folder of a card, named with or without `network.`; "" is the only one there is.

    `ConfigError` if there is none of that name.
    """
    there = names(mount)
    wanted = name.removeprefix("/scheme/").removesuffix(":").strip("/")
    if wanted and not wanted.startswith(PREFIX):
        wanted = PREFIX + wanted
    if wanted in there:
        return mount / wanted
    if not there:
        raise ConfigError(
            f"no network card is served below {mount}", "try: redbear-host up --lab e1000"
        )
    if not wanted and len(there) == 1:
        return mount / there[0]
    if not wanted:
        raise ConfigError(
            "there are several network cards: name one", f"choose from {', '.join(there)}"
        )
    raise ConfigError(f"there is no network card {name!r}", did_you_mean(wanted, there))


def look(folder: Path) -> Card:
    """Read a card's files."""
    link = read(folder / "link").decode().strip()
    stats = [line.split() for line in read(folder / "stats").decode().splitlines()]
    return Card(
        name=folder.name,
        mac=read(folder / "mac").hex(":"),
        link=0 if link == "down" else int(link),
        joins=read(folder / "joins").decode().splitlines(),
        stats={name: int(value) for name, value in stats},
    )


def read(path: Path) -> bytes:
    """Read a small file of a card; again if its driver died over it."""
    for left in (2, 1, 0):
        try:
            return path.read_bytes()
        except OSError as error:
            if error.errno != errno.EIO or not left:
                failed(f"/scheme/{path.parent.name}/{path.name}", path.parent.parent, error)
    return b""  # not reached: the last turn returns or raises
