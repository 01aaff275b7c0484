"""`redbear-host orbital`: the windows and screens of the desktop, and pictures of them."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

from redbear_host.cli import tables
from redbear_host.cli.arguments import path_argument
from redbear_host.cli.place import add_mount, failed
from redbear_host.errors import ConfigError

HELP: Final = "show the desktop's windows and screens, take pictures of them"

_SCHEME: Final = "orbital.ctl"
_STDOUT: Final = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_mount(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)

    shot = actions.add_parser("screenshot", help="write what a screen or a window shows as PNG")
    shot.add_argument("file", type=path_argument, metavar="FILE.png", help="or - for the output")
    which = shot.add_mutually_exclusive_group()
    which.add_argument(
        "--display", default="0", metavar="N", help="a screen, by number or name; default: 0"
    )
    which.add_argument("--window", metavar="ID", help="a window, whatever lies over it")

    for name, text in (("windows", "frontmost first"), ("displays", "and their sizes")):
        listing = actions.add_parser(name, help=f"list the {name}, {text}")
        listing.add_argument("--json", action="store_true", help="print JSON")

    mode = actions.add_parser("mode", help="give a screen another size")
    mode.add_argument("display", metavar="DISPLAY", help="by number or name")
    mode.add_argument("size", metavar="WxH")

    for name, text in (
        ("focus", "bring a window to the front"),
        ("minimise", "put a window away"),
        ("close", "ask a window to close"),
    ):
        order = actions.add_parser(name, help=text)
        order.add_argument("window", metavar="ID")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    folder: Path = args.mount / _SCHEME
    match args.action:
        case "screenshot":
            _screenshot(args, folder)
        case "windows" | "displays":
            _list(args, folder)
        case "mode":
            _order(args, folder, f"mode {args.display} {args.size}", _sizes(args, folder))
        case _:
            hint = "list them with: redbear-host orbital windows"
            _order(args, folder, f"{args.action} {args.window}", hint)
    return 0


def _screenshot(args: argparse.Namespace, folder: Path) -> None:
    name = f"window/{args.window}.png" if args.window else f"screenshot/{args.display}.png"
    try:
        picture = (folder / name).read_bytes()
    except OSError as error:
        _failed(args, folder, name, error)
    if str(args.file) == _STDOUT:
        sys.stdout.buffer.write(picture)
        return
    try:
        args.file.write_bytes(picture)
    except OSError as error:
        raise ConfigError(
            f"{args.file} cannot be written: {error.strerror}", "name another file"
        ) from error


def _list(args: argparse.Namespace, folder: Path) -> None:
    found = _read(args, folder, f"{args.action}.json")
    if args.json:
        print(json.dumps(found, indent=2))
        return
    row = _window if args.action == "windows" else _display
    for line in tables.set_out([row(one) for one in found]):
        print(line)


def _read(args: argparse.Namespace, folder: Path, name: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads((folder / name).read_text(encoding="utf-8"))
    except OSError as error:
        _failed(args, folder, name, error)
    return found


def _window(found: dict[str, Any]) -> list[str]:
    state = "focused" if found["focused"] else "minimised" if found["minimised"] else ""
    size = f"{found['width']}x{found['height']}"
    title = "".join(c if c.isprintable() else "?" for c in found["title"])
    place, whose = f"{found['x']},{found['y']}", f"process {found['pid']}"
    return [str(found["id"]), size, place, state, whose, title]


def _display(found: dict[str, Any]) -> list[str]:
    size = f"{found['width']}x{found['height']}"
    place, scale = f"{found['x']},{found['y']}", f"{found['scale']:.0%}"
    return [str(found["number"]), found["name"], size, place, scale]


def _sizes(args: argparse.Namespace, folder: Path) -> str:
    """Say what sizes a screen can have."""
    for found in _read(args, folder, "displays.json"):
        if args.display in (str(found["number"]), found["name"]):
            return f"it can have: {' '.join(found['modes'])}"
    return "list them with: redbear-host orbital displays"


def _order(args: argparse.Namespace, folder: Path, order: str, hint: str) -> None:
    control = folder / "control"
    try:
        with open(control, "wb", buffering=0) as file:
            file.write(order.encode())
    except OSError as error:
        if not os.path.isdir(folder) or error.errno == errno.EACCES:
            _failed(args, folder, "control", error)
        raise ConfigError(f"{order!r} cannot be done: {error.strerror}", hint) from error


def _failed(args: argparse.Namespace, folder: Path, name: str, error: OSError) -> NoReturn:
    """Say what is not there: the desktop, or only this of it."""
    if isinstance(error, FileNotFoundError) and os.path.isdir(folder):
        what = "windows" if name.startswith("window/") else "displays"
        raise ConfigError(
            f"the desktop has no {name}", f"see what there is: redbear-host orbital {what}"
        ) from None
    failed(f"{_SCHEME}:{name}", args.mount, error)
