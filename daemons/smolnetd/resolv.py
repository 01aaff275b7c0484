"""The name servers, in memory that the shim keeps: a successor knows them too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from daemons.smolnetd.addresses import address
from redbear_host.errors import Refused

SERVERS_MOST: Final = 8
DEFAULT: Final = ("8.8.8.8",)  # Redox's
_BYTES_MOST: Final = 4096


class Resolv:
    """A list of addresses behind a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd: Final = fd
        self._servers = self._load() or DEFAULT

    @staticmethod
    def create() -> int:
        """Make the memory; the descriptor is what a successor takes."""
        return os.memfd_create("nameservers", os.MFD_CLOEXEC)

    @property
    def servers(self) -> Sequence[str]:
        """The addresses to ask, in order."""
        return self._servers

    def set(self, servers: Sequence[str]) -> None:
        """Ask these from now on; none means the default."""
        self._servers = tuple(servers) or DEFAULT
        text = "".join(f"{server}\n" for server in self._servers).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text, 0)

    def _load(self) -> tuple[str, ...]:
        text = os.pread(self._fd, _BYTES_MOST, 0).decode("ascii", "replace")
        try:
            return tuple(address(line)[1] for line in text.splitlines())
        except Refused:  # a predecessor died while it wrote
            return ()
