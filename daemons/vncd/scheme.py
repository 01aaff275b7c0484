"""The scheme `vnc`: one file, how viewers get in and which there are; root's alone.

It is JSON, of the moment it is opened: with the password and the token in it, which are in no log.
Redox has no such scheme.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Opened, Scheme

_BLOCK: Final = 4096


class VncScheme(Scheme):
    """The file."""

    name = "vnc"
    root_is_file: ClassVar[bool] = True
    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe: Final = describe
        self._texts: Final[dict[int, bytes]] = {}
        self._next = ROOT + 1

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open the file; there is no other name."""
        if path:
            raise Refused(e.ENOENT)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        text = b""
        if not flags & f.O_STAT:
            if request.caller.uid != 0 or flags & f.O_WRONLY:
                raise Refused(e.EACCES)
            text = json.dumps(self._describe(), indent=2).encode() + b"\n"
        number, self._next = self._next, self._next + 1
        self._texts[number] = text
        return Opened(number, POSITIONED)

    def on_close(self, handle: int) -> None:
        """Forget the handle."""
        self._texts.pop(handle, None)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/vnc`."""
        return f"/scheme/{self.name}"

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return the text."""
        return self._text(handle)[offset : offset + size]

    def fstat(self, handle: int) -> Stat:
        """Describe a file that root reads."""
        return Stat(
            st_ino=1,
            st_mode=MODE_FILE | 0o400,
            st_nlink=1,
            st_size=len(self._text(handle)),
            st_blksize=_BLOCK,
        )

    def fsize(self, handle: int) -> int:
        """Return the length of the text."""
        return len(self._text(handle))

    def fevent(self, handle: int, mask: int) -> int:
        """Be ready for everything, always."""
        self._text(handle)
        return mask

    def _text(self, handle: int) -> bytes:
        if handle == ROOT:
            return b""
        try:
            return self._texts[handle]
        except KeyError:
            raise Refused(e.EBADF) from None
