"""The scheme `dhcp`: how each adapter came to its address, and a word to say in it.

```
/scheme/dhcp/eth0    read: key=value lines, of the moment it was opened
                     written: see `command`
```

Everyone reads, root writes.  Redox has no such scheme: its dhcpd is a program that is run once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from daemons.dhcpd.adapters import Adapters
from daemons.dhcpd.command import COMMAND_MOST, parse
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Entry, Opened, Scheme

_BLOCK: Final = 4096


class _Handle:
    __slots__ = ("flags", "name", "text")

    def __init__(self, name: str, flags: int, text: bytes) -> None:
        self.name: Final = name  # empty: the folder
        self.flags: Final = flags
        self.text: Final = text


class DhcpScheme(Scheme):
    """A file for each adapter.

    It `replays`: a command given twice is the same as given once.
    """

    name = "dhcp"
    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(self, adapters: Adapters) -> None:
        self._adapters: Final = adapters
        self._handles: Final[dict[int, _Handle]] = {}
        self._next = ROOT + 1

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open the folder, or the file of an adapter."""
        name = path.strip("/")
        if parent != ROOT and self._handle(parent).name:
            raise Refused(e.ENOTDIR)
        text = b""
        if name:
            adapter = self._adapters.found.get(name)
            if adapter is None:
                raise Refused(e.ENOENT)
            if flags & f.O_DIRECTORY:
                raise Refused(e.ENOTDIR)
            if not flags & f.O_STAT:
                if flags & f.O_WRONLY and request.caller.uid != 0:
                    raise Refused(e.EACCES)
                text = adapter.status().encode()
        elif flags & f.O_WRONLY:
            raise Refused(e.EISDIR)
        number, self._next = self._next, self._next + 1
        self._handles[number] = _Handle(name, flags, text)
        return Opened(number, POSITIONED if name else 0)

    def on_close(self, handle: int) -> None:
        """Forget the handle."""
        self._handles.pop(handle, None)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/dhcp/…`."""
        return f"/scheme/{self.name}/{self._handle(handle).name}".rstrip("/")

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the adapters."""
        if self._handle(handle).name:
            raise Refused(e.ENOTDIR)
        return [Entry(name, f.DT_REG) for name in sorted(self._adapters.found)]

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return the lines."""
        found = self._handle(handle)
        if not found.name:
            raise Refused(e.EISDIR)
        if not found.flags & f.O_RDONLY:
            raise Refused(e.EBADF)
        return found.text[offset : offset + size]

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Do a command."""
        found = self._handle(handle)
        if not found.name or not found.flags & f.O_WRONLY:
            raise Refused(e.EBADF)
        try:
            command = parse(bytes(data[: COMMAND_MOST + 1]))
        except ValueError as error:
            raise Refused(e.EINVAL, str(error)) from error
        if found.name not in self._adapters.found:
            raise Refused(e.ENODEV)
        self._adapters.run(found.name, command)
        return len(data)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: `echo stop >` cuts the file off first."""
        if not self._handle(handle).flags & f.O_WRONLY:
            raise Refused(e.EBADF)

    def fstat(self, handle: int) -> Stat:
        """Describe the folder, or a file that root may write."""
        if handle == ROOT or not self._handle(handle).name:
            return Stat(st_ino=1, st_mode=MODE_DIR | 0o755, st_nlink=2, st_blksize=_BLOCK)
        size = len(self._handle(handle).text)
        return Stat(st_mode=MODE_FILE | 0o644, st_nlink=1, st_size=size, st_blksize=_BLOCK)

    def fsize(self, handle: int) -> int:
        """Return the length of the lines."""
        return len(self._handle(handle).text)

    def fevent(self, handle: int, mask: int) -> int:
        """Be ready for everything, always."""
        self._handle(handle)
        return mask

    def _handle(self, handle: int) -> _Handle:
        if handle == ROOT:
            return _Handle("", 0, b"")
        found = self._handles.get(handle)
        if found is None:
            raise Refused(e.EBADF)
        return found
