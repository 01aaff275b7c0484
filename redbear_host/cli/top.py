"""`redbear-host top`: what the schemes are doing, live."""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from redbear_host.cli import tables
from redbear_host.cli.place import add_mount
from redbear_host.errors import ConfigError

HELP: Final = "show requests a second, latency, what waits, restarts and interrupts, live"

_CLEAR: Final = "\x1b[H\x1b[J"
_CLIENTS: Final = 12  # lines
_LONGEST_S: Final = 86_400
_COUNTS: Final = ("per_second", "latency_us", "pending", "handles")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("-d", "--delay", type=float, default=1.0, metavar="S", help="seconds between two looks")
    add("-n", "--count", type=int, metavar="N", help="end after N pictures; default: on Ctrl-C")
    add("--json", action="store_true", help="print a JSON object for each picture")
    add_mount(parser)


def run(args: argparse.Namespace) -> int:
    """Look again and again, and show what changed in between."""
    if not 0 < args.delay <= _LONGEST_S:
        raise ConfigError(
            f"--delay {args.delay:g}: some time has to pass, at most a day", "try --delay 1"
        )
    if args.count is not None and args.count < 1:
        raise ConfigError(f"--count {args.count}: at least one picture is needed", "leave it out")
    before = Look(args.mount)
    shown = 0
    while args.count is None or shown < args.count:
        if _asked_to_end(args.delay):
            break
        now = Look(args.mount)
        picture = now.since(before)
        if args.json:
            print(json.dumps(picture))
        else:
            clear = _CLEAR if os.isatty(sys.stdout.fileno()) else ""
            print(clear + "\n".join(_drawn(picture)))
        sys.stdout.flush()
        before = now
        shown += 1
    return 0


def _asked_to_end(seconds: float) -> bool:
    """Wait; True when `q` was typed meanwhile on a terminal."""
    if not (os.isatty(sys.stdin.fileno()) and os.isatty(sys.stdout.fileno())):
        time.sleep(seconds)
        return False
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and sys.stdin.readline().strip() in ("", "q")


class Look:
    """The counters at one moment."""

    def __init__(self, mount: Path) -> None:
        self.when: Final = time.monotonic()
        self.schemes: Final = {row["SCHEME"]: row for row in tables.read(mount, "sys/schemes")}
        self.clients: Final = {
            (row["SCHEME"], row["PID"]): row for row in tables.read(mount, "sys/clients")
        }
        self.irqs: Final = _irqs(mount)

    def since(self, before: Look) -> dict[str, Any]:
        """Return what happened between two looks, as rates."""
        span = max(self.when - before.when, 1e-3)
        schemes = []
        rates: dict[str, tuple[float, int]] = {}
        for name, row in self.schemes.items():
            old = before.schemes.get(name, {})
            calls = _grown(row, old, "CALLS")
            recorded, latency = _grown(row, old, "RECORDED"), _grown(row, old, "LATENCY_NS")
            rates[name] = (calls / span, recorded)
            schemes.append(
                {
                    "scheme": name,
                    "daemon": row["DAEMON"],
                    "state": row["STATE"],
                    "restarts": int(row["RESTARTS"]),
                    "per_second": round(calls / span, 1),
                    "latency_us": round(latency / recorded / 1000, 1) if recorded else None,
                    "pending": int(row["PENDING"]),
                    "handles": int(row["HANDLES"]),
                }
            )
        clients = []
        for (scheme, pid), row in self.clients.items():
            old = before.clients.get((scheme, pid), {})
            recorded, latency = _grown(row, old, "RECORDED"), _grown(row, old, "LATENCY_NS")
            rate, all_recorded = rates.get(scheme, (0.0, 0))
            share = recorded / all_recorded if all_recorded else 0.0
            clients.append(
                {
                    "scheme": scheme,
                    "pid": int(pid),
                    "uid": int(row["UID"]),
                    "name": row["NAME"],
                    "per_second": round(rate * share, 1),
                    "latency_us": round(latency / recorded / 1000, 1) if recorded else None,
                    "pending": int(row["PENDING"]),
                    "handles": int(row["HANDLES"]),
                }
            )
        irqs = {
            number: round((count - before.irqs.get(number, 0)) / span, 1)
            for number, count in self.irqs.items()
            if count
        }
        return {"seconds": round(span, 3), "schemes": schemes, "clients": clients, "irqs": irqs}


def _grown(row: Mapping[str, str], old: Mapping[str, str], key: str) -> int:
    return max(0, int(row[key]) - int(old.get(key, 0)))


def _irqs(mount: Path) -> dict[str, int]:
    lines = (mount / "sys/irq").read_text().splitlines()
    pairs = (line.split(": ") for line in lines)
    return {number: int(count) for number, count in pairs}


def _drawn(picture: dict[str, Any]) -> list[str]:
    """Set a picture out as text, cut to the terminal's width."""
    width = shutil.get_terminal_size().columns if os.isatty(sys.stdout.fileno()) else 1000
    busy = sorted(picture["schemes"], key=lambda one: -one["per_second"])
    lines = _table(busy, ("scheme", "daemon", "state", "restarts", *_COUNTS))
    clients = sorted(picture["clients"], key=lambda one: (-one["per_second"], -one["pending"]))
    if clients:
        keys = ("scheme", "pid", "uid", "name", *_COUNTS)
        lines += ["", *_table(clients[:_CLIENTS], keys)]
    if picture["irqs"]:
        each = "  ".join(f"{number}: {rate}/s" for number, rate in picture["irqs"].items())
        lines += ["", f"interrupts  {each}"]
    return [line[:width] for line in lines]


def _table(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> list[str]:
    heads = [key.upper().replace("PER_SECOND", "CALLS/S").replace("_US", " us") for key in keys]
    cells = [["-" if row[key] is None else str(row[key]) for key in keys] for row in rows]
    return tables.set_out([heads, *cells])
