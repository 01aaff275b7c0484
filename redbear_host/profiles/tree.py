"""The scheme `netcfg` as files: values read and written by plain Linux calls."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from redbear_host.errors import ConfigError, TransportError
from redbear_host.profiles.setting import Write, is_ipv4

_NONE: Final = "Not configured"


class Tree:
    """netcfg below `root`; with `bare`, a folder whose files are made as they are written."""

    def __init__(self, root: Path, bare: bool = False) -> None:
        self._root: Final = root
        self._bare: Final = bare

    def adapters(self) -> list[str]:
        """Name the adapters."""
        try:
            return sorted(os.listdir(self._root / "ifaces"))
        except OSError:
            return []

    def check(self, adapter: str) -> None:
        """Raise `ConfigError` unless there is such an adapter; a bare folder may have any."""
        found = self.adapters()
        if self._bare or adapter in found:
            return
        if not found:
            hint = "start a network card's daemon: redbear-host up --device …"
            raise ConfigError(f"there is no adapter {adapter}: {self._root} has none", hint)
        raise ConfigError(f"there is no adapter {adapter}", f"there are: {', '.join(found)}")

    def addresses(self, adapter: str) -> list[str]:
        """Return an adapter's addresses, `10.0.0.2/24`, but for those of IPv6's link."""
        try:
            text = (self._root / "ifaces" / adapter / "addr" / "list").read_text()
        except (OSError, UnicodeDecodeError):
            return []
        lines = [line.strip() for line in text.splitlines()]
        return [
            line
            for line in lines
            if line not in ("", _NONE) and not line.lower().startswith("fe80:")
        ]

    def nameservers(self) -> str:
        """Return the nameservers, as they stand there."""
        try:
            return " ".join((self._root / "resolv" / "nameserver").read_text().split())
        except (OSError, UnicodeDecodeError):
            return ""

    def apply(self, found: Iterable[Write]) -> None:
        """Write values, each committed before the next; `TransportError` for one not taken."""
        for path, value in found:
            try:
                self._write(path, value)
            except FileExistsError:
                continue  # it is there already
            except OSError as error:
                hint = "run it with sudo" if error.errno in (errno.EACCES, errno.EPERM) else ""
                raise TransportError(
                    f"{self._root / path} does not take {value!r}: {error.strerror}", hint
                ) from error

    def clear(self, adapter: str, given: Sequence[str] = ()) -> None:
        """Take an adapter's IPv4 addresses away, and those given: others of IPv6 are the network's.

        Where they cannot be listed, those given are all there are.
        """
        there = self.addresses(adapter)
        gone = [one for one in there if is_ipv4(one) or one in given] or list(given)
        self.apply(Write(f"ifaces/{adapter}/addr/rm", address) for address in gone)

    def drop_default(self) -> None:
        """Take the default route away, if there is one."""
        with suppress(OSError):
            self._write("route/rm", "default")

    def _write(self, path: str, value: str) -> None:
        target = self._root / path
        flags = os.O_WRONLY | os.O_CLOEXEC
        if self._bare:
            target.parent.mkdir(parents=True, exist_ok=True)
            flags |= os.O_CREAT | os.O_TRUNC
        fd = os.open(target, flags, 0o644)
        try:
            os.write(fd, f"{value}\n".encode())
            os.fsync(fd)
        finally:
            os.close(fd)
