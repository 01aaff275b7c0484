"""`redbear-host ls`: what a scheme holds."""

from __future__ import annotations

import argparse
import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from redbear_host.cli.place import add_mount, failed, file_of

HELP: Final = "list the schemes, or what is in one"

_KINDS: Final = {stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFREG: "file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("path", nargs="?", default=":", help="/scheme/NAME/PATH or NAME:PATH; default: all schemes")
    add("-l", "--long", action="store_true", help="show modes, owners and sizes")
    add("--json", action="store_true", help="print JSON")
    add_mount(parser)


def run(args: argparse.Namespace) -> int:
    """Print the names, sorted."""
    target = file_of(args.path, args.mount)
    try:
        found = _entries(target)
    except OSError as error:
        failed(args.path, args.mount, error)
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for entry in found:
        print(_long(entry) if args.long else entry["name"])
    return 0


def _entries(target: Path) -> list[dict[str, Any]]:
    if not stat.S_ISDIR(os.stat(target).st_mode):
        return [_entry(target, target.name)]
    return [_entry(target / name, name) for name in sorted(os.listdir(target))]


def _entry(path: Path, name: str) -> dict[str, Any]:
    """Describe a name; one that others may not look at, or that has just gone, is a name still."""
    try:
        found = os.lstat(path)
    except (PermissionError, FileNotFoundError):
        return {"name": name, "kind": "unknown", **dict.fromkeys(("mode", "uid", "gid", "size"))}
    return {
        "name": name,
        "kind": _KINDS.get(stat.S_IFMT(found.st_mode), "other"),
        "mode": stat.filemode(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
    }


def _long(entry: dict[str, Any]) -> str:
    shown = {key: "?" if value is None else value for key, value in entry.items()}
    return "{mode:<10} {uid:>5} {gid:>5} {size:>12} {name}".format(**shown)
