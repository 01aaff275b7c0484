"""Asking the kernel to forget names, before there is no room for new ones.

A kernel with memory to spare keeps every name it was told of, and a table that is full could only
answer ENOMEM.
"""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from typing import Final, NoReturn

from redbear_host import linux
from redbear_host.scheme.loop import Loop
from schemefs import protocol as p
from schemefs.handles import Handles
from schemefs.nodes import Nodes

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_FDS_MOST: Final = 1 << 16


class Forgetting:
    """Asks on connection `fd`, in a process of its own.

    To forget a name the kernel takes the lock of its directory, and whoever holds that may be
    waiting for our answer: the daemon itself must not wait for it, nor may its end.
    """

    def __init__(self, fd: int, nodes: Nodes, handles: Handles, loop: Loop) -> None:
        self._fd: Final = fd
        self._nodes: Final = nodes
        self._handles: Final = handles
        self._loop: Final = loop
        self._busy = False

    def begin(self) -> None:
        """Ask, unless that is going on already."""
        if not self._busy:
            self._busy = True
            self._loop.soon(self._start)  # not below a handler: the child is a copy of its stack

    def _start(self) -> None:
        used = {handle.node for handle in self._handles}
        names = self._nodes.dispensable(used)
        log.debug("asking the kernel to forget %d names of %d", len(names), len(self._nodes))
        try:
            child = os.fork()
        except OSError as err:
            log.warning("the kernel cannot be asked to forget names: %s", err)
            return  # and stays busy: it will not be tried again
        if not child:
            _ask(self._fd, names)
        pidfd = os.pidfd_open(child)
        self._loop.watch(pidfd, lambda: self._end(pidfd))

    def _end(self, pidfd: int) -> None:
        self._loop.unwatch(pidfd)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        self._busy = False


def _ask(fd: int, names: list[tuple[int, bytes]]) -> NoReturn:
    """Be the child, which keeps nothing of the daemon but the connection, and cleans nothing up."""
    try:
        with suppress(OSError):
            linux.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        own = os.dup2(fd, 0)
        os.closerange(3, _FDS_MOST)
        for parent, name in names:
            size = p.INVAL_ENTRY.size + len(name) + 1
            head = p.INVAL_ENTRY.pack(size, p.NOTIFY_INVAL_ENTRY, 0, parent, len(name), 0)
            with suppress(OSError):
                os.write(own, head + name + b"\0")
    finally:
        os._exit(0)
