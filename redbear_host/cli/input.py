"""`redbear-host input`: keyboards, mice and virtual terminals; a module per subcommand."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any, Final

from redbear_host.cli.place import add_mount

HELP: Final = "list input devices and terminals, switch terminals, choose the keymap"

SUBCOMMANDS: Final = ("list", "vt", "keymap", "grab")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands."""
    wanted = parser.add_subparsers(dest="input", metavar="WHAT", title="subcommands", required=True)
    for name in SUBCOMMANDS:
        module: Any = import_module(f"redbear_host.cli.input_{name}")
        subcommand = wanted.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(subcommand)
        add_mount(subcommand)
        subcommand.set_defaults(input_run=module.run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    status: int = args.input_run(args)
    return status
