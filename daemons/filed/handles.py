"""What clients have open: a descriptor of the host, and the name it was opened by."""

from __future__ import annotations

import os
from fcntl import F_SETFL, fcntl
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.scheme.scheme import ROOT


class Appending:
    """Whether the host appends what is written; descriptors that dup made have it in common."""

    __slots__ = ("on",)

    def __init__(self, on: bool) -> None:
        self.on = on

    def turn(self, fd: int, on: bool) -> None:
        """Make it so.

        By the descriptor's own flag: Linux 6.1 forgets RWF_APPEND on overlay file systems.
        """
        if on != self.on:
            fcntl(fd, F_SETFL, os.O_NONBLOCK | (os.O_APPEND if on else 0))
            self.on = on


class Handle:
    """One open file, directory or link.

    The descriptor is what counts: the handle stays good when its file is renamed or removed.  The
    path, relative to the root and in bytes, is for what Redox does by handle and Linux by name.
    """

    __slots__ = ("appending", "fd", "looks", "may_read", "may_write", "path")

    def __init__(
        self,
        fd: int,
        path: bytes,
        *,
        looks: bool,
        may_read: bool = False,
        may_write: bool = False,
        appending: Appending | None = None,
    ) -> None:
        self.fd = fd  # -1: a link that gets its target with the first write
        self.path = path
        self.looks: Final = looks  # an O_PATH descriptor: describes, and reads a link
        self.may_read: Final = may_read
        self.may_write: Final = may_write
        self.appending: Final = appending or Appending(False)

    def twin(self, fd: int) -> Handle:
        """Return a handle for a duplicate of the descriptor."""
        return Handle(
            fd,
            self.path,
            looks=self.looks,
            may_read=self.may_read,
            may_write=self.may_write,
            appending=self.appending,
        )


class Handles:
    """All of them, by the numbers doors know them by, which are never used again."""

    def __init__(self) -> None:
        self.by_number: Final[dict[int, Handle]] = {}
        self._next = ROOT + 1

    def add(self, handle: Handle) -> int:
        """Give a handle its number."""
        number, self._next = self._next, self._next + 1
        self.by_number[number] = handle
        return number

    def __getitem__(self, number: int) -> Handle:
        try:
            return self.by_number[number]
        except KeyError:
            raise Refused(e.EBADF) from None

    def moved(self, old: bytes, new: bytes) -> None:
        """Follow a rename: of what has the path `old`, and of all that is below it."""
        below = old + b"/"
        for handle in self.by_number.values():
            if handle.path == old:
                handle.path = new
            elif handle.path.startswith(below):
                handle.path = new + handle.path[len(old) :]
