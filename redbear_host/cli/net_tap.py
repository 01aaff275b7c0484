"""`redbear-host net tap`: lets any Linux program use a card that our driver drives.

A TAP interface is made in a network namespace and handed to the driver, which moves frames between
it and the card by itself.  This process only holds both ends together: when the driver has been
restarted it hands the TAP over again, and when it ends, the interface goes.
"""

from __future__ import annotations

import argparse
import errno
import os
import select
import signal
import time
from ipaddress import ip_interface
from pathlib import Path
from typing import Final

from redbear_host import tap
from redbear_host.cli import cards
from redbear_host.cli.arguments import path_argument
from redbear_host.client.frames import Frames
from redbear_host.config import RUN_DIR
from redbear_host.errors import ConfigError, TransportError

HELP: Final = "give a network namespace an interface on a card, until Ctrl-C"

_ANY_NAME: Final = "rb%d"
_LOOK_MS: Final = 1000  # between two looks whether the interface is still there
_TRIES: Final = 8  # drivers that die one after another while they are handed the TAP


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "name", nargs="?", default="", metavar="NAME", help="the card; may be left out if it is one"
    )
    add(
        "--netns",
        default="",
        metavar="NS",
        help="a namespace's name or a process in it; default: this one",
    )
    add(
        "--name",
        dest="interface",
        default=_ANY_NAME,
        metavar="IF",
        help="the interface's name; default: rb0, rb1, …",
    )
    add(
        "--address",
        action="append",
        default=[],
        metavar="CIDR",
        help="an address with its prefix length; may be repeated",
    )
    add(
        "--run-dir", type=path_argument, default=RUN_DIR, metavar="DIR", help="default: %(default)s"
    )


def run(args: argparse.Namespace) -> int:
    """Join the card, and again whenever its driver was restarted; 0 when asked to end."""
    addresses = [_address(text) for text in args.address]
    if args.interface != _ANY_NAME and not tap.is_interface(args.interface):
        raise ConfigError(
            f"{args.interface!r} cannot be an interface's name",
            "up to 15 characters without / or :",
        )
    if os.geteuid() != 0:
        raise ConfigError("only root may join a network card", "run it with sudo")
    folder = cards.folder_of(args.name, args.mount)
    mac = cards.read(folder / "mac")
    os.environ["REDBEAR_RINGS"] = str(args.run_dir / "ring")
    os.environ["REDBEAR_SCHEME"] = str(args.mount)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tap.make(args.interface, args.netns, addresses, mac) as made:
        where = f" in the network namespace {args.netns}" if args.netns else ""
        try:
            with _joined(folder, made.fd) as card:
                shown = ", ".join(["", *map(str, addresses)])
                print(f"{made.name}{where} is {folder.name} ({mac.hex(':')}{shown})", flush=True)
                _wait(card, made)
            while True:
                began = time.monotonic()
                with _joined(folder, made.fd) as card:
                    took = round((time.monotonic() - began) * 1000)
                    print(
                        f"{made.name}: the driver was restarted, joined again after {took} ms",
                        flush=True,
                    )
                    _wait(card, made)
        except KeyboardInterrupt:
            print(f"{made.name}{where} is taken back", flush=True)
    return 0


def _address(text: str) -> tap.Address:
    try:
        if "/" not in text:
            raise ValueError
        return ip_interface(text)
    except ValueError:
        raise ConfigError(
            f"--address {text}: this is no address with a prefix length",
            "write for example 192.0.2.1/24",
        ) from None


def _joined(folder: Path, fd: int) -> Frames:
    """Open the card and hand it the TAP; waits while its driver is being restarted."""
    for left in reversed(range(_TRIES)):
        card = None
        try:
            card = Frames(f"/scheme/{folder.name}")
            card.join(fd)
        except OSError as error:
            if card is not None:
                card.close()
            if error.errno != errno.EIO or not left:  # else the driver died over this
                raise TransportError(
                    f"{folder.name} cannot be joined: {error.strerror}",
                    "redbear-host status says what became of it; --run-dir names another instance",
                ) from error
        else:
            return card
    raise TransportError(f"{folder.name} cannot be joined")  # not reached: the last turn ends


def _wait(card: Frames, made: tap.Tap) -> None:
    """Wait until the driver has died; `TransportError` once the interface is there no more."""
    driver, interface = select.poll(), select.poll()
    driver.register(card.fileno(), select.POLLIN)
    interface.register(made.fd, 0)  # its frames are the driver's affair
    while not card.ended:
        if interface.poll(0):  # POLLERR; Linux wakes nobody for it, so it is looked at
            raise TransportError(
                f"the interface {made.name} has been removed by somebody else",
                "make it again with: redbear-host net tap",
            )
        driver.poll(_LOOK_MS)
