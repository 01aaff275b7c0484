"""Tables of `/scheme/sys` and `/scheme/proc`, read back."""

from __future__ import annotations

from pathlib import Path

from redbear_host.cli.place import failed
from redbear_host.errors import TransportError


def read(mount: Path, name: str) -> list[dict[str, str]]:
    """Read a table whose first line names its columns; the last column may hold blanks."""
    path = mount / name
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        failed(f"/scheme/{name}", mount, error)
    if not lines:
        raise TransportError(f"{path} is empty", "see: redbear-host logs kernel")
    columns = lines[0].split()
    rows = (line.split(None, len(columns) - 1) for line in lines[1:])
    return [dict(zip(columns, row, strict=False)) for row in rows]


def set_out(rows: list[list[str]]) -> list[str]:
    """Set rows out in columns: numbers to the right, the rest to the left."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if cell[:1].isdigit() or cell == "-" else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
