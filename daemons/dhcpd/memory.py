"""What the next life of dhcpd must know: the leases, and what was asked of it.

One small file of the instance's, opened before the daemon is locked in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self

from daemons.dhcpd.lease import Lease
from redbear_host.profiles.setting import Address

_SIZE_MOST: Final = 1 << 18  # bytes


class Wish(StrEnum):
    """What was asked for an adapter."""

    AUTO = "auto"  # nothing: whatever the files of the user say
    START = "start"
    STOP = "stop"


@dataclass(frozen=True)
class Remembered:
    """What is known of one adapter; it means nothing if it has another hardware address now."""

    mac: bytes
    wish: Wish = Wish.AUTO
    why: str = ""  # who asked, in a few words
    nameservers: tuple[Address, ...] = ()  # to use in place of the server's
    lease: Lease | None = None


class Memory:
    """The file; one that cannot be understood is taken for an empty one."""

    def __init__(self, fd: int) -> None:
        self._fd: Final = fd
        self._adapters: Final[dict[str, Remembered]] = _read(os.pread(fd, _SIZE_MOST, 0))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file, or make it; others than root may not read it."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        return cls(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def get(self, adapter: str, mac: bytes) -> Remembered:
        """Return what is known of an adapter with this hardware address."""
        found = self._adapters.get(adapter)
        return found if found is not None and found.mac == mac else Remembered(mac)

    def put(self, adapter: str, remembered: Remembered) -> None:
        """Remember; a file that is torn by a crash in this moment is an empty one."""
        if self._adapters.get(adapter) == remembered:
            return
        self._adapters[adapter] = remembered
        text = json.dumps({name: _to_wire(one) for name, one in self._adapters.items()}).encode()
        os.pwrite(self._fd, text, 0)
        os.ftruncate(self._fd, len(text))

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _to_wire(one: Remembered) -> dict[str, Any]:
    lease = None if one.lease is None else one.lease.to_wire()
    return {
        "mac": one.mac.hex(),
        "wish": one.wish,
        "why": one.why,
        "nameservers": [str(server) for server in one.nameservers],
        "lease": lease,
    }


def _read(raw: bytes) -> dict[str, Remembered]:
    try:
        said = json.loads(raw)
        return {str(name): _from_wire(one) for name, one in said.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _from_wire(one: Mapping[str, Any]) -> Remembered:
    lease = None if one["lease"] is None else Lease.from_wire(one["lease"])
    return Remembered(
        mac=bytes.fromhex(one["mac"]),
        wish=Wish(one["wish"]),
        why=str(one["why"]),
        nameservers=tuple(map(ip_address, one["nameservers"])),
        lease=lease,
    )
