"""Passthrough: the kernel reads and writes a file of Linux's instead of asking the scheme.

Since Linux 6.9 (FUSE 7.40), for root only.  Everywhere else, and when it is refused once, files are
read through the page cache as those without a backing file are.
"""

from __future__ import annotations

import logging
from fcntl import ioctl
from typing import Final

from schemefs import protocol as p
from schemefs.handles import Handles

log = logging.getLogger(__name__)


class Backing:
    """The backing files the kernel knows on the connection `fd`.

    All handles of one node must be of one kind, or the kernel answers an open with EIO, and those
    with a backing file must have the same: the first handle of a node decides for those that come
    while it is open.  The kernel's numbers stand in the journal beside the handles.
    """

    def __init__(self, fd: int, handles: Handles) -> None:
        self._fd: Final = fd
        self._nodes: Final[dict[int, _Node]] = {}
        self._offered = True  # until the kernel refuses
        for handle in handles:
            if handle.cached or handle.backing:
                self._nodes.setdefault(handle.node, _Node(handle.backing)).handles += 1

    def holds(self, node: int) -> bool:
        """Tell whether a node is open through the page cache or by a backing file."""
        return node in self._nodes

    def choose(self, node: int, fd: int) -> int:
        """Return the number of the backing file a node is opened with, if its scheme offers `fd`.

        0: the file is read through the page cache.  Each call is undone by `let_go`.
        """
        found = self._nodes.get(node)
        if found is None:
            number = self._open(fd) if fd >= 0 and self._offered else 0
            found = self._nodes[node] = _Node(number)
        found.handles += 1
        return found.number

    def let_go(self, node: int) -> None:
        """Give up what `choose` returned for one handle."""
        found = self._nodes[node]
        found.handles -= 1
        if found.handles:
            return
        del self._nodes[node]
        if not found.number:
            return
        try:
            ioctl(self._fd, p.DEV_IOC_BACKING_CLOSE, p.BACKING_ID.pack(found.number))
        except OSError as err:
            log.debug("the kernel does not know backing file %d: %s", found.number, err)

    def _open(self, fd: int) -> int:
        try:
            # With a buffer that may change, ioctl returns what the kernel does.
            asked = bytearray(p.BACKING_MAP.pack(fd, 0, 0))
            number: int = ioctl(self._fd, p.DEV_IOC_BACKING_OPEN, asked)
        except OSError as err:
            self._offered = False
            log.debug("no passthrough: %s", err)
            return 0
        return number


class _Node:
    """How many handles a node has that are cached, or backed by file `number`."""

    __slots__ = ("handles", "number")

    def __init__(self, number: int) -> None:
        self.handles = 0
        self.number: Final = number
