"""`redbear-host ps`: the processes of an instance and what they serve."""

from __future__ import annotations

import argparse
import json
from typing import Final

from redbear_host.cli import tables
from redbear_host.cli.place import add_mount

HELP: Final = "list the daemons as processes, with what they serve and how often they died"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_mount(parser)


def run(args: argparse.Namespace) -> int:
    """Join /scheme/proc/ps with /scheme/sys/context and /scheme/sys/schemes."""
    served: dict[str, list[str]] = {}
    restarts: dict[str, int] = {}
    for row in tables.read(args.mount, "sys/schemes"):
        served.setdefault(row["PID"], []).append(row["SCHEME"])
        restarts[row["PID"]] = int(row["RESTARTS"])
    found = [
        {
            "pid": int(row["PID"]),
            "uid": int(row["EUID"]),
            "status": row["STATUS"],
            "threads": int(row["NTHRD"]),
            "name": row["NAME"],
            "restarts": restarts.get(row["PID"], 0),
            "schemes": served.get(row["PID"], []),
        }
        for row in tables.read(args.mount, "proc/ps")
    ]
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    rows = [["PID", "UID", "STATUS", "THREADS", "RESTARTS", "NAME", "SCHEMES"]]
    for one in found:
        numbers = [str(one[key]) for key in ("pid", "uid", "status", "threads", "restarts")]
        rows.append([*numbers, str(one["name"]), " ".join(served.get(str(one["pid"]), []))])
    for line in tables.set_out(rows):
        print(line)
    return 0
