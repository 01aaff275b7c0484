"""What accepts connections, and who waits for one."""

from __future__ import annotations

import socket
from collections import deque
from typing import Final

from daemons.smolnetd.quota import Quota
from redbear_host.scheme.request import Caller, Request

BACKLOG: Final = 128  # connections that nobody has accepted yet


class Listener:
    """A socket that listens; `name` is its address as `.listen` has it."""

    def __init__(self, sock: socket.socket, name: str, owner: Caller, quota: Quota) -> None:
        self.sock: Final = sock
        self.name: Final = name
        self.owner: Final = owner
        self._quota: Final = quota
        self.accepting: Final[deque[Request]] = deque()
        self.number = -1  # of the handle that stands for it

    def accept(self) -> socket.socket | None:
        """Take the connection that has waited longest; None when there is none.

        It waits on where the owner has too many sockets: EMFILE.
        """
        self._quota.check(self.owner.uid)
        while True:
            try:
                sock, _ = self.sock.accept()
            except BlockingIOError:
                return None
            except ConnectionAbortedError:  # that one has gone; behind it may be others
                continue
            self._quota.count(sock, self.owner.uid)
            sock.setblocking(False)
            return sock
