"""What can be open in the scheme `orbital`, and what each can do."""

from __future__ import annotations

import time
from typing import ClassVar, Final

from orbital import commands as c
from orbital.client import Client
from orbital.clients import Clients
from orbital.clipboard import Clipboard
from orbital.desktop import Desktop
from orbital.events import RECORD
from orbital.memory import Memory
from orbital.paths import canonical
from orbital.picture import COMMAND_MOST
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.display import WORD
from redbear_host.abi.orbital import WindowFlag
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, MODE_SYMLINK, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.scheme import Bytes, Mapped

_BLOCK: Final = 4096
_READY: Final = f.EVENT_READ | f.EVENT_WRITE


class OpenFile:
    """Something open; what it cannot do is refused."""

    mode: ClassVar[int] = MODE_FILE | 0o666
    flags = f.O_RDWR  # it was opened with

    def path(self) -> str:
        """Say what fpath says."""
        raise Refused(e.EOPNOTSUPP)

    def stat(self) -> Stat:
        """Describe it."""
        return Stat(st_mode=self.mode, st_nlink=1, st_blksize=_BLOCK)

    def size(self) -> int:
        """Return its bytes."""
        return self.stat().st_size

    def read(self, size: int, offset: int) -> Bytes:
        """Read."""
        raise Refused(e.EBADF)

    def write(self, data: memoryview, offset: int) -> int:
        """Write."""
        raise Refused(e.EBADF)

    def sync(self) -> None:
        """Show what was drawn."""

    def ready(self) -> int:
        """Return which of EVENT_READ and EVENT_WRITE would not wait."""
        return _READY

    def map(self, offset: int, size: int) -> Mapped:
        """Say what is mapped."""
        raise Refused(e.ENODEV)

    def close(self) -> None:
        """Forget it."""


class Folder(OpenFile):
    """A name on the way to a window."""

    mode = MODE_DIR | 0o777

    def __init__(self, path: str) -> None:
        self.name: Final = path

    def path(self) -> str:
        """Return the name."""
        return f"/scheme/orbital/{self.name}".rstrip("/")

    def read(self, size: int, offset: int) -> Bytes:
        """Refuse."""
        raise Refused(e.EISDIR)


class Name(OpenFile):
    """A name that is only looked at: what could be opened by it."""

    def __init__(self, path: str) -> None:
        self._path: Final = path

    def path(self) -> str:
        """Return the name."""
        return f"/scheme/orbital/{self._path}"


class Seen(OpenFile):
    """A window's pixels, for who only sees that they are there: anybody."""

    mode = MODE_FILE | 0o600

    def __init__(self, client: Client) -> None:
        self._client: Final = client

    def path(self) -> str:
        """Return the name."""
        return f"/scheme/orbital/own/{self._client.number}.bgra"

    def stat(self) -> Stat:
        """Describe it."""
        return _stat_of(self._client, self.mode)


class Link(OpenFile):
    """A link to a window of whoever looks."""

    mode = MODE_SYMLINK | 0o777

    def __init__(self, target: str) -> None:
        self._target: Final = target

    def stat(self) -> Stat:
        """Describe it."""
        return Stat(st_mode=self.mode, st_nlink=1, st_size=len(self._target), st_blksize=_BLOCK)

    def read(self, size: int, offset: int) -> Bytes:
        """Say where it leads."""
        return self._target.encode()[offset : offset + size]


class SizeFile(OpenFile):
    """The size of a display, which its path tells."""

    mode = MODE_FILE | 0o444

    def __init__(self, desktop: Desktop, display: int) -> None:
        self._desktop: Final = desktop
        self._display: Final = display

    def path(self) -> str:
        """Return `orbital:99.N/WIDTH/HEIGHT/SCALE`."""
        screens = list(self._desktop.layout)
        if self._display >= len(screens):
            raise Refused(e.ENODEV)
        screen = screens[self._display]
        width, height = screen.size
        return f"orbital:99.{self._display}/{width}/{height}/{max(1, screen.scale // 160)}"

    def read(self, size: int, offset: int) -> Bytes:
        """Tell the same to who cannot ask for a path."""
        return f"{self.path()}\n".encode()[offset : offset + size]


