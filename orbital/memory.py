"""Memory of windows: a sealed memfd for each size a window has had, whole pages of it.

A client maps it, and may do with it what it likes, at any time: it cannot be shortened under the
compositor, and nothing in it is believed to be more than colours.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Final, TypeAlias

from orbital.output import Output
from orbital.window import Lent
from redbear_host.abi import errno as e
from redbear_host.abi.display import WORD
from redbear_host.errors import Refused

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def room_for(width: int, height: int) -> int:
    """Return how many bytes a picture takes: whole pages, as clients map them."""
    return -(-width * height * WORD // mmap.PAGESIZE) * mmap.PAGESIZE


class WindowMemory:
    """The pixels of one window at one size, zeroes at first."""

    __slots__ = ("fd", "height", "memory", "size", "width")

    lent: Final = None

    def __init__(self, width: int, height: int, fd: int = -1) -> None:
        """Make it, or take over `fd`; ENOMEM when Linux has none, or `fd` is not as it says."""
        self.width: Final = width
        self.height: Final = height
        self.size: Final = width * height * WORD
        self.fd = -1
        self.memory: mmap.mmap | bytearray = bytearray()  # of a window without pixels
        if not self.size:
            return
        made = fd < 0
        try:
            self.fd = _make(room_for(width, height)) if made else fd
            self.memory = mmap.mmap(self.fd, room_for(width, height))
        except (OSError, ValueError) as error:
            if made and self.fd >= 0:
                os.close(self.fd)
            raise Refused(e.ENOMEM, f"{width} by {height} pixels: {error}") from None

    @property
    def room(self) -> int:
        """How many bytes can be mapped."""
        return len(self.memory)

    def close(self) -> None:
        """Let go; who has mapped it keeps it.  Nobody may be drawing from it any more."""
        if isinstance(self.memory, mmap.mmap):
            self.memory.close()
            os.close(self.fd)
            self.fd = -1
        self.memory = bytearray()


class LentMemory:
    """Pixels in memory of a screen, which can show them as they are; gone with this process."""

    __slots__ = ("fd", "height", "lent", "memory", "room", "size", "width")

    def __init__(self, lent: Lent) -> None:
        self.lent: Final = lent
        self.width: Final = lent.buffer.width
        self.height: Final = lent.buffer.height
        self.size: Final = self.width * self.height * WORD
        self.room: Final = room_for(self.width, self.height)
        self.fd: Final = lent.buffer.fd
        self.memory: Final = lent.buffer.pixels

    def close(self) -> None:
        """Give it back."""
        self.lent.output.take_back(self.lent.buffer)


Memory: TypeAlias = WindowMemory | LentMemory


def borrow(output: Output, width: int, height: int) -> LentMemory | None:
    """Have an output lend memory that clients can map like any other; None if it has none."""
    buffer = output.lend(width, height)
    if buffer is None:
        return None
    if buffer.stride != width * WORD or len(buffer.pixels) < width * height * WORD:
        output.take_back(buffer)
        return None
    return LentMemory(Lent(output, buffer))


def _make(room: int) -> int:
    fd = os.memfd_create("window", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, room)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd
