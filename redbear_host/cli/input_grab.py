"""`redbear-host input grab`: takes Linux's input devices again, or lets go of them."""

from __future__ import annotations

import argparse
from typing import Final

from redbear_host.cli import desk

HELP: Final = "take the devices that were named again, after Ctrl+Alt+Backspace; or let go of them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", nargs="?", default="on", choices=("on", "off"), help="default: on")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    desk.say(args.mount, "grab", "1" if args.what == "on" else "0", "write on or off")
    return 0
