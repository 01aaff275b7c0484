"""What daemons hand to the shim, and how it gets rid of it: never by waiting for anybody.

close(2) may wait, as long as whoever is behind the descriptor likes: FUSE asks its server (FLUSH,
and no signal helps), a socket may linger (SO_LINGER, socket(7)).  A daemon that was taken over
could stop the shim so, and with it every restart.  So the shim keeps only what it knows, and what
it does not know is closed by a thread of its own.

Linux is asked nothing here that a file system would have to answer, as fstat(2) and ioctl(2) are.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Final

_LINGER: Final = struct.Struct("ii")  # struct linger: on or off, seconds
_OF_A_TAP: Final = "\niff:\t"  # drivers/net/tun.c, tun_chr_show_fdinfo


def is_known(fd: int) -> bool:
    """Tell whether it is a TAP, a socket that listens, memory, or a network namespace."""
    # What has no path is named by Linux itself, without the slash that a path begins with.
    name = os.readlink(f"/proc/self/fd/{fd}")
    if name.startswith("socket:["):
        return _listens(fd)
    return name.startswith("net:[") or _is_memory(fd) or _is_tap(fd)


def let_go(fds: Iterable[int]) -> bool:
    """Close descriptors, those that are not known by a thread; return whether all were known."""
    all_known = True
    for fd in fds:
        if is_known(fd):
            close(fd)
        else:
            all_known = False
            Thread(target=os.close, args=(fd,), daemon=True).start()
    return all_known


def close(fd: int) -> None:
    """Close what was known when it came; a socket may have been connected since by its daemon."""
    with suppress(OSError):  # most are no sockets
        held = socket.socket(fileno=fd)
        try:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(0, 0))
        finally:
            held.detach()
    os.close(fd)


def _listens(fd: int) -> bool:
    try:
        held = socket.socket(fileno=fd)
    except OSError:  # of a family without names
        return False
    try:
        return bool(held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:  # of a family that never listens
        return False
    finally:
        held.detach()


def _is_memory(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True


def _is_tap(fd: int) -> bool:
    return _OF_A_TAP in Path(f"/proc/self/fdinfo/{fd}").read_text()
