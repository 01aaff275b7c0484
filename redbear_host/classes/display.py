"""The scheme of a display's driver (Redox's driver-graphics), both of its dialects.

```
/scheme/display.NAME/v2/VT       at the ring door: the calls of redbear_host.abi.display
                    /VT[.SCREEN] v1: the pixels of a display's picture; a shell writes them
                    /size        lines "0 1024x768\\n"; written: another mode; polls when changed
                    /modes       lines "0 1024x768 75.000 preferred\\n"
                    /edid[.N]    what the monitor says of itself
                    /active      the VT that is seen; written: another one
```
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat
from redbear_host.classes import displayfiles as df
from redbear_host.classes.displaycalls import Calls, damage
from redbear_host.classes.displayfiles import Kind, OpenDisplay
from redbear_host.classes.displaystate import NAME, DisplayState
from redbear_host.classes.framebuffers import EACH_MOST, Framebuffer, Framebuffers
from redbear_host.classes.scanout import clip
from redbear_host.classes.screen import Area, DisplayAdapter
from redbear_host.classes.terminals import VT_MOST, Terminal, Terminals
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER, Later, Request
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

__all__ = ["DisplayScheme"]

_PAGE: Final = mmap.PAGESIZE
_NUMBER_MOST: Final = 9  # digits of a VT


class DisplayScheme(Scheme):
    """Serves one adapter, to root only.

    `end_batch` must run at the end of every round of the event loop, `Daemon.serve_display` sees to
    it.  What is drawn outlives the daemon: the buffers are `kept` by the shim, and the next life
    shows them before anybody asks.
    """

    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        adapter: DisplayAdapter,
        kept: Mapping[str, int],
        keep: Callable[[str, int], object],
        forget: Callable[[str], object],
    ) -> None:
        """Go on with what is `kept`; `keep(name, fd)` and `forget(name)` tell the shim."""
        if not name.startswith("display."):
            raise ValueError(f"the name of a display scheme starts with display., not {name!r}")
        self.name = name
        self._adapter: Final = adapter
        self._framebuffers: Final = Framebuffers(keep, forget)
        self._framebuffers.restore(kept)
        self._state: Final = DisplayState(kept.get(NAME, -1))
        if NAME not in kept:
            keep(NAME, self._state.fd)
        self._terminals: Final = Terminals(adapter, self._framebuffers, self._state)
        self._calls: Final = Calls(adapter, self._terminals, self._framebuffers)
        self._open: Final[dict[int, OpenDisplay]] = {}
        self._next = ROOT + 1
        self._changes = 1  # of the displays
        self._written = 0  # when a picture was written last, in nanoseconds
        self._gone = False
        adapter.on_changed = self._on_changed
        adapter.on_ready = lambda display: self._terminals.scanouts[display].on_ready()

    # -- for the daemon ----------------------------------------------------------------------------

    def end_batch(self) -> None:
        """Hand over to the card what was drawn since the last call."""
        for scanout in self._terminals.scanouts:
            if not scanout.idle:
                scanout.flush()

    def activate(self, vt: int) -> None:
        """Show another VT, as inputd says."""
        if 0 < vt <= VT_MOST:
            self._terminals.activate(vt)

    def unled(self) -> None:
        """Hear that inputd has ended."""
        self._terminals.unled()

    def leave(self) -> None:
        """Hear that the card has left: ENODEV from now on."""
        self._gone = True
        for number in list(self._open):
            self.post_fevent(number, f.EVENT_READ | f.EVENT_WRITE)

    def close(self) -> None:
        """Let go of all memory; a successor has it again at once."""
        self._framebuffers.close()
        self._state.close()

    def _on_changed(self, display: int) -> None:
        self._changes += 1
        self._terminals.on_changed(display)
        for number, opened in list(self._open.items()):
            if opened.name.kind is not Kind.FOLDER:
                self.post_fevent(number, f.EVENT_READ)

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a file, or a VT: EINVAL for names that make no sense, ENOENT in a look-up."""
        if parent != ROOT and self._handle(parent).name.kind is not Kind.FOLDER:
            raise Refused(e.ENOTDIR)
        if request.caller.uid != 0:
            raise Refused(e.EACCES)
        path = path.strip("/")
        name = df.parse(path, self._adapter.displays)
        if name is None:
            raise Refused(e.ENOENT if flags & (f.O_STAT | f.O_CREAT) else e.EINVAL)
        if flags & f.O_CREAT and flags & f.O_EXCL:
            raise Refused(e.EEXIST)
        if flags & f.O_DIRECTORY and name.kind is not Kind.FOLDER:
            raise Refused(e.ENOTDIR)
        opened = OpenDisplay(name, path, flags)
        if opened.writes and name.kind not in df.WRITABLE:
            raise Refused(e.EISDIR if name.kind is Kind.FOLDER else e.EACCES)
        if opened.used and name.kind in (Kind.TERMINAL, Kind.SCREEN):
            self._open_terminal(opened)
        opened.seen = self._changes
        number, self._next = self._next, self._next + 1
        self._open[number] = opened
        return Opened(number, POSITIONED | CACHED * (name.kind is Kind.SCREEN))

    def _open_terminal(self, opened: OpenDisplay) -> None:
        if self._gone:
            raise Refused(e.ENODEV)
        name = opened.name
        wakes = opened.writes or name.kind is Kind.TERMINAL
        terminal = self._terminals.open(name.vt, wakes)
        if name.kind is Kind.SCREEN:
            try:
                self._terminals.file(terminal, name.display)
            except Refused:
                self._terminals.close(terminal)
                raise
        opened.terminal = terminal

    def hold_to_redox(self, handle: int) -> None:
        """Take damage, not pixels, from what is written to a v1 file."""
        self._handle(handle).redox = True

    def fpath(self, handle: int) -> str:
        """Return `/scheme/NAME/…`; of a v1 file `NAME:VT.SCREEN/WIDTH/HEIGHT`, as on Redox."""
        opened = self._handle(handle)
        if opened.name.kind is not Kind.SCREEN or opened.terminal is None:
            return f"/scheme/{self.name}/{opened.path}"
        opened.seen = self._changes
        file = self._terminals.file(opened.terminal, opened.name.display)
        name = opened.name
        return f"{self.name}:{name.vt}.{name.display}/{file.width}/{file.height}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the files, and those VTs that have any picture."""
        if self._handle(handle).name.kind is not Kind.FOLDER:
            raise Refused(e.ENOTDIR)
        found = [Entry(name, f.DT_REG, kind.value) for name, kind in df.LISTED.items()]
        return found + [Entry(f"{vt}.{n}", f.DT_REG) for vt, n in self._terminals.files]

    def on_close(self, handle: int) -> None:
        """Forget the handle; with the last of a VT goes what is not on a screen."""
        terminal = self._open.pop(handle).terminal
        if terminal is not None:
            self._terminals.close(terminal)

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes:
        """Read text, or pixels; at the ring door of a v1 file: 0, there is no cursor for v1."""
        opened = self._readable(handle)
        kind = opened.name.kind
        if kind is Kind.TERMINAL:
            raise Refused(e.EINVAL)
        if kind is not Kind.SCREEN:
            if offset == 0:
                opened.text, opened.seen = self._text(opened), self._changes
            return opened.text[offset : offset + size]
        if opened.redox:
            return b"\0"[:size]
        return bytes(self._file(opened).pixels[offset : offset + size])

    def _readable(self, handle: int) -> OpenDisplay:
        opened = self._handle(handle)
        if opened.name.kind is Kind.FOLDER:
            raise Refused(e.EISDIR)
        if not opened.reads:
            raise Refused(e.EBADF)
        return opened

    def _text(self, opened: OpenDisplay) -> bytes:
        match opened.name.kind:
            case Kind.SIZE:
                return df.sizes(self._adapter)
            case Kind.MODES:
                return df.modes(self._adapter)
            case Kind.ACTIVE:
                return f"{self._terminals.active}\n".encode()
            case _:
                return self._adapter.edid(opened.name.display)

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int | Later:
        """Write pixels, which are shown at once; at the ring door, v1's damage records."""
        opened = self._handle(handle)
        if not opened.writes:
            raise Refused(e.EBADF)
        if self._gone:
            raise Refused(e.ENODEV)
        match opened.name.kind:
            case Kind.SIZE:
                self._write_size(bytes(data), offset)
            case Kind.ACTIVE:
                self._write_active(bytes(data), offset)
            case Kind.SCREEN if opened.redox:
                return self._write_damage(opened, data, request)
            case Kind.SCREEN:
                return self._write_pixels(opened, data, offset)
            case _:
                raise Refused(e.EINVAL)
        return len(data)

    def _write_size(self, data: bytes, offset: int) -> None:
        wanted = df.parse_size(data.decode("ascii", "replace"))
        if offset or wanted is None:
            raise Refused(e.EINVAL)
        self._calls.set_mode(*wanted)

    def _write_active(self, data: bytes, offset: int) -> None:
        text = data.decode("ascii", "replace").strip()
        if offset or len(text) > _NUMBER_MOST or not text.isdecimal():
            raise Refused(e.EINVAL)
        if not 0 < int(text) <= VT_MOST:
            raise Refused(e.EINVAL)
        self._terminals.show_now(int(text))

    def _write_damage(self, opened: OpenDisplay, data: memoryview, request: Request) -> int | Later:
        terminal, file = self._terminal(opened), self._file(opened)
        self._touch()
        waits = None
        for found in damage(data):
            area = clip(found, file.width, file.height)
            if area is not None:
                waits = self._terminals.show(terminal, opened.name.display, file, area)
        if waits is None:
            return len(data)
        waits.wait(request, len(data))
        return LATER

    def _write_pixels(self, opened: OpenDisplay, data: memoryview, offset: int) -> int:
        file = self._file(opened)
        size = min(len(data), file.size - offset)
        if size <= 0:
            raise Refused(e.ENOSPC)
        file.pixels[offset : offset + size] = data[:size]
        self._touch()
        area = _touched(file, offset, size)
        self._terminals.show(self._terminal(opened), opened.name.display, file, area)
        return size

    def _touch(self) -> None:
        self._written = time.time_ns()

    def fsync(self, handle: int, request: Request) -> Later | None:
        """Show the whole picture of a v1 file."""
        opened = self._handle(handle)
        if opened.name.kind is not Kind.SCREEN or not opened.writes:
            return None
        if self._gone:
            raise Refused(e.ENODEV)
        terminal, file = self._terminal(opened), self._file(opened)
        waits = self._terminals.show(terminal, opened.name.display, file)
        if waits is None:
            return None
        waits.wait(request)
        return LATER

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: `>` is how shells write."""
        if not self._handle(handle).writes:
            raise Refused(e.EBADF)

    def _file(self, opened: OpenDisplay) -> Framebuffer:
        return self._terminals.file(self._terminal(opened), opened.name.display)

    @staticmethod
    def _terminal(opened: OpenDisplay) -> Terminal:
        if opened.terminal is None:
            raise Refused(e.EBADF)
        return opened.terminal

    # -- calls and memory --------------------------------------------------------------------------

    def call(
        self, handle: int, payload: memoryview, metadata: Sequence[int], request: Request
    ) -> int | Later:
        """Do a call of `redbear_host.abi.display`; EINVAL for what is none, or says nonsense."""
        opened = self._handle(handle)
        if opened.name.kind is not Kind.TERMINAL or opened.terminal is None:
            raise Refused(e.EOPNOTSUPP)
        if self._gone:
            raise Refused(e.ENODEV)
        opened.seen = self._changes
        return self._calls.do(opened.terminal, metadata[0], payload, request)

    def mmap_prep(
        self, handle: int, offset: int, size: int, flags: int, request: Request
    ) -> Mapped:
        """Hand out a frame buffer's memory, at the offset it was said to have; ERANGE beyond it."""
        opened = self._handle(handle)
        terminal = self._terminal(opened)
        if opened.name.kind is Kind.SCREEN:
            found, inside = self._file(opened), offset
        else:
            number, inside = divmod(offset, EACH_MOST)
            found = self._framebuffers.of(terminal.number, number)
        if not size or offset % _PAGE:
            raise Refused(e.EINVAL)
        if inside + size > found.room:
            raise Refused(e.ERANGE)
        return Mapped(found.fd, inside)

    def munmap(self, handle: int, offset: int, size: int, flags: int) -> None:
        """Do nothing: the client's mapping is its own."""

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a file; a v1 file is as large as its picture."""
        opened = self._handle(handle)
        kind = opened.name.kind
        if kind is Kind.FOLDER:
            return Stat(st_ino=kind.value, st_mode=MODE_DIR | 0o700, st_nlink=2, st_blksize=_PAGE)
        mode = 0o600 if kind in df.WRITABLE else 0o400
        size = self._size(opened)
        seconds, nanoseconds = divmod(self._written, 10**9)
        return Stat(
            st_ino=kind.value + (opened.name.vt << 16) + (opened.name.display << 8),
            st_mode=MODE_FILE | mode,
            st_nlink=1,
            st_size=size,
            st_blksize=_PAGE,
            st_blocks=-(-size // _PAGE),
            st_mtime=seconds,
            st_mtime_nsec=nanoseconds,
        )

    def _size(self, opened: OpenDisplay) -> int:
        """Return a file's bytes; 0 where only reading tells."""
        if opened.name.kind is not Kind.SCREEN:
            return 0
        if opened.terminal is not None:
            return self._file(opened).size
        width, height = self._adapter.size(opened.name.display)
        return width * height * 4

    def fsize(self, handle: int) -> int:
        """Return the bytes of a v1 file."""
        return self._size(self._handle(handle))

    def fevent(self, handle: int, mask: int) -> int:
        """Be readable when a display has changed since it was asked for; always be writable."""
        opened = self._handle(handle)
        changed = self._gone or opened.seen != self._changes
        return mask & (f.EVENT_WRITE | f.EVENT_READ * changed)

    def _handle(self, handle: int) -> OpenDisplay:
        if handle == ROOT:
            return OpenDisplay(df.Name(Kind.FOLDER), "", f.O_STAT)
        try:
            return self._open[handle]
        except KeyError:
            raise Refused(e.EBADF) from None


def _touched(file: Framebuffer, offset: int, size: int) -> Area:
    """Return the area in which these bytes of a picture lie."""
    first, last = offset // file.stride, (offset + size - 1) // file.stride
    if first != last:
        return Area(0, first, file.width, last - first + 1)
    left, right = offset % file.stride // 4, (offset + size - 1) % file.stride // 4
    return Area(left, first, right - left + 1, 1)
