"""Terminals of the scheme `pty` for Linux's programs: a master, a size, a program on its slave."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from redbear_host.errors import ConfigError, TransportError

_TIOCGPTN: Final = 0x8004_5430


class Master:
    """A new terminal of the scheme mounted at `scheme`; closed, its programs get SIGHUP."""

    def __init__(self, scheme: Path, flags: int = 0) -> None:
        """Open it, with `flags` of Linux's besides; `OSError` where that cannot be."""
        self.fd: Final = os.open(scheme / "ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | flags)
        try:
            number = int.from_bytes(fcntl.ioctl(self.fd, _TIOCGPTN, bytes(4)), "little")
        except BaseException:
            os.close(self.fd)
            raise
        self._size: Final = scheme / f".{number}" / "winsize"
        self._slave: Final = scheme / str(number)

    def close(self) -> None:
        """Hang up."""
        os.close(self.fd)

    def resize(self, columns: int, rows: int) -> None:
        """Give it a size; its programs hear of it.  `OSError` once it is hung up."""
        with open(self._size, "wb", buffering=0) as file:
            file.write(struct.pack("=HH", rows, columns))

    def start(
        self, command: list[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program with the slave as its controlling terminal.

        `TransportError` where the slave cannot be opened, `ConfigError` for no such program.
        """
        try:
            end = os.open(self._slave, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as err:
            raise TransportError(
                f"{self._slave} cannot be opened: {err.strerror}",
                "it leads to /dev/pts, which must be the machine's here",
            ) from err
        try:
            return subprocess.Popen(
                command,
                stdin=end,
                stdout=end,
                stderr=end,
                start_new_session=True,
                preexec_fn=_take_terminal,
                env=environment,
            )
        except FileNotFoundError:
            raise ConfigError(f"there is no program {command[0]!r}", "see PATH") from None
        except OSError as err:
            raise ConfigError(f"{command[0]!r} cannot be run: {err.strerror}") from err
        finally:
            os.close(end)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
