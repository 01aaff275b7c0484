"""The scheme `rand`: one file of random bytes, which never blocks.

Everyone reads, root writes: what is written is stirred into the generator (mode 0644, as on Redox).
A handle's number is the access it was opened with, so a successor serves it without being told.
"""

from __future__ import annotations

from typing import ClassVar, Final

from daemons.randd.source import Source
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import Opened, Scheme

_NAMES: Final = ("", "urandom")  # the second only through the ring: a mounted file has no children
_SHIFT: Final = 16  # O_RDONLY is 1 << 16, O_WRONLY 2 << 16, O_RDWR both
_READS: Final = 1
_WRITES: Final = 2
_LOOKS: Final = 4  # O_STAT: neither reads nor writes
_BLOCK: Final = 4096


class RandScheme(Scheme):
    """Random bytes from `source`.

    It `replays`: nobody can tell whether bytes were drawn or stirred in twice.
    """

    name = "rand"
    root_is_file: ClassVar[bool] = True
    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(self, source: Source) -> None:
        self._source: Final = source

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open the file; for writing, root only."""
        if path.strip("/") not in _NAMES:
            raise Refused(e.ENOENT)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if flags & f.O_STAT:
            return Opened(_LOOKS)
        access = (flags & f.O_ACCMODE) >> _SHIFT
        if access & _WRITES and request.caller.uid != 0:
            raise Refused(e.EACCES)
        return Opened(access or _LOOKS)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/rand`."""
        return f"/scheme/{self.name}"

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> memoryview:
        """Draw random bytes."""
        if not handle & _READS:
            raise Refused(e.EBADF)
        return self._source.read(size)

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Stir bytes into the generator."""
        if not handle & _WRITES:
            raise Refused(e.EBADF)
        return self._source.mix(data)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: there is no end to cut off."""
        if not handle & _WRITES:
            raise Refused(e.EBADF)

    def fchmod(self, handle: int, mode: int, request: Request) -> None:
        """Refuse: Redox changes the one handle, which on Linux would be a change of nothing."""
        raise Refused(e.EPERM)

    def fchown(self, handle: int, uid: int, gid: int, request: Request) -> None:
        """Refuse, as with the mode."""
        raise Refused(e.EPERM)

    def fstat(self, handle: int) -> Stat:
        """Describe a character file that everyone may read."""
        return Stat(st_ino=1, st_mode=MODE_CHR | 0o644, st_nlink=1, st_blksize=_BLOCK)

    def fevent(self, handle: int, mask: int) -> int:
        """Be ready for everything, always."""
        return mask
