"""What Python would otherwise look for in files after there are none.

A daemon's crash must reach its log in full, and its last lines must carry the local time.
"""

from __future__ import annotations

# What a traceback, a warning or a codec imports when it is first needed.
import encodings.ascii
import encodings.idna
import encodings.latin_1
import encodings.unicode_escape  # noqa: F401
import linecache  # noqa: F401
import sys
import time
import traceback  # noqa: F401
import warnings  # noqa: F401
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import BuiltinImporter, FrozenImporter
from types import ModuleType
from typing import NoReturn


class _Late(MetaPathFinder):
    """Says what is wrong, where Python would say that there is no such module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> NoReturn:
        raise ImportError(
            f"{fullname} is imported after the daemon was locked in: import it at the top of the "
            "module that needs it",
            name=fullname,
        )


def close() -> None:
    """Load what is needed later, and let nothing else be imported from files."""
    time.localtime()  # reads /etc/localtime, once
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, _Late()]
