"""The scheme `input`: producers, consumers, and who is told which terminal is active.

```
/scheme/input/producer            written: OrbitalEvents, 24 bytes each
             /consumer            opened: a new VT; read: its events
             /consumer_bootlog    the same, VT 1, once
             /handle/DISPLAY      read: VtEvents, 16 bytes each; its driver is there
             /handle_early/…      the same, of one that a better display may replace
             /control             written: ControlEvents, 16 bytes each
             /keymap  /vt  /grab  texts of ours: what is in use; written: another
             /status              what there is, for everybody
```

All but `status` and the three texts for reading are root's (EACCES).  Redox lets whoever has the
scheme in his namespace; on Linux all have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import ClassVar, Final

from daemons.inputd.consumer import RECORD, SIZE, Consumer
from daemons.inputd.desk import Desk
from daemons.inputd.devices import Devices
from daemons.inputd.displays import VT_EVENT, DisplayHandle
from daemons.inputd.handles import Control, Folder, Handle, Looked, Text
from daemons.inputd.keymaps import KEYMAPS
from daemons.inputd.source import Source
from daemons.inputd.status import status
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.request import Request, Unheard
from redbear_host.scheme.scheme import POSITIONED, ROOT, Entry, Opened, Scheme

CONTROL_EVENT: Final = Struct("<QQ")  # ControlEvent: kind, data
ACTIVATE_VT: Final = 1
USE_KEYMAP: Final = 2

_FOLDERS: Final = ("", "handle", "handle_early")
_TEXTS: Final = ("grab", "keymap", "status", "vt")
_STREAMS: Final = {  # and their permissions
    "consumer": 0o400, "consumer_bootlog": 0o400, "control": 0o200, "producer": 0o200,
}  # fmt: skip
_INODES: Final = {  # of the root's entries; what is below `handle` comes behind them
    name: number for number, name in enumerate((*_FOLDERS, *_TEXTS, *_STREAMS), 1)
}
_INODE_OF_VT: Final = 1000  # and on: of consumers, so that a successor knows them apart
_BLOCK: Final = 4096
_NAME_MOST: Final = 255
_WORD_MOST: Final = 64  # bytes written to a text


class InputScheme(Scheme):
    """See the module.

    It `replays`: a record read twice was lost by a predecessor, one fed twice is a key that is down
    already.  Handles are opened again in their order, and consumers have the VTs they had.
    """

    name = "input"
    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(self, desk: Desk, devices: Devices) -> None:
        self._desk: Final = desk
        self._devices: Final = devices
        self._handles: Final[dict[int, Handle]] = {}
        self._numbers: Final[dict[Consumer | DisplayHandle, int]] = {}
        self._next = ROOT + 1
        desk.on_consumer = self._post
        desk.on_display = self._post

    def _post(self, ready: Consumer | DisplayHandle) -> None:
        number = self._numbers.get(ready)
        if number is not None:
            self.post_fevent(number, f.EVENT_READ)

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open what a path names."""
        path = self._below(parent, path.strip("/"))
        looks = bool(flags & f.O_STAT)
        if path in _FOLDERS:
            if flags & f.O_WRONLY:
                raise Refused(e.EISDIR)
            return self._add(Folder(path))
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if path in _TEXTS:
            return self._open_text(path, flags, looks, request)
        kind, _, display = path.partition("/")
        if path not in _STREAMS and not (kind in _FOLDERS and _is_name(display)):
            # Redox: EINVAL; but Linux's programs look for what may not be there.
            raise Refused(e.ENOENT if looks else e.EINVAL)
        if looks:
            return self._add(Looked(path))
        if request.caller.uid != 0:
            raise Refused(e.EACCES)
        return self._open_stream(kind, display, request)

    def _below(self, parent: int, path: str) -> str:
        if parent == ROOT:
            return path
        above = self._handle(parent)
        if not isinstance(above, Folder):
            raise Refused(e.ENOTDIR)
        return "/".join(part for part in (above.name, path) if part)

    def _open_stream(self, kind: str, display: str, request: Request) -> Opened:
        desk, pid = self._desk, request.caller.pid
        match kind:
            case "producer":
                source = Source(f"producer of process {pid}")
                desk.add_source(source)
                return self._add(source)
            case "consumer" | "consumer_bootlog":
                if kind == "consumer":
                    again = request.inode if isinstance(request, Unheard) else 0
                    consumer = desk.open(pid, max(0, again - _INODE_OF_VT))
                else:
                    consumer = desk.open_boot_log(pid)
                opened = self._add(consumer)
                self._numbers[consumer] = opened.handle
                return opened
            case "control":
                return self._add(Control())
        handle = DisplayHandle(display, kind == "handle_early")
        desk.add_display(handle)
        opened = self._add(handle)
        self._numbers[handle] = opened.handle
        return opened

    def _open_text(self, name: str, flags: int, looks: bool, request: Request) -> Opened:
        if looks:
            return self._add(Looked(name), POSITIONED)
        if flags & f.O_WRONLY and (request.caller.uid != 0 or name == "status"):
            raise Refused(e.EACCES)
        return self._add(Text(name, flags, self._text(name).encode()), POSITIONED)

    def _text(self, name: str) -> str:
        match name:
            case "grab":
                return "0\n" if self._devices.released else "1\n"
            case "keymap":
                return f"{self._desk.typist.keymap.name}\n"
            case "vt":
                return f"{self._desk.active}\n"
        return status(self._desk, self._devices.describe(), self._devices.released)

    def _add(self, opened: Handle, flags: int = 0) -> Opened:
        number, self._next = self._next, self._next + 1
        self._handles[number] = opened
        return Opened(number, flags)

    def on_close(self, handle: int) -> None:
        """Forget the handle; what it held down comes up."""
        closed = self._handles.pop(handle)
        match closed:
            case Source():
                self._desk.remove_source(closed)
            case Consumer():
                del self._numbers[closed]
                self._desk.close(closed)
            case DisplayHandle():
                del self._numbers[closed]
                self._desk.remove_display(closed)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/DISPLAY/VT` of a consumer (ENODEV without a display), else its own."""
        opened = self._handle(handle)
        match opened:
            case Consumer():
                if not self._desk.displays.best:
                    raise Refused(e.ENODEV)
                return f"/scheme/{self._desk.displays.best}/{opened.vt}"
            case Source():
                path = "producer"
            case Control():
                path = "control"
            case DisplayHandle():
                path = f"{'handle_early' if opened.early else 'handle'}/{opened.name}"
            case Looked(path):
                pass
            case Folder() | Text():
                path = opened.name
        return f"/scheme/{self.name}/{path}".rstrip("/")

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List a directory."""
        opened = Folder("") if handle == ROOT else self._handle(handle)
        if not isinstance(opened, Folder):
            raise Refused(e.ENOTDIR)
        if opened.name:
            early = opened.name == "handle_early"
            names = {one.name for one in self._desk.displays.handles if one.early == early}
            return [Entry(name, f.DT_CHR) for name in sorted(names)]
        kinds = {name: f.DT_DIR if name in _FOLDERS else f.DT_REG for name in _INODES if name}
        return [Entry(name, kind, _INODES[name]) for name, kind in sorted(kinds.items())]

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Read whole records, or wait for one; ESTALE once when another display has taken over."""
        opened = self._handle(handle)
        match opened:
            case Consumer():
                if opened.stale:
                    opened.stale = False
                    raise Refused(e.ESTALE)
                _check_room(opened, size, SIZE)
                return self._desk.take(opened, size)
            case DisplayHandle():
                _check_room(opened, size, VT_EVENT.size)
                return opened.take(size)
            case Text() if opened.flags & f.O_RDONLY:
                return opened.text[offset : offset + size]
            case Folder():
                raise Refused(e.EISDIR)
        raise Refused(e.EBADF)

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Take whole records, or none: EINVAL."""
        opened = self._handle(handle)
        match opened:
            case Source():
                if len(data) % SIZE:
                    raise Refused(e.EINVAL)
                self._desk.feed(opened, RECORD.iter_unpack(data))
            case Control():
                if not data or len(data) % CONTROL_EVENT.size:
                    raise Refused(e.EINVAL)
                for kind, number in CONTROL_EVENT.iter_unpack(data):
                    self._control(kind, number)
            case Text() if opened.flags & f.O_WRONLY:
                self._write_text(opened.name, bytes(data[:_WORD_MOST]))
            case _:
                raise Refused(e.EBADF)
        return len(data)

    def _control(self, kind: int, number: int) -> None:
        if kind == ACTIVATE_VT:
            self._desk.switch(number)
        elif kind == USE_KEYMAP and number < len(KEYMAPS):
            self._desk.use_keymap(list(KEYMAPS)[number])
        else:
            raise Refused(e.EINVAL)

    def _write_text(self, name: str, data: bytes) -> None:
        word = data.decode("ascii", "replace").strip()
        if name == "keymap":
            self._desk.use_keymap(word)
        elif name == "vt" and word.isdecimal():
            self._desk.switch(int(word))
        elif name == "grab" and word in ("0", "1"):
            act: Callable[[], None] = (
                self._devices.take_again if word == "1" else self._devices.let_go
            )
            act()
        else:
            raise Refused(e.EINVAL)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: shells write with `>`, which truncates first."""

    # -- facts -------------------------------------------------------------------------------------

    def fevent(self, handle: int, mask: int) -> int:
        """Tell whether there is something to read; producers may always write."""
        opened = self._handle(handle)
        match opened:
            case Consumer():
                return mask & f.EVENT_READ if opened or opened.stale else 0
            case DisplayHandle():
                return mask & f.EVENT_READ if opened else 0
            case Source() | Control():
                return mask & f.EVENT_WRITE
        return mask

    def fstat(self, handle: int) -> Stat:
        """Describe the file."""
        opened = Folder("") if handle == ROOT else self._handle(handle)
        match opened:
            case Folder(name):
                inode = _INODES[name]
                return Stat(st_ino=inode, st_mode=MODE_DIR | 0o555, st_nlink=2, st_blksize=_BLOCK)
            case Looked(path):
                pass
            case Text():
                path = opened.name
            case Source():
                path = "producer"
            case Control():
                path = "control"
            case Consumer():
                inode = _INODE_OF_VT + opened.vt
                return Stat(st_ino=inode, st_mode=MODE_CHR | 0o400, st_nlink=1, st_blksize=_BLOCK)
            case DisplayHandle():
                path = ""
        if path in _TEXTS:
            mode = MODE_FILE | (0o444 if path == "status" else 0o644)
            size = len(self._text(path).encode())
            return Stat(
                st_ino=_INODES[path], st_mode=mode, st_nlink=1, st_size=size, st_blksize=_BLOCK
            )
        mode = MODE_CHR | _STREAMS.get(path, 0o400)
        return Stat(st_ino=_INODES.get(path, 0), st_mode=mode, st_nlink=1, st_blksize=_BLOCK)

    def fsize(self, handle: int) -> int:
        """Return how long a text is; the others have no length."""
        if not isinstance(self._handle(handle), Text | Looked):
            raise Refused(e.ESPIPE)
        return self.fstat(handle).st_size

    def _handle(self, handle: int) -> Handle:
        try:
            return self._handles[handle]
        except KeyError:
            raise Refused(e.EBADF) from None


def _check_room(opened: Consumer | DisplayHandle, size: int, record: int) -> None:
    """Refuse a read without room for a record, or for which there is none yet."""
    if size < record:
        raise Refused(e.EINVAL)
    if not opened:
        raise Refused(e.EWOULDBLOCK)


def _is_name(display: str) -> bool:
    return 0 < len(display) <= _NAME_MOST and "/" not in display and display.isprintable()
