"""The tree of what is served, as `up` prints it at its end."""

from __future__ import annotations

import os
import stat
import textwrap
from collections.abc import Collection
from pathlib import Path
from typing import Final

_WIDTH: Final = 100


def tree(mount: Path, shown: Collection[str]) -> list[str]:
    """Return the lines: the schemes `shown` with a level of names below each, and the rest named.

    Those are the user's own devices; the rest is there every time.
    """
    lines = [str(mount)]
    schemes = sorted(os.listdir(mount))
    rest = [name for name in schemes if name not in shown]
    for name in schemes:
        if name in shown:
            lines.append(f"├── {name}")
            lines += _below(mount / name)
    first, *more = textwrap.wrap(" ".join(rest), _WIDTH - 4, break_on_hyphens=False) or [""]
    return [*lines, f"└── {first}", *(f"    {line}" for line in more)]


def _below(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    names = sorted(os.listdir(path))
    lines = [f"│   ├── {name}{_size(path / name)}" for name in names]
    return [*lines[:-1], lines[-1].replace("├", "└", 1)] if lines else []


def _size(path: Path) -> str:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size < 1 << 20:
        return ""
    return f"  ({found.st_size / (1 << 20):.4g} MiB)"
