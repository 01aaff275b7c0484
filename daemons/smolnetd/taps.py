"""TAPs for adapters to come: a daemon that is locked in can open no device, so it does before.

Ref: Linux, Documentation/networking/tuntap.rst; uapi linux/if_tun.h, linux/if.h.
"""

from __future__ import annotations

import fcntl
import os
from struct import Struct
from typing import Final

from redbear_host.errors import TransportError

_DEVICE: Final = "/dev/net/tun"
_TUNSETIFF: Final = 0x4004_54CA
_TAP_ALONE: Final = 0x0002 | 0x1000  # IFF_TAP, IFF_NO_PI: frames without flags before them
_IFREQ: Final = Struct("16sH22x")  # a name, flags


class Taps:
    """Open descriptors that are no interfaces yet; they become interfaces of this namespace."""

    def __init__(self, count: int) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._spare: Final = [os.open(_DEVICE, flags) for _ in range(count)]
        except OSError as error:
            raise TransportError(
                f"{_DEVICE} cannot be opened: {error.strerror}", "load it with: modprobe tun"
            ) from error

    def make(self) -> tuple[int, str] | None:
        """Make the next `ethN`; return its descriptor and name, or None if there is no more room.

        The descriptor is the caller's.  The interface goes with the last of its duplicates.
        """
        if not self._spare:
            return None
        tap = self._spare.pop()
        try:
            answer = fcntl.ioctl(tap, _TUNSETIFF, _IFREQ.pack(b"eth%d", _TAP_ALONE))
        except OSError:
            self._spare.append(tap)
            raise
        name: bytes = _IFREQ.unpack(answer)[0]
        return tap, name.rstrip(b"\0").decode()

    def close(self) -> None:
        """Close what was not needed."""
        for tap in self._spare:
            os.close(tap)
        self._spare.clear()
