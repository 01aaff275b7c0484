"""The scheme `audio.ctl`, as the subcommands of `redbear-host audio` use it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final, NoReturn

from redbear_host.cli import tables
from redbear_host.cli.place import failed
from redbear_host.errors import ConfigError

NAME: Final = "audio.ctl"
VOLUME_MOST: Final = 100


def volume_argument(text: str) -> int:
    """Read a volume."""
    if not text.isdecimal() or int(text) > VOLUME_MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no volume: 0 to {VOLUME_MOST}")
    return int(text)


def folder(mount: Path) -> Path:
    """Return the scheme's folder; ConfigError when no sound card is served."""
    found = mount / NAME
    if not os.path.lexists(found):
        if not os.path.isdir(mount) or not os.listdir(mount):
            failed(f"/scheme/{NAME}", mount, FileNotFoundError(2, "No such file or directory"))
        raise ConfigError(
            "no sound card is served", "try: redbear-host up --lab hda:wav=FILE, or --device"
        )
    return found


def clients(mount: Path) -> list[dict[str, str]]:
    """List who plays: the rows of `audio.ctl/clients`, by the names of their columns."""
    folder(mount)
    return tables.read(mount, f"{NAME}/clients")


def write(mount: Path, name: str, text: str) -> None:
    """Write a file of the scheme."""
    try:
        (folder(mount) / name).write_text(text)
    except OSError as error:
        trouble(f"{NAME}/{name}", mount, error)


def trouble(name: str, mount: Path, error: OSError) -> NoReturn:
    """Say what went wrong with a file of the scheme."""
    failed(f"/scheme/{name}", mount, error)
