"""`redbear-host audio`: play a file, see who plays, set volumes; a module per subcommand."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any, Final

from redbear_host.cli.place import add_mount

HELP: Final = "play a file, list who plays, set volumes, look at a sound card's codecs"

SUBCOMMANDS: Final = ("play", "list", "volume", "codec")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands."""
    wanted = parser.add_subparsers(dest="audio", metavar="WHAT", title="subcommands", required=True)
    for name in SUBCOMMANDS:
        module: Any = import_module(f"redbear_host.cli.audio_{name}")
        subcommand = wanted.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(subcommand)
        add_mount(subcommand)
        subcommand.set_defaults(audio_run=module.run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    status: int = args.audio_run(args)
    return status
