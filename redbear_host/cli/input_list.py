"""`redbear-host input list`: terminals, displays and input devices."""

from __future__ import annotations

import argparse
import json
from typing import Final

from redbear_host.cli import desk, tables

HELP: Final = "list virtual terminals, displays, and the devices that are heard"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print a table for each kind of thing."""
    lines = desk.look(args.mount)
    (grab,) = desk.all_of(lines, "grab")
    (keymap,) = desk.all_of(lines, "keymap")
    terminals = desk.all_of(lines, "vt")
    displays, devices = desk.all_of(lines, "display"), desk.all_of(lines, "device")
    if args.json:
        layouts = [layout["name"] for layout in desk.all_of(lines, "layout")]
        found = {
            "keymap": keymap["name"],
            "keymaps": layouts,
            "grab": grab["wanted"] == "1",
            "terminals": [_typed(one) for one in terminals],
            "displays": [_typed(one) for one in displays],
            "devices": [_typed(one) for one in devices],
            "sources": [_typed(one) for one in desk.all_of(lines, "source")],
        }
        print(json.dumps(found, indent=2))
        return 0
    print(f"keymap {keymap['name']}")
    rows = [["VT", "ACTIVE", "PROCESS", "WAITING", "LOST"]]
    for one in terminals:
        active = "yes" if one["active"] == "1" else "no"
        rows.append([one["number"], active, one["pid"], one["waiting"], one["dropped"]])
    _print(rows, "no terminal is open")
    rows = [["DISPLAY", "KNOWN BY", "BEST"]]
    rows += [[one["name"], one["how"], "yes" if one["best"] == "1" else "no"] for one in displays]
    _print(rows, "")
    rows = [["DEVICE", "GRABBED", "NAME"]]
    for one in devices:
        rows.append([one["path"], "yes" if one["grabbed"] == "1" else "no", one["name"]])
    _print(rows, "no device of Linux is taken; try: redbear-host up --input /dev/input/eventN")
    return 0


def _typed(values: dict[str, str]) -> dict[str, str | int | bool]:
    """Return numbers as numbers, and what is yes or no as that."""
    found: dict[str, str | int | bool] = {}
    for key, value in values.items():
        if key in ("active", "best", "grabbed"):
            found[key] = value == "1"
        else:
            found[key] = int(value) if value.isdecimal() and key != "name" else value
    return found


def _print(rows: list[list[str]], none: str) -> None:
    if len(rows) > 1:
        print("\n".join(tables.set_out(rows)))
    elif none:
        print(none)
