"""`redbear-host input vt N`: shows another virtual terminal."""

from __future__ import annotations

import argparse
from typing import Final

from redbear_host.cli import desk

HELP: Final = "make a virtual terminal the active one, as Super+F1 to Super+F12 do"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("number", type=int, metavar="N", help="its number")


def run(args: argparse.Namespace) -> int:
    """Switch."""
    desk.say(args.mount, "vt", str(args.number), "see those there are: redbear-host input list")
    return 0
