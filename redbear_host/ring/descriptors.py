"""Descriptors that travel beside a ring: FDS messages on its socket."""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Sequence
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.ring import layout as lay

_INT: Final = array.array("i").itemsize
_ROOM: Final = socket.CMSG_SPACE(lay.FDS_MOST * _INT)
_GONE: Final = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)
_LONGEST: Final = 64  # bytes of a message; more than any has


class Allowance:
    """How many descriptors all clients of a scheme may have left with us."""

    def __init__(self, left: int) -> None:
        self.left = left


class Descriptors:
    """The socket of one client, for all but the bell."""

    def __init__(self, connection: socket.socket, allowance: Allowance | None) -> None:
        self._socket: Final = connection
        self._allowance: Final = allowance  # None: the scheme wants none, so none get in
        self._waiting: Final[dict[int, list[int]]] = {}  # by tag, until its SENDFD comes

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def receive(self) -> str | None:
        """Read one message; return why the connection is over, empty if that is no fault."""
        try:
            # Without room for them the kernel drops descriptors before they become ours.
            room = 0 if self._allowance is None else _ROOM
            data, ancillary, flags, _ = self._socket.recvmsg(
                _LONGEST, room, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError:
            return ""
        fds = [fd for _, _, raw in ancillary for fd in array.array("i", raw)]
        why = self._why_not(data, fds, flags)
        if why is None and self._allowance is not None:
            self._allowance.left -= len(fds)
            self._waiting[lay.FDS.unpack(data)[0]] = fds
        else:
            self.close(fds)
        return why

    def _why_not(self, data: bytes, fds: list[int], flags: int) -> str | None:
        if not data:
            return ""
        if len(data) != lay.FDS.size:
            return f"a message of {len(data)} bytes"
        tag, count = lay.FDS.unpack(data)
        if self._allowance is None:
            return None
        if flags & socket.MSG_CTRUNC or len(fds) != count:
            return f"{len(fds)} descriptors came, {count} were announced"
        if tag in self._waiting:
            return f"descriptors for tag {tag} came twice"
        if len(self._waiting) >= lay.FDS_WAITING:
            return f"descriptors for more than {lay.FDS_WAITING} calls"
        if count > self._allowance.left:
            return f"{count} descriptors are more than all clients together may leave"
        return None

    def claim(self, tag: int, count: int) -> list[int]:
        """Return the `count` descriptors that came for `tag`."""
        if self._allowance is None:
            raise Refused(e.EOPNOTSUPP)
        # The message was sent before the entry was written, but may not have been read yet.
        while tag not in self._waiting and self._peek():
            if self.receive() is not None:
                break
        fds = self._waiting.pop(tag, [])
        self._give_back(len(fds))
        if not fds or len(fds) != count:
            self.close(fds)
            raise Refused(e.EINVAL)
        return fds

    def _peek(self) -> bool:
        try:
            return bool(self._socket.recvmsg(1, 0, socket.MSG_PEEK)[0])
        except OSError:
            return False

    def send(self, tag: int, fds: Sequence[int]) -> None:
        """Send descriptors ahead of the answer to `tag`; a client without room gets none."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([lay.FDS.pack(tag, len(fds))], rights)
        except BlockingIOError:
            raise Refused(e.ENOBUFS) from None
        except OSError as error:
            if error.errno not in _GONE:
                raise Refused(e.EMFILE if error.errno == errno.ETOOMANYREFS else e.EIO) from error

    @staticmethod
    def close(fds: Sequence[int] | None) -> None:
        """Close descriptors that are ours."""
        for fd in fds or ():
            os.close(fd)

    def close_all(self) -> None:
        """Close what came and was not claimed."""
        for fds in self._waiting.values():
            self._give_back(len(fds))
            self.close(fds)
        self._waiting.clear()

    def _give_back(self, count: int) -> None:
        if self._allowance is not None:
            self._allowance.left += count
