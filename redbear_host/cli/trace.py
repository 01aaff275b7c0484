"""`redbear-host trace`: live calls of a scheme, live register accesses of a device."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from typing import Any, Final

from redbear_host.bdf import Bdf
from redbear_host.cli.place import add_mount, failed
from redbear_host.errors import ConfigError
from redbear_host.hw.pci.header import display_name

HELP: Final = "show each call of a scheme, or each register access of a device, as it happens"

_CHUNK: Final = 1 << 16
_CALL: Final = re.compile(
    r"(?P<time>[0-9.]+) (?P<operation>\S+) (?P<where>.*?)(?: (?P<size>\d+) at (?P<offset>\d+))? "
    r"pid (?P<pid>\d+) = (?P<result>\S+) \((?P<us>[0-9.]+) us\)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("what", metavar="SCHEME|DEVICE", help="a scheme's name, or a PCI address that is driven")
    add("-n", "--count", type=int, metavar="N", help="end after N lines")
    add("--json", action="store_true", help="print a JSON object a line")
    add_mount(parser)


def run(args: argparse.Namespace) -> int:
    """Copy /scheme/trace/NAME until Ctrl-C, or --count lines.

    A device's daemon is restarted for it, and again at the end; its clients only wait a moment.
    """
    if args.count is not None and args.count < 1:
        raise ConfigError(f"--count {args.count}: at least one line is needed", "leave it out")
    path = args.mount / "trace" / _name(args.what)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        failed(f"/scheme/trace/{path.name}", args.mount / "trace", error)
    left = args.count
    rest = b""
    try:
        while left is None or left > 0:
            try:
                data = os.read(fd, _CHUNK)
            except OSError as error:
                failed(f"/scheme/trace/{path.name}", args.mount / "trace", error)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            if left is not None:
                lines = lines[:left]
                left -= len(lines)
            for line in lines:
                text = line.decode("utf-8", "backslashreplace")
                print(json.dumps(_object(text)) if args.json else text)
            sys.stdout.flush()
    finally:
        os.close(fd)
    return 0


def _name(what: str) -> str:
    """Return the name below /scheme/trace: a PCI address becomes Redox's name of it."""
    try:
        return display_name(Bdf.parse(what))
    except ConfigError:
        return what.removeprefix("/scheme/").rstrip(":")


def _object(line: str) -> dict[str, Any]:
    found = _CALL.fullmatch(line)
    if found is None:
        return {"line": line}
    result = found["result"]
    return {
        "time": float(found["time"]),
        "operation": found["operation"],
        "path": found["where"],
        "size": int(found["size"] or 0),
        "offset": int(found["offset"] or 0),
        "pid": int(found["pid"]),
        "result": int(result) if result.lstrip("-").isdigit() else result,
        "us": float(found["us"]),
    }
