"""The scheme `orbital.ctl`: looking at all windows and screens, and having a say in them.

```
windows  windows.json        all windows, frontmost first; readable again when that changes
displays displays.json       all screens
screenshot/N.png             what screen N shows, with the cursor; NAME.png by its name
window/ID.png                what a window has drawn, seen or not
clipboard                    what is cut and pasted
control                      written: see `orbital.orders`
```

No program reads another's pixels, unless it was given the right: this scheme.  It is for root, and
for the users that the option `operators` names; a namespace without `orbital.ctl` has no way to it,
not even for root.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, Final

from orbital import png
from orbital.client import Client
from orbital.clients import Clients
from orbital.clipboard import Clipboard
from orbital.desktop import Desktop
from orbital.files import ClipboardFile, OpenFile
from orbital.gate import Gate
from orbital.orders import Orders
from orbital.paths import write_flags
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.display import WORD
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Later, Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Bytes, Entry, Opened, Scheme

_PNG: Final = ".png"
_BLOCK: Final = 4096
_FOLDERS: Final = ("", "screenshot", "window")
_TEXTS: Final = ("windows", "windows.json", "displays", "displays.json")


class ControlScheme(Scheme):
    """For operators only."""

    name = "orbital.ctl"
    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(
        self,
        desktop: Desktop,
        clients: Clients,
        clipboard: Clipboard,
        gate: Gate,
        operators: Collection[int],
    ) -> None:
        self._gate: Final = gate
        self._desktop: Final = desktop
        self._clients: Final = clients
        self._clipboard: Final = clipboard
        self._operators: Final = frozenset({0, *operators})
        self._orders: Final = Orders(desktop, clients)
        self._files: Final[dict[int, OpenFile]] = {ROOT: _Folder("")}
        self._next = ROOT + 1
        self._changes = 1  # of the list of windows

    def note_list(self) -> None:
        """Hear that the list of windows says something else."""
        self._changes += 1
        for number, file in list(self._files.items()):
            if isinstance(file, _Text):
                self.post_fevent(number, f.EVENT_READ)

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened | Later:
        """Open a file; EACCES for everyone but operators."""
        if request.caller.uid not in self._operators:
            raise Refused(e.EACCES)
        above = self._file(parent)
        if not isinstance(above, _Folder):
            raise Refused(e.ENOTDIR)
        path = f"{above.name}/{path}".strip("/")
        return self._gate.pass_(request, lambda: self._open(path, flags))

    def _open(self, path: str, flags: int) -> Opened:
        file = self._find(path, bool(flags & f.O_STAT))
        if isinstance(file, _Folder) and flags & f.O_WRONLY:
            raise Refused(e.EISDIR)
        if not isinstance(file, _Folder) and flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if flags & f.O_WRONLY and not file.mode & 0o200:
            raise Refused(e.EACCES)
        number, self._next = self._next, self._next + 1
        self._files[number] = file
        return Opened(number, 0 if isinstance(file, _Folder) else POSITIONED)

    def _find(self, path: str, looks: bool) -> OpenFile:
        if path in _FOLDERS:
            return _Folder(path)
        if path in _TEXTS:
            what = self._windows if path.startswith("windows") else self._displays
            return _Text(path, what, path.endswith(".json"), lambda: self._changes)
        if path == "clipboard":
            return ClipboardFile(self._clipboard, self._desktop, None)
        if path == "control":
            return _Control(self._orders)
        folder, _, name = path.partition("/")
        if name.endswith(_PNG):
            name = name.removesuffix(_PNG)
            if folder == "screenshot":
                return self._screenshot(path, name, looks)
            if folder == "window" and name.isdecimal():
                client = self._clients.get(int(name[:18]))
                if client is not None:
                    return _Picture(path, b"" if looks else _window(client))
        raise Refused(e.ENOENT)

    def _screenshot(self, path: str, name: str, looks: bool) -> OpenFile:
        screens = [screen.name for screen in self._desktop.layout]
        if name.isdecimal() and int(name[:9]) < len(screens):
            name = screens[int(name[:9])]
        if name not in screens:
            raise Refused(e.ENOENT)
        if looks:
            return _Picture(path, b"")
        width, height, pixels = self._desktop.picture(name)
        return _Picture(path, png.encode(pixels, width, height, width * WORD))

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List a folder."""
        file = self._file(handle)
        if not isinstance(file, _Folder):
            raise Refused(e.ENOTDIR)
        if file.name == "screenshot":
            return [Entry(f"{n}{_PNG}", f.DT_REG) for n in range(len(self._desktop.layout))]
        if file.name == "window":
            return [Entry(f"{client.number}{_PNG}", f.DT_REG) for client in self._clients]
        files = (*_TEXTS, "clipboard", "control")
        folders = (Entry(name, f.DT_DIR) for name in _FOLDERS[1:])
        return [*(Entry(name, f.DT_REG) for name in files), *folders]

    def on_close(self, handle: int) -> None:
        """Forget it."""
        self._files.pop(handle)

    # -- what there is -----------------------------------------------------------------------------

    def _windows(self) -> list[dict[str, Any]]:
        """Describe all windows, frontmost first."""
        desktop, found = self._desktop, []
        for window in desktop.list():
            client = window.tag
            if not isinstance(client, Client):
                continue
            place = window.place
            found.append(
                {
                    "id": client.number,
                    "title": window.title,
                    "name": client.name,
                    "flags": write_flags(window.flags),
                    "x": place.x,
                    "y": place.y,
                    "width": window.width,
                    "height": window.height,
                    "focused": desktop.focused is window,
                    "minimised": window.minimised,
                    "pid": client.owner.pid,
                    "uid": client.owner.uid,
                }
            )
        return found

    def _displays(self) -> list[dict[str, Any]]:
        """Describe all screens; what was shown when is for who measures."""
        found = []
        for number, screen in enumerate(self._desktop.layout):
            output = screen.output
            found.append(
                {
                    "number": number,
                    "name": output.name,
                    "x": screen.place.x,
                    "y": screen.place.y,
                    "width": output.size[0],
                    "height": output.size[1],
                    "scale": screen.scale / 160,
                    "modes": [f"{width}x{height}" for width, height in output.modes()],
                    "frames": getattr(output, "frames", 0),
                    "shown_at_ns": getattr(output, "shown_at", 0),
                }
            )
        return found

    # -- bytes and facts ---------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes:
        """Read; a list is made anew whenever it is read from its beginning."""
        return self._file(handle).read(size, offset)

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Give an order, or write to the clipboard."""
        return self._file(handle).write(data, offset)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: `>` is how shells write."""
        self._file(handle)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/orbital.ctl/…`."""
        return self._file(handle).path()

    def fstat(self, handle: int) -> Stat:
        """Describe it."""
        return self._file(handle).stat()

    def fsize(self, handle: int) -> int:
        """Return the bytes, where they are known before they are read."""
        return self._file(handle).size()

    def fevent(self, handle: int, mask: int) -> int:
        """Tell whether a list says something else than when it was read."""
        return self._file(handle).ready() & mask

    def _file(self, handle: int) -> OpenFile:
        found = self._files.get(handle)
        if found is None:
            raise Refused(e.EBADF)
        return found


class _Named(OpenFile):
    """What has a path."""

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def path(self) -> str:
        """Return it."""
        return f"/scheme/orbital.ctl/{self.name}".rstrip("/")


class _Folder(_Named):
    """A folder."""

    mode = MODE_DIR | 0o500

    def read(self, size: int, offset: int) -> Bytes:
        """Refuse."""
        raise Refused(e.EISDIR)


class _Text(_Named):
    """A list, as lines or as JSON."""

    mode = MODE_FILE | 0o400

    def __init__(
        self,
        name: str,
        what: Callable[[], list[dict[str, Any]]],
        is_json: bool,
        changes: Callable[[], int],
    ) -> None:
        super().__init__(name)
        self._what: Final = what
        self._is_json: Final = is_json
        self._changes: Final = changes
        self._text = b""
        self._seen = 0

    def read(self, size: int, offset: int) -> Bytes:
        """Read the list, made when it is read from its beginning."""
        if not offset:
            self._seen = self._changes()
            found = self._what()
            if self._is_json:
                self._text = json.dumps(found, indent=2).encode() + b"\n"
            else:
                self._text = "".join(map(_line, found)).encode("utf-8", "replace")
        return self._text[offset : offset + size]

    def ready(self) -> int:
        """Be readable when the list has changed since it was read."""
        return f.EVENT_READ if self._seen != self._changes() else 0


def _line(found: dict[str, Any]) -> str:
    """Write a window or a screen as a line, its name last and without what would end it."""
    size = f"{found['width']}x{found['height']} {found['x']},{found['y']}"
    if "title" not in found:
        return f"{found['number']} {size} {found['name']}\n"
    state = "focused" if found["focused"] else "minimised" if found["minimised"] else "-"
    title = "".join(c if c.isprintable() else "?" for c in found["title"])
    return f"{found['id']} {size} {found['flags'] or '-'} {state} {title}\n"


class _Picture(_Named):
    """A PNG file, taken when it was opened."""

    mode = MODE_FILE | 0o400

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(name)
        self._data: Final = data

    def stat(self) -> Stat:
        """Describe it."""
        size = len(self._data)
        return Stat(st_mode=self.mode, st_nlink=1, st_size=size, st_blksize=_BLOCK)

    def read(self, size: int, offset: int) -> Bytes:
        """Read a part of it."""
        return self._data[offset : offset + size]


class _Control(_Named):
    """Takes orders."""

    mode = MODE_FILE | 0o200

    def __init__(self, orders: Orders) -> None:
        super().__init__("control")
        self._orders: Final = orders

    def write(self, data: memoryview, offset: int) -> int:
        """Do as it says; EINVAL for what is no order, ENOENT for what is not there."""
        self._orders.do(bytes(data).decode("utf-8", "replace"))
        return len(data)


def _window(client: Client) -> bytes:
    memory = client.memory
    if not memory.size:
        raise Refused(e.ENODATA)
    return png.encode(bytes(memory.memory), memory.width, memory.height, memory.width * WORD)
