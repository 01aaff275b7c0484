"""`redbear-host remove`: end a device's daemon, and give the device back."""

from __future__ import annotations

import argparse
import json
from typing import Final

from redbear_host.cli.add import add_common, order

HELP: Final = "end a device's daemon in the running redbear-host, and give the device back"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "name",
        metavar="ADDRESS|SCHEME",
        help="the device's PCI address, a scheme it is served as, or its daemon's name",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for it, and print what was ended."""
    found = order(args.run_dir, {"remove": args.name})
    if args.json:
        print(json.dumps(found))
    elif found["name"] is None:
        print(f"{found['address']} is waited for no longer")
    else:
        print(f"{found['name']} has ended, {found['address']} is given back")
    return 0
