"""`redbear-host audio volume`: of all, or of one stream."""

from __future__ import annotations

import argparse
from typing import Final

from redbear_host.cli import sounds
from redbear_host.errors import ConfigError

HELP: Final = "print or set the volume, 0 to 100: of all, or of one stream"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("volume", nargs="?", type=sounds.volume_argument, metavar="N", help="the new volume")
    add("--id", type=int, metavar="ID", help="a stream, as `redbear-host audio list` shows it")


def run(args: argparse.Namespace) -> int:
    """Print the volume, or set it."""
    if args.id is None:
        return _of_all(args)
    found = [row for row in sounds.clients(args.mount) if row["ID"] == str(args.id)]
    if not found:
        raise ConfigError(f"there is no stream {args.id}", "see: redbear-host audio list")
    if args.volume is None:
        print(found[0]["VOLUME"])
    else:
        sounds.write(args.mount, "clients", f"{args.id} {args.volume}\n")
    return 0


def _of_all(args: argparse.Namespace) -> int:
    if args.volume is not None:
        sounds.write(args.mount, "volume", f"{args.volume}\n")
        return 0
    try:
        print((sounds.folder(args.mount) / "volume").read_text().strip())
    except OSError as error:
        sounds.trouble(f"{sounds.NAME}/volume", args.mount, error)
    return 0
