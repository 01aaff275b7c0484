"""`redbear-host net`: network cards of ours, for Linux's programs; a module per subcommand."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any, Final

from redbear_host.cli.place import add_mount

HELP: Final = "list network cards, join one to Linux's network, or dump its frames"

SUBCOMMANDS: Final = ("list", "tap", "dump")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands."""
    wanted = parser.add_subparsers(dest="net", metavar="WHAT", title="subcommands", required=True)
    for name in SUBCOMMANDS:
        module: Any = import_module(f"redbear_host.cli.net_{name}")
        subcommand = wanted.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(subcommand)
        add_mount(subcommand)
        subcommand.set_defaults(net_run=module.run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    status: int = args.net_run(args)
    return status
