"""Going to the background: the terminal gets its prompt back once everything is up."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final


class Detached:
    """Two processes after a fork: the parent waits for the child's word and ends with it."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_CLOEXEC)
        sys.stdout.flush()
        sys.stderr.flush()
        self._child: Final = os.fork()
        os.close(self._write if self.parent else self._read)
        if not self.parent:
            os.setsid()

    @property
    def parent(self) -> bool:
        """True in the process that the user started."""
        return self._child != 0

    def outcome(self) -> int:
        """Wait until the child is up, or has failed (and has said why); return the exit status."""
        while True:
            try:
                if os.read(self._read, 1):
                    return 0
                break
            except KeyboardInterrupt:
                os.kill(self._child, 2)
        _, status = os.waitpid(self._child, 0)
        return os.waitstatus_to_exitcode(status)

    def up(self, log: Path) -> None:
        """Tell the parent, and leave the terminal: from here on everything goes to `log`."""
        sys.stdout.flush()
        sys.stderr.flush()
        null = os.open(os.devnull, os.O_RDONLY)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.dup2(null, 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(null)
        os.close(file)
        os.write(self._write, b"u")
        os.close(self._write)
