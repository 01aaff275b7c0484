"""A terminal of the scheme `pty` with a program on it, and what it has drawn there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from orbital.programs.emulator import Emulator
from redbear_host.errors import TransportError
from redbear_host.terminals import Master

__all__ = ["Terminal"]

_KIND: Final = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
_PIECE: Final = 65536
_AT_ONCE: Final = 16  # pieces that are read before the screen is drawn
_TYPED_MOST: Final = 1 << 20  # bytes kept for a program that does not read


class Terminal:
    """A program, its terminal, and `screen` as the program has drawn it."""

    def __init__(self, scheme: Path, command: list[str], columns: int, rows: int) -> None:
        """Start `command` on a new terminal of the scheme mounted at `scheme`."""
        self.screen: Final = Emulator(columns, rows, self.type)
        try:
            self._master: Final = Master(scheme, os.O_NONBLOCK)
        except OSError as error:
            raise TransportError(
                f"there is no terminal at {scheme}: {error.strerror}", "is redbear-host up?"
            ) from error
        self.fd: Final = self._master.fd
        self._typed = bytearray()
        try:
            self._master.resize(columns, rows)
            self._program: Final = self._master.start(command, {**os.environ, **_KIND})
        except BaseException:
            self._master.close()
            raise

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size; its program hears of it."""
        self.screen.resize(columns, rows)
        self._master.resize(columns, rows)

    def read(self) -> bool:
        """Take what the program has written; False once it has closed its terminal."""
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(self.fd, _PIECE)
            except BlockingIOError:
                return True
            except OSError:  # the daemon behind it has died: it is hung up
                return False
            if not packet:
                return False
            self.screen.feed(packet[1:])  # the first byte says what kind of packet it is
        return True

    def type(self, data: bytes) -> None:
        """Give the program input; what it has no room for is kept, and lost beyond 1 MiB."""
        if len(self._typed) + len(data) <= _TYPED_MOST:
            self._typed += data
        self.flush()

    def flush(self) -> bool:
        """Pass on what is kept; tell whether all of it went."""
        while self._typed:
            try:
                del self._typed[: os.write(self.fd, self._typed)]
            except BlockingIOError:
                return False
            except OSError:
                self._typed.clear()
        return True

    def close(self) -> int:
        """Hang up; return the program's exit status, 128 and the signal if one ended it."""
        self._master.close()
        try:
            status = self._program.wait(2)
        except subprocess.TimeoutExpired:
            self._program.kill()
            status = self._program.wait()
        return status if status >= 0 else 128 - status
