"""`redbear-host input keymap NAME`: chooses the layout of the keyboard."""

from __future__ import annotations

import argparse
from typing import Final

from redbear_host.cli import desk
from redbear_host.toml_table import did_you_mean

HELP: Final = "type with another layout; without a name, list those there are"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="the layout's name")


def run(args: argparse.Namespace) -> int:
    """Choose, or list; the one in use has a star."""
    lines = desk.look(args.mount)
    names = [one["name"] for one in desk.all_of(lines, "layout")]
    (used,) = desk.all_of(lines, "keymap")
    if not args.name:
        for name in names:
            print(f"{'*' if name == used['name'] else ' '} {name}")
        return 0
    hint = did_you_mean(args.name, names) or "list them with: redbear-host input keymap"
    desk.say(args.mount, "keymap", args.name, hint)
    return 0
