"""`redbear-host vnc`: how to see the screen from elsewhere, and who does."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from redbear_host.cli import tables
from redbear_host.cli.place import add_mount, failed
from redbear_host.errors import ConfigError

HELP: Final = "show how VNC viewers and browsers get to the screen, and who looks at it"

SCHEME: Final = "vnc"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_mount(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    found = look(args.mount)
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    print("\n".join((*ways(found), *_viewers(found["viewers"]))))
    return 0


def look(mount: Path) -> dict[str, Any]:
    """Read what the scheme says."""
    try:
        found: dict[str, Any] = json.loads((mount / SCHEME).read_text())
    except FileNotFoundError:
        raise ConfigError(
            "no display for viewers is served", "start one with: redbear-host up --vnc"
        ) from None
    except OSError as error:
        failed(f"{SCHEME}:", mount, error)
    return found


def ways(found: dict[str, Any]) -> list[str]:
    """Return the lines that say how to get there."""
    rows = []
    if found["url"]:
        rows.append(["browser", found["url"]])
    if found["address"]:
        password = found["password"]
        asked = f"password {password}" if password else "no password"
        rows.append(["VNC viewer", f"vnc://{found['address']}, {asked}"])
    rows.append(["root's viewer", found["socket"]])
    return tables.set_out(rows)


def _viewers(viewers: list[dict[str, Any]]) -> list[str]:
    if not viewers:
        return ["nobody looks at it now"]
    rows = [["FROM", "BY", "SIZE", "ENCODING", "SECONDS", "SENT"]]
    for one in viewers:
        size = f"{one['width']}x{one['height']}" if one["in"] else "-"
        encoding = one["encoding"] or "-"
        rows.append(
            [one["from"], one["by"], size, encoding, f"{one['seconds']:.0f}", str(one["sent"])]
        )
    return tables.set_out(rows)
