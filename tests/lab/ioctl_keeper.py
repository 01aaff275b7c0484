"""Serves a file whose ioctls are never answered, over a connection it is handed.

Usage: ioctl_keeper.py CONNECTION_FD JOURNAL_FD
"""

from __future__ import annotations

import sys

from redbear_host.abi.stat import MODE_FILE, Stat
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import CACHED, POSITIONED, Opened, Scheme
from schemefs.connection import Connection
from schemefs.door import Door
from schemefs.journal import Journal

SIZE = 1 << 20


class Keeper(Scheme):
    root_is_file = True

    def openat(self, parent, path, flags, fcntl_flags, request):
        return Opened(1, POSITIONED | CACHED)

    def fstat(self, handle):
        return Stat(st_mode=MODE_FILE | 0o600, st_size=SIZE)

    def fsize(self, handle):
        return SIZE

    def read(self, handle, size, offset, fcntl_flags, request):
        return b"\x5a" * min(size, SIZE - offset)

    def ioctl(self, handle, command, data, out_size, request):
        return LATER


def main() -> None:
    connection, journal = map(int, sys.argv[1:])
    loop = Loop()
    book = Journal.open(journal)
    book.begin_life()
    scheme = Keeper()
    Door(Connection(connection, book, loop, scheme.replays, False), scheme, loop).start()
    loop.run()


if __name__ == "__main__":
    main()
