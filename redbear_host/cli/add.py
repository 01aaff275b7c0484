"""`redbear-host add`: give a running instance another device."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from redbear_host import config
from redbear_host.bdf import Bdf
from redbear_host.cli.arguments import Once, path_argument
from redbear_host.errors import ConfigError
from redbear_host.lab.devices import parse

HELP: Final = "give the running redbear-host another device, and start its daemon"

WITHIN_S: Final = 120.0  # between two words: a driver of Linux may take 30 s to let go


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--device", action=Once, metavar="BDF", help="take this PCI function of the machine"
    )
    which.add_argument(
        "--await",
        action=Once,
        dest="awaited",
        metavar="BDF",
        help="take this PCI function now, or once it is plugged in",
    )
    which.add_argument(
        "--lab",
        action=Once,
        metavar="NAME[:key=value,…]",
        help="add a device model of QEMU, as `up` does",
    )
    add_common(parser)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Declare what `add` and `remove` share."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--run-dir",
        type=path_argument,
        default=config.RUN_DIR,
        metavar="DIR",
        help="default: %(default)s",
    )


def run(args: argparse.Namespace) -> int:
    """Ask for it, and print what serves it."""
    found = order(args.run_dir, _order(args))
    if args.json:
        print(json.dumps(found))
    elif found["name"] is None:
        print(f"{found['address']} is waited for")
    else:
        print(f"{found['name']} drives {found['address']} and serves {_joined(found['schemes'])}")
    return 0


def _order(args: argparse.Namespace) -> dict[str, Any]:
    if args.lab is None:
        address = Bdf.parse(args.device or args.awaited)
        return {"add": "device", "address": str(address), "wait": args.device is None}
    device = parse(args.lab)
    device.check()
    options = dict(device.options)
    for key in config.PATHS:
        if key in options:
            options[key] = str(Path(options[key]).absolute())  # it runs in another folder
    return {"add": "lab", "name": device.kind, "options": options}


def order(run_dir: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Give an order to the running instance; `ConfigError` if none is up."""
    from kernel_shim.orders import ask
    from kernel_shim.rundir import RunDir

    found = RunDir(run_dir)
    if not found.locked_by_other() or not found.orders.exists():
        raise ConfigError("redbear-host is not up", "start it with: redbear-host up")
    return ask(found.orders, wanted, WITHIN_S, _say)


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _joined(schemes: list[str]) -> str:
    return ", ".join(schemes) or "nothing"
