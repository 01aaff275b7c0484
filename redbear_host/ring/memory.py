"""The memory of one connection, on the daemon's side."""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Final

from redbear_host.ring import layout as lay
from redbear_host.ring.layout import Layout

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

# Where the indexes are in `Memory.words`.
SQ_HEAD: Final = lay.SQ_HEAD // 4
SQ_TAIL: Final = lay.SQ_TAIL // 4
CQ_HEAD: Final = lay.CQ_HEAD // 4
CQ_TAIL: Final = lay.CQ_TAIL // 4


class Memory:
    """A sealed memfd of `layout.size` bytes, mapped, and the client's bell.

    Both are ours, so nothing about them has to be checked; what they contain is the client's.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout: Final = layout
        fd = os.memfd_create("redbear-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, layout.size)
            # A client that could shorten it would end us with SIGBUS.
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            self.map: Final = mmap.mmap(fd, layout.size)
            self.bell: Final = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd  # until the client has it
        self._page: Final = memoryview(self.map)[: lay.PAGE]
        self.words: Final = self._page.cast("I")
        self.words[lay.MAGIC_AT // 4] = lay.MAGIC
        self.words[lay.VERSION_AT // 4] = lay.VERSION

    def handed_over(self) -> None:
        """Close the memfd: the client has it, and we have the mapping."""
        os.close(self.fd)
        self.fd = -1

    def close(self) -> None:
        """Unmap; nobody may look at it any more."""
        if self.fd >= 0:
            self.handed_over()
        self.words.release()
        self._page.release()
        self.map.close()
        os.close(self.bell)
