"""Calling at a scheme's socket: the memory and the bell of one connection."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import socket
from array import array
from collections.abc import Sequence
from typing import Final

from redbear_host.client import paths
from redbear_host.ring import layout as lay
from redbear_host.ring.layout import Layout

ENTRIES: Final = 256
SMALL: Final = 4096  # bytes of the arena that each call owns; larger payloads share the rest
LARGE: Final = 2 << 20
LAYOUT: Final = Layout(ENTRIES, ENTRIES * SMALL + LARGE)

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class _Socket(socket.socket):
    """Closes without a warning when it is collected: nobody need close a connection."""

    __slots__ = ()

    def __del__(self) -> None:
        """Close."""
        self.close()


class Line:
    """What a connection consists of: socket, memory, and the bell that wakes the daemon."""

    def __init__(self, name: str, layout: Layout = LAYOUT, fd: int | None = None) -> None:
        """Make a socket, or take one that is connected already; nothing is sent yet."""
        self.name: Final = paths.check_name(name)
        self.layout: Final = layout
        layout.check()
        self.socket: Final = _Socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd)
        self.memory: mmap.mmap
        self.bell = -1

    def connect(self) -> None:
        """Find the scheme, say HELLO; `OSError(ENODEV)` when there is none of that name here."""
        try:
            folder = os.open(paths.rings(), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._unknown() from None
        try:  # an address holds 107 bytes only, a path may be longer
            self.socket.connect(f"/proc/self/fd/{folder}/{self.name}")
        except (FileNotFoundError, ConnectionRefusedError):
            raise self._unknown() from None
        finally:
            os.close(folder)
        self.greet()

    def greet(self) -> None:
        """Say HELLO on a socket that is connected."""
        layout = self.layout
        self.socket.send(lay.HELLO.pack(lay.MAGIC, lay.VERSION, 0, layout.entries, 0, layout.arena))

    def _unknown(self) -> OSError:
        return OSError(errno.ENODEV, f"no scheme of this name (in {paths.rings()})", self.name)

    def welcomed(self) -> bool:
        """Read the WELCOME; False when the daemon died over it, so that one may call again."""
        try:
            answer, fds, _ = receive(self.socket, lay.WELCOME.size, 2)
        except ConnectionResetError:
            return False
        if not answer:
            return False
        try:
            self._adopt(answer, fds)
        finally:
            for fd in fds:
                if fd != self.bell:
                    os.close(fd)
        return True

    def _adopt(self, answer: bytes, fds: Sequence[int]) -> None:
        if len(answer) != lay.WELCOME.size:
            raise OSError(errno.EPROTO, f"a WELCOME of {len(answer)} bytes", self.name)
        magic, version, _, error = lay.WELCOME.unpack(answer)
        if magic != lay.MAGIC or version != lay.VERSION or not -4096 < error <= 0:
            raise OSError(errno.EPROTO, f"a WELCOME {answer.hex()}", self.name)
        if error:
            raise OSError(-error, os.strerror(-error), self.name)
        if len(fds) != 2:
            raise OSError(errno.EPROTO, f"a WELCOME with {len(fds)} descriptors", self.name)
        memory, bell = fds
        size = self.layout.size
        # Without the seals a daemon could shrink the memory, and kill us by SIGBUS.
        if (
            os.fstat(memory).st_size != size
            or fcntl.fcntl(memory, fcntl.F_GET_SEALS) & _SEALS != _SEALS
        ):
            raise OSError(errno.EPROTO, f"its memory is no sealed {size} bytes", self.name)
        self.memory = mmap.mmap(memory, size)
        self.bell = bell

    def close(self) -> None:
        """Hang up; the memory goes when nobody looks at it any more."""
        self.socket.close()
        if self.bell >= 0:
            os.close(self.bell)
            self.bell = -1


def receive(
    source: socket.socket, size: int, most: int, flags: int = 0
) -> tuple[bytes, list[int], int]:
    """Receive a message with at most `most` descriptors; return both and the message's flags.

    `socket.recv_fds` drops its flags in Python 3.11.
    """
    room = socket.CMSG_SPACE(4 * most)
    message, control, said, _ = source.recvmsg(size, room, flags | socket.MSG_CMSG_CLOEXEC)
    fds = array("i")
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, fds.tolist(), said
