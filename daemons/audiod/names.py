"""How programs are called."""

from __future__ import annotations

import os
from typing import Final

_NAME_MOST: Final = 64  # bytes: Linux keeps 15


class Names:
    """Looks processes up; `proc` is a descriptor of /proc, opened before we are locked in."""

    def __init__(self, proc: int) -> None:
        self._proc: Final = proc

    def of(self, pid: int) -> str:
        """Return what Linux calls a process; nothing for one that has ended."""
        try:
            fd = os.open(f"{pid}/comm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        except OSError:
            return ""
        try:
            return os.read(fd, _NAME_MOST).decode("utf-8", "replace").rstrip("\n")
        except OSError:  # it has ended meanwhile
            return ""
        finally:
            os.close(fd)
