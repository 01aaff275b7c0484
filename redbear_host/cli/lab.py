"""`redbear-host lab vm -- CMD…`: run a command on Debian's kernel with spare devices."""

from __future__ import annotations

import argparse
from typing import Final

from redbear_host.cli.arguments import path_argument
from redbear_host.errors import ConfigError

HELP: Final = "run a command in a Linux guest that has spare devices and an IOMMU"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `lab vm` and its flags."""
    labs = parser.add_subparsers(dest="lab", metavar="LAB", title="labs", required=True)
    vm = labs.add_parser("vm", help=HELP, description=HELP)
    vm.add_argument(
        "--device",
        action="append",
        dest="devices",
        metavar="NAME",
        help="give the guest this card; may be repeated (nvme unless said)",
    )
    vm.add_argument(
        "--disk",
        type=path_argument,
        metavar="FILE",
        help="the image behind the first card with a disk",
    )
    vm.add_argument(
        "--timeout",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="how long the guest may live, boot included (%(default)g)",
    )
    vm.add_argument(
        "--exchange",
        type=path_argument,
        metavar="DIR",
        help="a folder that is /run/exchange in the guest: what it writes there stays",
    )
    vm.add_argument("command", nargs="+", metavar="CMD", help="what to run, after --")


def run(args: argparse.Namespace) -> int:
    """Boot the guest; the status is the command's own."""
    from redbear_host.lab import guest, spares

    devices = tuple(args.devices or ("nvme",))
    if len(set(devices)) < len(devices):
        raise ConfigError("a card can be given once", "leave out the repeated --device")
    cards = [spares.spare(name) for name in devices]
    if args.disk is not None:
        if not args.disk.is_file():
            raise ConfigError(
                f"--disk {args.disk}: there is no such file", f"truncate -s 64M {args.disk}"
            )
        if not any(card.disk for card in cards):
            raise ConfigError("--disk needs a card with a disk", "add --device nvme")
    if not args.timeout > 0:
        raise ConfigError(
            f"--timeout {args.timeout:g}: the guest needs time to boot", "give seconds"
        )
    return guest.run(
        args.command,
        guest.GuestOptions(
            devices=devices,
            disk=args.disk,
            exchange=None if args.exchange is None else args.exchange.absolute(),
            timeout=args.timeout,
            verbose=args.verbose > 0,
        ),
    )
