"""`redbear-host audio list`: who plays."""

from __future__ import annotations

import argparse
import json
from typing import Final

from redbear_host.cli import sounds, tables

HELP: Final = "list who plays: program, format, volume, how much was played and was missing"

_SHOWN: Final = (
    *("ID", "PROGRAM", "PID", "FORMAT", "VOLUME", "PLAYED", "QUEUED", "UNDERRUNS", "STATE"),
)
_TEXTS: Final = ("FORMAT", "STATE", "PROGRAM")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON, frames as numbers")


def run(args: argparse.Namespace) -> int:
    """Print a line per stream."""
    found = sounds.clients(args.mount)
    if args.json:
        print(json.dumps([_typed(row) for row in found], indent=2))
    elif not found:
        print("nobody plays; try: redbear-host audio play FILE")
    else:
        rows = [list(_SHOWN), *([row.get(name, "-") for name in _SHOWN] for row in found)]
        print("\n".join(tables.set_out(rows)))
    return 0


def _typed(row: dict[str, str]) -> dict[str, str | int]:
    return {
        name.lower(): value if name in _TEXTS or not value.isdecimal() else int(value)
        for name, value in row.items()
    }
