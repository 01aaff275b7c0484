"""One terminal, seen from its master: bytes out of the kernel's pty and into it, never waiting.

Reads are packets, as on Redox: the first byte is 0 when data follows, 1 when the slave was flushed.
Linux's slaves are flushed by tcdrain(3), of which a master hears nothing, so it is always 0 here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import Final

from daemons.ptyd.opener import PTS
from redbear_host.abi import errno as e
from redbear_host.errors import Refused

KEPT: Final = 65536  # bytes read ahead for a client
_PIECE: Final = 16384

TCGETS, TCSETS = 0x5401, 0x5402
TIOCGPGRP: Final = 0x540F
TIOCGWINSZ, TIOCSWINSZ = 0x5413, 0x5414
TIOCSPTLCK: Final = 0x4004_5431
TIOCGPTLCK: Final = 0x8004_5439

_WINSIZE: Final = struct.Struct("=HHHH")  # rows, columns, and pixels nobody knows
_REDOX_WINSIZE: Final = struct.Struct("=HH")
TERMIOS_BYTES: Final = 36  # struct termios of asm-generic/termbits.h


class Terminal:
    """The master `fd` of terminal `number`, which `uid` opened; `close` it."""

    def __init__(self, number: int, fd: int, uid: int) -> None:
        self.number: Final = number
        self.fd: Final = fd
        self.uid: Final = uid
        self.ahead = bytearray()  # from the slave, not read by the client yet
        self.hung_up = False  # no slave is open any more
        self.watched = False  # the loop tells of what the slave writes
        os.set_blocking(fd, False)

    @property
    def link(self) -> str:
        """Where Linux has the slave."""
        return f"{PTS}/{self.number}"

    def pull(self) -> bool:
        """Read what the slave has written; False when nothing was there, or no slave is."""
        try:
            data = os.read(self.fd, min(_PIECE, KEPT - len(self.ahead)))
        except BlockingIOError:
            self.hung_up = False
            return False
        except OSError as err:
            if err.errno != errno.EIO:
                raise
            self.hung_up = True
            return False
        self.hung_up = False
        self.ahead += data
        return bool(data)

    def read(self, size: int) -> bytes:
        """Return a packet; empty when all slaves are closed; `Refused` EWOULDBLOCK."""
        if size < 2:
            raise Refused(e.EINVAL)  # no room for the first byte and another
        if not self.ahead and not self.pull():
            if self.hung_up:
                return b""
            raise Refused(e.EWOULDBLOCK)
        data = bytes(self.ahead[: size - 1])
        del self.ahead[: size - 1]
        return b"\0" + data

    def write(self, data: memoryview) -> int:
        """Type; as much as there is room for."""
        try:
            count = os.write(self.fd, data)
        except BlockingIOError:
            raise Refused(e.EWOULDBLOCK) from None
        except OSError as err:
            raise Refused(err.errno or e.EIO) from None
        if not count and len(data):
            raise Refused(e.EWOULDBLOCK)
        return count

    def close(self) -> None:
        """Hang up: programs on the slave get SIGHUP."""
        os.close(self.fd)

    # -- Redox's settings, by their names ----------------------------------------------------------

    def get(self, name: str) -> bytes:
        """Return a setting as its handle reads."""
        match name:
            case "winsize":
                rows, columns, _, _ = _WINSIZE.unpack(self._ioctl(TIOCGWINSZ, bytes(8)))
                return _REDOX_WINSIZE.pack(rows, columns)
            case "termios":
                return self._ioctl(TCGETS, bytes(TERMIOS_BYTES))
            case "pgrp":
                return self._ioctl(TIOCGPGRP, bytes(4))
            case "ptlock":
                return self._ioctl(TIOCGPTLCK, bytes(4))
        return self.link.encode()

    def put(self, name: str, data: bytes) -> int:
        """Change a setting; the programs on the slave hear of a new size (SIGWINCH)."""
        match name:
            case "winsize" if len(data) == _REDOX_WINSIZE.size:
                rows, columns = _REDOX_WINSIZE.unpack(data)
                self._ioctl(TIOCSWINSZ, _WINSIZE.pack(rows, columns, 0, 0))
            case "termios" if len(data) == TERMIOS_BYTES:
                self._ioctl(TCSETS, data)
            case "ptlock" if len(data) == 4:
                self._ioctl(TIOCSPTLCK, data)
            case "pgrp" | "ptsname":
                raise Refused(e.EPERM)
            case _:
                raise Refused(e.EINVAL)
        return len(data)

    def _ioctl(self, command: int, data: bytes) -> bytes:
        try:
            return fcntl.ioctl(self.fd, command, data)
        except OSError as err:
            raise Refused(err.errno or e.EIO) from None
