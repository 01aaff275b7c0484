"""The tree of what is served, as `up` prints it at its end."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def tree(mount: Path) -> list[str]:
    """Return the lines: schemes below `mount`, and one level of names below each."""
    lines = [str(mount)]
    schemes = sorted(os.listdir(mount))
    for index, name in enumerate(schemes):
        last = index == len(schemes) - 1
        lines.append(f"{'└── ' if last else '├── '}{name}")
        path = mount / name
        if not path.is_dir():
            continue
        below = sorted(os.listdir(path))
        for place, entry in enumerate(below):
            branch = "└── " if place == len(below) - 1 else "├── "
            lines.append(f"{'    ' if last else '│   '}{branch}{entry}{_size(path / entry)}")
    return lines


def _size(path: Path) -> str:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size < 1 << 20:
        return ""
    return f"  ({found.st_size / (1 << 20):.4g} MiB)"
