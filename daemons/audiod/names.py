"""How programs are called."""

from __future__ import annotations

import os
import re
from typing import Final

_STATUS_MOST: Final = 4096  # bytes; what is looked for stands in the first hundred
_STATUS: Final = re.compile(r"Name:\t(.*)\n(?:.*\n)*?Tgid:\t(\d+)\n")


class Names:
    """Looks processes up; `proc` is a descriptor of /proc, opened before we are locked in."""

    def __init__(self, proc: int) -> None:
        self._proc: Final = proc

    def of(self, task: int) -> tuple[int, str]:
        """Return a thread's process, and what Linux calls that; itself and "" when it has ended.

        Whoever calls through FUSE is known by its thread.
        """
        name, process = self._status(task)
        if process != task:
            name, process = self._status(process)
        return process, name

    def _status(self, task: int) -> tuple[str, int]:
        try:
            fd = os.open(f"{task}/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        except OSError:
            return "", task
        try:
            text = os.read(fd, _STATUS_MOST).decode("utf-8", "replace")
        except OSError:  # it has ended meanwhile
            return "", task
        finally:
            os.close(fd)
        found = _STATUS.match(text)
        return ("", task) if found is None else (found[1], int(found[2]))
