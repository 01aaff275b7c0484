"""What Python would otherwise look for in files after there are none.

A daemon's crash must reach its log in full, and its last lines must carry the local time.
"""

from __future__ import annotations

# What a traceback, a warning or a codec imports when it is first needed.
import encodings.ascii
import encodings.latin_1
import encodings.unicode_escape  # noqa: F401
import linecache  # noqa: F401
import logging
import signal
import sys
import time
import traceback  # noqa: F401
import warnings  # noqa: F401
from collections.abc import Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter
from types import ModuleType
from typing import NoReturn


class _Late:
    """Says what is wrong, where Python would say that there is no such module."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> NoReturn:
        raise ImportError(
            f"{fullname} is imported after the daemon was locked in: import it at the top of the "
            "module that needs it",
            name=fullname,
        )


def prepare() -> None:
    """Read what the log needs, while there are files."""
    time.localtime()  # /etc/localtime, once


def close() -> None:
    """Let nothing be imported from files any more, nor a signal start a handler of Python's."""
    logging.logProcesses = False  # a system call for each line of the log, and nobody prints it
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, _Late()]