class WindowFile(OpenFile):
    """A window, as whoever opened it has it."""

    mode = MODE_FILE | 0o600

    def __init__(self, number: int, client: Client, clients: Clients, clipboard: Clipboard) -> None:
        """Open it by the handle `number`."""
        self.client: Final = client
        self.plain = True  # opened as a file of Linux's: pictures may come in pieces
        self._number: Final = number
        self._clients: Final = clients
        self._desktop: Final = clients.desktop
        self._clipboard: Final = clipboard
        client.handles.add(number)

    def path(self) -> str:
        """Return `FLAGS/X/Y/WIDTH/HEIGHT/TITLE`, without the scheme's name, as Redox does."""
        window = self.client.window
        x, y = window.place[:2]
        return canonical(window.flags, x, y, window.width, window.height, window.title)

    def stat(self) -> Stat:
        """Describe it: st_ino is the number by which `own` knows it."""
        return _stat_of(self.client, self.mode)

    def read(self, size: int, offset: int) -> bytes:
        """Take whole events; EINVAL where not one has room."""
        if size < RECORD:
            raise Refused(e.EINVAL)
        found = self.client.window.events.take(size // RECORD)
        if not found and not self.client.window.flags & WindowFlag.ASYNC:
            raise Refused(e.EWOULDBLOCK)
        return found

    def write(self, data: memoryview, offset: int) -> int:
        """Take pixels or a command; EINVAL for what is neither."""
        client = self.client
        if client.picture.takes(data, self.plain):
            self._desktop.damage(client.window, client.picture.write(data))
            client.drawn_at = time.time_ns()
        elif len(data) > COMMAND_MOST:
            raise Refused(e.EINVAL, "neither a picture nor a command")
        else:
            try:
                self._do(c.parse(bytes(data)))
            except ValueError as error:
                raise Refused(e.EINVAL, str(error)) from None
        return len(data)

    def _do(self, command: c.Command) -> None:
        desktop, window = self._desktop, self.client.window
        match command:
            case c.Changed(rects):
                desktop.damage(window, rects)
            case c.Title(text):
                desktop.set_title(window, text)
            case c.Place(x, y):
                desktop.move(window, x, y)
            case c.Size(width, height):
                self._clients.resize(
                    self.client,
                    window.width if width is None else width,
                    window.height if height is None else height,
                )
            case c.Flags(flags, on):
                desktop.set_flags(window, flags, on)
            case c.Async(on):
                desktop.set_flags(window, WindowFlag.ASYNC, on)
            case c.Pointer("C", on):
                desktop.set_pointer(window, shown=on)
            case c.Pointer("G", on):
                desktop.set_pointer(window, grabs=on)
            case c.Pointer("R", on):
                desktop.set_pointer(window, relative=on)
            case c.Drag(edge):
                desktop.drag(window, edge)

    def sync(self) -> None:
        """Show all of it; what is written next begins a picture."""
        self.client.picture.begin()
        self._desktop.damage(self.client.window)

    def ready(self) -> int:
        """Be readable while there are events."""
        return f.EVENT_WRITE | (f.EVENT_READ if self.client.window.events else 0)

    def map(self, offset: int, size: int) -> Mapped:
        """Map the pixels, whole pages of them: EINVAL for more than there are."""
        return _mapped(self.client.memory, offset, size)

    def clipboard(self) -> ClipboardFile:
        """Open what is cut and pasted, as this window's program sees it."""
        return ClipboardFile(self._clipboard, self._desktop, self.client)

    def close(self) -> None:
        """Close the window, if nobody else has it open."""
        self.client.handles.discard(self._number)
        if not self.client.handles:
            self._clients.close(self.client)


class PixelsFile(OpenFile):
    """A window's pixels in place, for programs that map files: B, G, R, A, row after row."""

    mode = MODE_FILE | 0o600

    def __init__(self, client: Client, desktop: Desktop) -> None:
        self.client: Final = client
        self._desktop: Final = desktop
        self._size: Final = _size_of(client)

    def path(self) -> str:
        """Return the name it was opened by."""
        return f"/scheme/orbital/own/{self.client.number}.bgra"

    def stat(self) -> Stat:
        """Describe it."""
        return _stat_of(self.client, self.mode)

    def read(self, size: int, offset: int) -> Bytes:
        """Read what the window shows."""
        memory = self._memory()
        return bytes(memory.memory[offset : min(offset + size, memory.size)])

    def write(self, data: memoryview, offset: int) -> int:
        """Write in place, and show it; ENOSPC behind the end."""
        data = data[: max(self._memory().size - offset, 0)]
        if not data:
            raise Refused(e.ENOSPC)
        changed = self.client.picture.put(offset, data)
        self._desktop.damage(self.client.window, (changed,))
        return len(data)

    def sync(self) -> None:
        """Show all of it."""
        self._memory()
        self._desktop.damage(self.client.window)

    def map(self, offset: int, size: int) -> Mapped:
        """Map it as the window itself is mapped."""
        return _mapped(self._memory(), offset, size)

    def _memory(self) -> Memory:
        """Return what the pixels are in now; ESTALE once the window has another size."""
        if self.client.window.closed or _size_of(self.client) != self._size:
            raise Refused(e.ESTALE)
        return self.client.memory


class ClipboardFile(OpenFile):
    """What is cut and pasted, for the window that somebody works in, and nobody else.

    To have the focus is not enough to read what another has written: who opens a window has it.
    """

    mode = MODE_FILE | 0o600

    def __init__(self, clipboard: Clipboard, desktop: Desktop, client: Client | None) -> None:
        """`client` None: for who may always."""
        self._clipboard: Final = clipboard
        self._desktop: Final = desktop
        self._client: Final = client

    def stat(self) -> Stat:
        """Describe it; how much there is, is not everybody's business either."""
        size = len(self._clipboard) if self._may_read() else 0
        return Stat(st_mode=self.mode, st_nlink=1, st_size=size, st_blksize=_BLOCK)

    def read(self, size: int, offset: int) -> Bytes:
        """Read from an offset; EPERM but for the window that somebody works in."""
        if not self._may_read():
            raise Refused(e.EPERM)
        return self._clipboard.read(offset, size)

    def write(self, data: memoryview, offset: int) -> int:
        """Write from an offset, 0 for something new; EPERM, and ENOSPC for too much."""
        client = self._client
        if not self._may_write():
            raise Refused(e.EPERM)
        if not offset:
            self._clipboard.writer = 0 if client is None else client.number
        return self._clipboard.write(offset, data)

    def _may_write(self) -> bool:
        return self._client is None or self._desktop.focused is self._client.window

    def _may_read(self) -> bool:
        client = self._client
        if client is None or not self._may_write():
            return client is None
        return client.window.worked_in or self._clipboard.writer == client.number


def _size_of(client: Client) -> tuple[int, int]:
    return client.memory.width, client.memory.height


def _mapped(memory: Memory, offset: int, size: int) -> Mapped:
    if not memory.room or offset + size > memory.room:
        raise Refused(e.EINVAL)
    return Mapped(memory.fd, offset)


def _stat_of(client: Client, mode: int) -> Stat:
    window = client.window
    seconds, nanoseconds = divmod(client.drawn_at, 10**9)
    return Stat(
        st_ino=client.number,
        st_mode=mode,
        st_nlink=1,
        st_uid=client.owner.uid,
        st_gid=client.owner.gid,
        st_size=window.width * window.height * WORD,
        st_blksize=_BLOCK,
        st_mtime=seconds,
        st_mtime_nsec=nanoseconds,
    )
