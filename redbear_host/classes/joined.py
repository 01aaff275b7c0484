"""A TAP that has been joined to a network card: Linux's network at the other end of a descriptor.

Ref: Linux, Documentation/networking/tuntap.rst; uapi linux/if_tun.h, linux/if.h, linux/sockios.h,
linux/stat.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from redbear_host import linux
from redbear_host.abi import errno as e
from redbear_host.errors import Refused

TUNGETIFF: Final = 0x8004_54D2
TUNSETCARRIER: Final = 0x4004_54E2
SIOCGIFHWADDR: Final = 0x8927

_DEVICE: Final = [10, 200]  # /dev/net/tun: misc, TUN_MINOR
_AT_EMPTY_PATH: Final = 0x1000  # linux/fcntl.h
_AT_STATX_DONT_SYNC: Final = 0x4000
_STATX: Final = struct.Struct("=28xH98xII120x")  # stx_mode, stx_rdev_major, stx_rdev_minor
_IFF_TYPE: Final = 0x000F
_IFF_TAP: Final = 0x0002
_IFF_VNET_HDR: Final = 0x4000
_IFREQ: Final = struct.Struct("16sH22x")  # name, flags
_ADDRESS_AT: Final = 18  # of ifr_hwaddr.sa_data
_MAC: Final = 6

# The interface has been deleted, or its namespace has.
_GONE: Final = (errno.EBADFD, errno.ENODEV, errno.EBADF)


class Joined:
    """One TAP, and on whose behalf it is joined.  Its descriptor is this object's to close."""

    def __init__(self, fd: int, by: str, mac: bytes | None = None) -> None:
        """Check it; `Refused` (EINVAL) for what is no TAP of frames, and it is not taken."""
        self.name: Final = _name(fd)
        self.fd: Final = fd
        self.by: Final = by
        self.mac = mac  # the address that the card is to have meanwhile; None: its own
        self.gone = False
        self.dropped = 0  # frames that it has refused
        self._carrier: bool | None = None
        os.set_blocking(fd, False)

    @property
    def address(self) -> bytes:
        """The interface's own hardware address; empty once it is gone."""
        try:
            found = fcntl.ioctl(self.fd, SIOCGIFHWADDR, bytes(_IFREQ.size))
        except OSError:
            return b""
        return found[_ADDRESS_AT : _ADDRESS_AT + _MAC]

    def set_carrier(self, on: bool) -> None:
        """Tell Linux whether there is a wire."""
        if on is not self._carrier:
            self._carrier = on
            with suppress(OSError):  # it is gone, which its descriptor says as well
                fcntl.ioctl(self.fd, TUNSETCARRIER, struct.pack("=i", on))

    def write(self, frames: Sequence[memoryview]) -> None:
        """Pass frames on to Linux; those it does not take are lost, and counted."""
        fd, write = self.fd, os.write
        for frame in frames:
            try:
                write(fd, frame)
            except OSError as error:  # no room, or the interface is down
                self.dropped += 1
                if error.errno in _GONE:
                    self.gone = True
                    return

    def close(self) -> None:
        """Let it go."""
        os.close(self.fd)


def _name(fd: int) -> str:
    """Return the interface's name; `Refused` (EINVAL) if the descriptor is no TAP's."""
    # Not fstat(2): a file of FUSE would ask its server, which may be ourselves, or answer never.
    found = bytearray(_STATX.size)
    try:
        linux.statx(fd, "", _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, found)
    except OSError:
        raise Refused(e.EINVAL, "nobody knows what this is") from None
    mode, *device = _STATX.unpack(found)
    if not stat.S_ISCHR(mode) or device != _DEVICE:
        raise Refused(e.EINVAL, "this is no TAP")
    try:
        name, flags = _IFREQ.unpack(fcntl.ioctl(fd, TUNGETIFF, bytes(_IFREQ.size)))
    except OSError:
        raise Refused(e.EINVAL, "this TAP has no interface") from None
    # IFF_NO_PI cannot be seen: TUNGETIFF has IFF_NOFILTER in its place.
    if flags & _IFF_TYPE != _IFF_TAP or flags & _IFF_VNET_HDR:
        raise Refused(e.EINVAL, "a TAP of bare frames is needed: IFF_TAP | IFF_NO_PI")
    text: str = name.rstrip(b"\0").decode("ascii", "replace")
    return text
