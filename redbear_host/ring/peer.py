"""The process at the other end of a ring's socket.

A client is known by the pid it connected with.  Schemes look things up by it: descriptors, groups,
memory.  Once that process has ended the number may become another's, while somebody may still
have the connection, so the door hangs up then.
"""

from __future__ import annotations

import errno
import os
import socket
from struct import Struct
from typing import Final

_SO_PEERPIDFD: Final = 77  # Linux 6.5, asm-generic/socket.h
_INT: Final = Struct("=i")
_UNKNOWN: Final = (errno.ENOPROTOOPT, errno.EINVAL)


def open_process(connection: socket.socket, pid: int) -> int:
    """Return a descriptor that becomes readable when the process that connected ends.

    -1 for one outside our PID namespace, which nobody can look up either, and before Linux 6.5 in a
    daemon that is locked in: those that look at a process compare its user.  Raises `OSError` when
    it has ended already.
    """
    if pid <= 0:
        return -1
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, _INT.size)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        try:
            return os.pidfd_open(pid)  # the number may be another's by now, though not for long
        except PermissionError:
            return -1
    fd: int = _INT.unpack(raw)[0]
    return fd
