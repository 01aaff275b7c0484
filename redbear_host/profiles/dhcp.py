"""The DHCP client as netctl sees it: the scheme `dhcp`, or a command that a hook names."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
from pathlib import Path
from typing import Final

from redbear_host.errors import ConfigError, TransportError


class DhcpScheme:
    """`/scheme/dhcp`, one file for each adapter."""

    def __init__(self, root: Path) -> None:
        self._root: Final = root

    @property
    def exists(self) -> bool:
        """Whether the scheme is there."""
        return self._root.is_dir()

    def facts(self, adapter: str) -> dict[str, str]:
        """Return what it says of an adapter; of keys that are there twice, the last."""
        try:
            lines = (self._root / adapter).read_text().splitlines()
        except OSError:
            return {}
        return {key: value for key, _, value in (line.partition("=") for line in lines)}

    def why(self) -> dict[str, str]:
        """Return for each adapter who said how it is to be set up."""
        try:
            names = sorted(os.listdir(self._root))
        except OSError:
            return {}
        return {name: self.facts(name).get("why", "") for name in names}

    def say(self, adapter: str, command: str) -> None:
        """Write a command; `TransportError` when it is not taken."""
        path = self._root / adapter
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, f"{command}\n".encode())
            finally:
                os.close(fd)
        except FileNotFoundError:
            raise ConfigError(f"dhcpd knows no adapter {adapter}", f"see ls {self._root}") from None
        except OSError as error:
            hint = "run it with sudo" if error.errno in (errno.EACCES, errno.EPERM) else ""
            raise TransportError(
                f"{path} does not take {command!r}: {error.strerror}", hint
            ) from error


class DhcpCommand:
    """A program that is started with the adapter's name, and goes on running."""

    def __init__(self, command: str) -> None:
        try:
            self._words: Final = shlex.split(command)
        except ValueError as error:
            raise ConfigError(f"REDBEAR_DHCPD_CMD is no command: {error}") from error

    def start(self, adapter: str) -> subprocess.Popen[bytes]:
        """Start it."""
        try:
            return subprocess.Popen(
                [*self._words, adapter],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise TransportError(
                f"{self._words[0]} cannot be started: {error.strerror}", "see REDBEAR_DHCPD_CMD"
            ) from error
