"""One of Linux's virtual terminals, taken for pictures and given back as a text console.

Ref: linux uapi linux/{vt,kd}.h; ioctl_console(2), ioctl_vt(2).  What is done here needs root, or
CAP_SYS_TTY_CONFIG, which a daemon that is locked in does not have.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from redbear_host.errors import ConfigError, TransportError

_VT_OPENQRY: Final = 0x5600
_VT_SETMODE: Final = 0x5602
_VT_GETSTATE: Final = 0x5603
_VT_RELDISP: Final = 0x5605
_VT_ACTIVATE: Final = 0x5606
_KDSETMODE: Final = 0x4B3A
_KDGKBMODE: Final = 0x4B44
_KDSKBMODE: Final = 0x4B45

_VT_AUTO: Final = 0
_VT_PROCESS: Final = 1
_VT_ACKACQ: Final = 2
_KD_TEXT: Final = 0
_KD_GRAPHICS: Final = 1
_K_OFF: Final = 4

_Mode: Final = struct.Struct("=bbhhh")  # struct vt_mode: mode, waitv, relsig, acqsig, frsig
_State: Final = struct.Struct("=HHH")  # struct vt_stat: v_active, v_signal, v_state
_NUMBER: Final = struct.Struct("=i")

_ANY: Final = Path("/dev/tty0")
MOST: Final = 63  # MAX_NR_CONSOLES


def exist() -> bool:
    """Tell whether this Linux has virtual terminals."""
    return _ANY.exists()


class Console:
    """A virtual terminal that shows pictures while it is `open`."""

    def __init__(self, number: int) -> None:
        """Look at terminal `number`; 0: the first that nobody uses.

        Nothing is changed before `take`.  `ConfigError` for one that there is not.
        """
        try:
            anyone = os.open(_ANY, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise TransportError(f"{_ANY} cannot be opened: {error.strerror}") from error
        try:
            self.previous: Final = _active(anyone)
            self.number: Final = number or _asked(anyone, _VT_OPENQRY)
        finally:
            os.close(anyone)
        if not 0 < self.number <= MOST:
            raise ConfigError(
                f"there is no virtual terminal {self.number}", f"they are numbered from 1 to {MOST}"
            )
        self._path: Final = f"/dev/tty{self.number}"
        try:
            self._fd: Final = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise TransportError(f"{self._path} cannot be opened: {error.strerror}") from error
        self._keyboard: Final = _asked(self._fd, _KDGKBMODE)

    def describe(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"number": self.number, "keyboard": self._keyboard, "previous": self.previous}

    def take(self, release: int, acquire: int) -> None:
        """Have signals sent to this thread when the terminal goes and comes, and go there.

        No key reaches the terminal's own line: what is typed at windows is nobody else's.
        """
        try:
            mode = _Mode.pack(_VT_PROCESS, 0, release, acquire, 0)
            fcntl.ioctl(self._fd, _VT_SETMODE, mode)
            fcntl.ioctl(self._fd, _KDSETMODE, _KD_GRAPHICS)
            fcntl.ioctl(self._fd, _KDSKBMODE, _K_OFF)
            self.switch_to(self.number)
        except OSError as error:
            raise TransportError(f"{self._path} cannot be taken: {error.strerror}") from error

    @property
    def is_active(self) -> bool:
        """Whether it is the one that is seen."""
        return _active(self._fd) == self.number

    def switch_to(self, number: int) -> None:
        """Ask Linux for another terminal; it asks whoever has the present one to let go."""
        fcntl.ioctl(self._fd, _VT_ACTIVATE, number)

    def let_go(self) -> None:
        """Allow the switch that the release signal asked about."""
        with suppress(OSError):  # it was taken back meanwhile
            fcntl.ioctl(self._fd, _VT_RELDISP, 1)

    def acknowledge(self) -> None:
        """Answer the acquire signal."""
        with suppress(OSError):
            fcntl.ioctl(self._fd, _VT_RELDISP, _VT_ACKACQ)

    def give_back(self) -> None:
        """Make it a text console again, and show the one that was seen before."""
        try:
            restore(self.describe(), self._fd)
        finally:
            os.close(self._fd)


def restore(record: dict[str, Any], fd: int = -1) -> None:
    """Do what `Console.give_back` does, from its description; twice does no harm."""
    number = record["number"]
    own = fd if fd >= 0 else os.open(f"/dev/tty{number}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(own, _KDSETMODE, _KD_TEXT)
        fcntl.ioctl(own, _KDSKBMODE, record["keyboard"])
        fcntl.ioctl(own, _VT_SETMODE, _Mode.pack(_VT_AUTO, 0, 0, 0, 0))
        if record["previous"] != number and _active(own) == number:
            fcntl.ioctl(own, _VT_ACTIVATE, record["previous"])
    finally:
        if own != fd:
            os.close(own)


def _asked(fd: int, question: int) -> int:
    number: int = _NUMBER.unpack(fcntl.ioctl(fd, question, bytes(_NUMBER.size)))[0]
    return number


def _active(fd: int) -> int:
    number: int = _State.unpack(fcntl.ioctl(fd, _VT_GETSTATE, bytes(_State.size)))[0]
    return number
