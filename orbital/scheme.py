"""The scheme `orbital`: windows, as files.

`orbital.paths` says what can be opened, `orbital.commands` what can be written to a window, and
`orbital.files` what each file does.  A window is its opener's: its pixels, events and clipboard are
reached by the handle it was opened by, and by `own/ID` for the same program (process and user) and
nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from orbital.client import Client, Owner
from orbital.clients import Clients
from orbital.clipboard import Clipboard
from orbital.desktop import Desktop
from orbital.files import (
    ClipboardFile,
    Folder,
    Link,
    Name,
    OpenFile,
    PixelsFile,
    Seen,
    SizeFile,
    WindowFile,
)
from orbital.gate import Gate
from orbital.paths import LAST, Look, OwnPath, SizePath, WindowPath, look, parse
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Later, Request, Unheard
from redbear_host.scheme.scheme import (
    CACHED,
    POSITIONED,
    ROOT,
    Bytes,
    Entry,
    Mapped,
    Opened,
    Scheme,
)  # fmt: skip


class OrbitalScheme(Scheme):
    """It replays: to read events, draw or set something twice is what doing it once is."""

    name = "orbital"
    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(
        self, desktop: Desktop, clients: Clients, clipboard: Clipboard, gate: Gate
    ) -> None:
        self._gate: Final = gate
        self._desktop: Final = desktop
        self._clients: Final = clients
        self._clipboard: Final = clipboard
        self._files: Final[dict[int, OpenFile]] = {ROOT: Folder("")}
        self._next = ROOT + 1
        clients.on_event = self._on_event

    def _on_event(self, client: Client) -> None:
        for number in client.handles:
            self.post_fevent(number, f.EVENT_READ)

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened | Later:
        """Open a window, or one of the other files.

        EINVAL for a path that is none, EACCES for what is somebody else's, ENOENT for a window that
        is not there any more; of a window, what `Clients.open` says.
        """
        if parent != ROOT:
            raise Refused(e.EACCES)
        path, owner = path.strip("/"), Owner(*request.caller)
        if flags & (f.O_STAT | f.O_DIRECTORY | f.O_SYMLINK) or not path:
            return self._look(path, flags, owner)
        try:
            wanted = parse(path)
        except ValueError as error:
            raise Refused(e.EINVAL, str(error)) from None
        number = request.inode if isinstance(request, Unheard) else 0
        match wanted:
            case SizePath(display):
                return self._gate.pass_(request, lambda: self._open_size(display))
            case OwnPath():
                return self._open_own(wanted, owner, flags)
            case WindowPath():
                return self._gate.pass_(request, lambda: self._open_window(wanted, owner, number))

    def _look(self, path: str, flags: int, owner: Owner) -> Opened:
        kind = look(path)
        if kind is None:
            raise Refused(e.ENOENT)
        if kind is Look.FOLDER:
            if flags & f.O_WRONLY:
                raise Refused(e.EISDIR)
            return self._add(Folder(path))
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if path.startswith("own/"):
            return self._add(self._look_own(path, owner))
        return self._add(Name(path))

    def _look_own(self, path: str, owner: Owner) -> OpenFile:
        """Describe a window's file for whoever walks there; only its owner opens it."""
        wanted = parse(path)
        client = self._own(wanted, owner) if isinstance(wanted, OwnPath) else None
        if client is None:
            raise Refused(e.ENOENT)
        if path.startswith("own/last"):
            return Link(path.removeprefix("own/").replace("last", str(client.number)))
        return Seen(client)

    def _own(self, wanted: OwnPath, owner: Owner) -> Client | None:
        if wanted.window != LAST:
            return self._clients.get(wanted.window)
        theirs = self._clients.of(owner)
        return theirs[-1] if theirs else None

    def _open_size(self, display: int) -> Opened:
        if display >= len(self._desktop.layout):
            raise Refused(e.EINVAL)
        return self._add(SizeFile(self._desktop, display), POSITIONED)

    def _open_own(self, wanted: OwnPath, owner: Owner, flags: int) -> Opened:
        client = self._own(wanted, owner)
        if client is None:
            raise Refused(e.ENOENT)
        if client.owner[:2] != owner[:2]:
            raise Refused(e.EACCES)
        if not wanted.pixels:
            return self._add_window(client)
        opened = self._add(PixelsFile(client, self._desktop), POSITIONED | CACHED)
        self._files[opened.handle].flags = flags & f.O_ACCMODE
        return opened

    def _open_window(self, wanted: WindowPath, owner: Owner, number: int) -> Opened:
        """Open a window, or on behalf of a predecessor's client the one that it had."""
        client = self._clients.get(number)
        if client is None or client.owner != owner:
            client = self._clients.open(wanted, owner, 0 if client is not None else number)
        return self._add_window(client)

    def _add_window(self, client: Client) -> Opened:
        file = WindowFile(self._next, client, self._clients, self._clipboard)
        return self._add(file)

    def _add(self, file: OpenFile, flags: int = 0) -> Opened:
        number, self._next = self._next, self._next + 1
        self._files[number] = file
        return Opened(number, flags)

    def hold_to_redox(self, handle: int) -> None:
        """Take pictures whole from a program of Redox's: what is shorter is a command."""
        file = self._file(handle)
        if isinstance(file, WindowFile):
            file.plain = False

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened:
        """Open the clipboard by a window; EINVAL for all else."""
        file = self._file(handle)
        if not isinstance(file, WindowFile) or bytes(name) != b"clipboard":
            raise Refused(e.EINVAL)
        return self._add(file.clipboard(), POSITIONED)

    def fpath(self, handle: int) -> str:
        """Return the path; a window's without the scheme's name."""
        return self._file(handle).path()

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the displays, and in `own` the windows of whoever asks."""
        file = self._file(handle)
        if not isinstance(file, Folder):
            raise Refused(e.ENOTDIR)
        if file.name == "own":
            theirs = self._clients.of(Owner(*request.caller))
            return [Entry(str(client.number), f.DT_REG) for client in theirs]
        if file.name:
            return ()
        return [
            *(Entry(f"99.{number}", f.DT_REG) for number in range(len(self._desktop.layout))),
            Entry("own", f.DT_DIR),
        ]

    def on_close(self, handle: int) -> None:
        """Close; with the last handle of a window goes the window."""
        self._files.pop(handle).close()

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes:
        """Read events of a window; EWOULDBLOCK parks until there is one."""
        return self._file(handle).read(size, offset)

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Write a picture, or a command."""
        return self._file(handle).write(data, offset)

    def fsync(self, handle: int, request: Request) -> None:
        """Show a window as it is now."""
        self._file(handle).sync()

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: `>` is how shells write; the clipboard is emptied by 0."""
        file = self._file(handle)
        if isinstance(file, Folder | SizeFile):
            raise Refused(e.EINVAL)
        if isinstance(file, ClipboardFile) and not length:
            file.write(memoryview(b""), 0)

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe it; a window's st_ino is its number."""
        return self._file(handle).stat()

    def fsize(self, handle: int) -> int:
        """Return the bytes."""
        return self._file(handle).size()

    def fevent(self, handle: int, mask: int) -> int:
        """Tell whether events wait."""
        return self._file(handle).ready() & mask

    def fcntl(self, handle: int, command: int, argument: int, request: Request) -> int:
        """Accept: the flags come with each read."""
        self._file(handle)
        return 0

    # -- memory ------------------------------------------------------------------------------------

    def mmap_prep(
        self, handle: int, offset: int, size: int, flags: int, request: Request
    ) -> Mapped:
        """Hand out a window's memory; EINVAL for more than whole pages of it."""
        return self._file(handle).map(offset, size)

    def munmap(self, handle: int, offset: int, size: int, flags: int) -> None:
        """Do nothing: the mapping is the client's own."""
        self._file(handle)

    def _file(self, handle: int) -> OpenFile:
        found = self._files.get(handle)
        if found is None:
            raise Refused(e.EBADF)
        return found
