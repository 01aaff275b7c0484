"""The schemes `null` and `zero`, each one file.

Both swallow what is written.  Reading `null` is at its end at once, reading `zero` never is.
Nothing waits, so both events are always there.  There is no state but in the handle's number, which
is the access mode it was opened with: a successor knows as much as its predecessor did.
"""

from __future__ import annotations

import mmap
import os
from typing import ClassVar, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import POSITIONED, Mapped, Opened, Scheme

_SHIFT: Final = 16  # O_RDONLY is 1 << 16, O_WRONLY 2 << 16, O_RDWR both
_READS: Final = 1
_WRITES: Final = 2
_LOOKS: Final = 4  # O_STAT: neither reads nor writes
_BLOCK: Final = 4096
_ZEROES: Final = 1 << 20  # bytes; the most one FUSE read asks for
_MAP_MOST: Final = 1 << 46  # bytes; no process has room for more


class NullScheme(Scheme):
    """Nothing to read, room for everything."""

    name = "null"
    root_is_file: ClassVar[bool] = True
    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open the file; there is no other name."""
        if path:
            raise Refused(e.ENOENT)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if flags & f.O_STAT:
            return Opened(_LOOKS, POSITIONED)
        return Opened((flags & f.O_ACCMODE) >> _SHIFT or _LOOKS, POSITIONED)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/null` or `/scheme/zero`."""
        return f"/scheme/{self.name}"

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes | memoryview:
        """Be at the end."""
        if not handle & _READS:
            raise Refused(e.EBADF)
        return b""

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Swallow everything."""
        if not handle & _WRITES:
            raise Refused(e.EBADF)
        return len(data)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: the file is empty, or has no end, and stays so."""
        if not handle & _WRITES:
            raise Refused(e.EBADF)

    def fsize(self, handle: int) -> int:
        """Count from 0: there is no end to count from."""
        return 0

    def fstat(self, handle: int) -> Stat:
        """Describe a character file that everyone may use."""
        return Stat(st_ino=1, st_mode=MODE_CHR | 0o666, st_nlink=1, st_blksize=_BLOCK)

    def fevent(self, handle: int, mask: int) -> int:
        """Be ready for everything, always."""
        return mask


class ZeroScheme(NullScheme):
    """Zeroes without end, to read and to map.

    All reads show the same page-aligned zeroes.  What is mapped is memory of its own for each
    mapping, shared with nobody but who inherits it, as with Linux's /dev/zero.
    """

    name = "zero"

    def __init__(self) -> None:
        # Populated: an answer from memory that is not there yet is EIO if we are killed meanwhile.
        memory = mmap.mmap(-1, _ZEROES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
        self._zeroes: Final = memoryview(memory).toreadonly()
        self._handed: Final[list[int]] = []  # memfds, until the round ends

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes | memoryview:
        """Return zeroes."""
        if not handle & _READS:
            raise Refused(e.EBADF)
        return self._zeroes[:size] if size <= _ZEROES else bytes(size)

    def mmap_prep(
        self, handle: int, offset: int, size: int, flags: int, request: Request
    ) -> Mapped:
        """Hand out fresh memory; where in the file it was asked for makes no difference."""
        if not handle & _READS:
            raise Refused(e.EACCES)
        if flags & f.MAP_SHARED and flags & f.PROT_WRITE and not handle & _WRITES:
            raise Refused(e.EACCES)
        if not 0 < size <= _MAP_MOST:
            raise Refused(e.EINVAL)
        try:
            fd = os.memfd_create("zero", os.MFD_CLOEXEC)
        except OSError:
            raise Refused(e.ENFILE) from None
        self._handed.append(fd)
        os.ftruncate(fd, size)
        return Mapped(fd, 0)

    def end_round(self) -> None:
        """Let go of what was handed out: from now on the memory lives as long as its mappings."""
        while self._handed:
            os.close(self._handed.pop())
