"""The list of schemes: `/scheme`, or `:` in the older spelling."""

from __future__ import annotations

import errno
import os

from redbear_host.abi import dirent
from redbear_host.abi.dirent import Dirent
from redbear_host.abi.flags import DT_DIR
from redbear_host.abi.stat import MODE_DIR, Stat
from redbear_host.client import paths
from redbear_host.client.file import File, cannot
from redbear_host.errors import Refused


class SchemeList(File):
    """The names this process can reach; a snapshot of when it was opened, so that paging holds."""

    def __init__(self) -> None:
        try:
            self._names = sorted(os.listdir(paths.rings()))
        except FileNotFoundError:
            self._names = []  # a null namespace

    def getdents(self, room: int, opaque: int) -> list[Dirent]:
        """List the names."""
        entries = [(name, DT_DIR, number) for number, name in enumerate(self._names, 1)]
        try:
            return list(dirent.unpack(dirent.pack(entries, room, opaque)))
        except Refused as err:
            raise OSError(err.errno, str(err)) from None

    def fstat(self) -> Stat:
        """Describe a directory."""
        return Stat(st_mode=MODE_DIR | 0o555, st_nlink=2, st_blksize=4096)

    def fpath(self) -> str:
        """Return where it is."""
        return paths.CANONICAL

    def unlinkat(self, path: str, flags: int) -> None:
        """Refuse: a scheme ends with whoever serves it."""
        raise cannot(errno.EACCES)
