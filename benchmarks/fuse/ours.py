"""The same file as a scheme of ours.  Usage: ours.py MOUNTPOINT SIZE [SOURCE]."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import POSITIONED, Opened, Scheme
from schemefs import mount
from schemefs.connection import Connection
from schemefs.door import Door
from schemefs.handshake import answer_init
from schemefs.journal import Journal

_ROOT_HANDLE: Final = 1


class Blob(Scheme):
    """One file, `blob`."""

    name = "blob"
    replays = True
    reopens = True

    def __init__(self, size: int, source: int) -> None:
        self._data: Final = memoryview(bytes(size))
        self._source: Final = source
        self._next = _ROOT_HANDLE + 1

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open it, or the folder it is in."""
        if not path:
            return Opened(_ROOT_HANDLE)
        if path != "blob":
            raise Refused(e.ENOENT)
        self._next += 1
        return Opened(self._next, POSITIONED)

    def fstat(self, handle: int) -> Stat:
        """Describe it."""
        if handle == _ROOT_HANDLE:
            return Stat(st_mode=MODE_DIR | 0o755, st_nlink=2)
        return Stat(st_mode=MODE_FILE | 0o644, st_nlink=1, st_size=len(self._data))

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> memoryview | bytes:
        """Read it."""
        if self._source >= 0:
            return os.pread(self._source, size, offset)
        return self._data[offset : offset + size]


def main() -> None:
    """Serve until it is unmounted."""
    fd = mount.open_connection()
    mount.mount(fd, Path(sys.argv[1]), "blob")
    journal = Journal.create(answer_init(fd))
    os.set_blocking(fd, False)
    loop = Loop()
    source = os.open(sys.argv[3], os.O_RDONLY) if len(sys.argv) > 3 else -1
    scheme = Blob(int(sys.argv[2]), source)
    Door(Connection(fd, journal, loop, scheme.replays, False), scheme, loop).start()
    loop.run()


if __name__ == "__main__":
    main()
