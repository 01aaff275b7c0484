"""The same file system by pyfuse3.  Usage: rival_pyfuse3.py MOUNTPOINT SIZE [SOURCE]."""

from __future__ import annotations

import errno
import os
import stat
import sys

import pyfuse3
import trio

BLOB = pyfuse3.ROOT_INODE + 1


class Blob(pyfuse3.Operations):
    """One file, `blob`."""

    def __init__(self, size: int, source: int) -> None:
        super().__init__()
        self._data = memoryview(bytes(size))
        self._source = source

    def _attributes(self, inode: int) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.entry_timeout = entry.attr_timeout = 0
        if inode == BLOB:
            entry.st_mode = stat.S_IFREG | 0o644
            entry.st_size = len(self._data)
        else:
            entry.st_mode = stat.S_IFDIR | 0o755
        return entry

    async def lookup(self, parent, name, ctx=None):
        """Look `blob` up."""
        if name != b"blob":
            raise pyfuse3.FUSEError(errno.ENOENT)
        return self._attributes(BLOB)

    async def getattr(self, inode, ctx=None):
        """Describe it."""
        return self._attributes(inode)

    async def open(self, inode, flags, ctx):
        """Open it, uncached."""
        return pyfuse3.FileInfo(fh=inode, direct_io=True, keep_cache=False)

    async def read(self, fh, off, size):
        """Read it."""
        if self._source >= 0:
            return os.pread(self._source, size, off)
        return self._data[off : off + size]


def main() -> None:
    """Serve until it is unmounted."""
    source = os.open(sys.argv[3], os.O_RDONLY) if len(sys.argv) > 3 else -1
    pyfuse3.init(Blob(int(sys.argv[2]), source), sys.argv[1], {"fsname=blob"})
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close(unmount=False)


if __name__ == "__main__":
    main()
