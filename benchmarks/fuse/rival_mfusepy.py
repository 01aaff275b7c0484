"""The same file system by mfusepy.  Usage: rival_mfusepy.py MOUNTPOINT SIZE [SOURCE]."""

from __future__ import annotations

import errno
import os
import stat
import sys

import mfusepy


class Blob(mfusepy.Operations):
    """One file, `blob`."""

    def __init__(self, size: int, source: int) -> None:
        self._data = bytes(size)
        self._source = source

    def getattr(self, path, fh=None):
        """Describe it."""
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path == "/blob":
            return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": len(self._data)}
        raise mfusepy.FuseOSError(errno.ENOENT)

    def open(self, path, flags):
        """Open it."""
        return 1

    def read(self, path, size, offset, fh):
        """Read it."""
        if self._source >= 0:
            return os.pread(self._source, size, offset)
        return self._data[offset : offset + size]


if __name__ == "__main__":
    options = {"attr_timeout": 0, "entry_timeout": 0, "direct_io": True}
    descriptor = os.open(sys.argv[3], os.O_RDONLY) if len(sys.argv) > 3 else -1
    blob = Blob(int(sys.argv[2]), descriptor)
    mfusepy.FUSE(blob, sys.argv[1], foreground=True, nothreads=True, **options)
