"""The scheme `pty`: terminals of Linux, opened and named as on Redox.

```
/scheme/pty/ptmx          opened: a new terminal's master
           /N             its slave: a link to the terminal Linux has behind it
           /.N/winsize    rows and columns, u16 each; written, programs get SIGWINCH
              /termios    struct termios of Linux
              /pgrp       the foreground process group, u32; read only
              /ptlock     i32
              /ptsname    where Linux has the slave
```

The files of `.N` are Redox's dup names; through the ring they are opened by dup, as there.  N is
Linux's own number.  A file served by us can be nobody's controlling terminal, a link to one can.
"""

from __future__ import annotations

import select
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from daemons.ptyd.opener import TIOCGPTN, Opener
from daemons.ptyd.terminal import KEPT, TIOCSPTLCK, Terminal
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, MODE_FILE, MODE_SYMLINK, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import LATER, Later, Request
from redbear_host.scheme.scheme import (
    POSITIONED,
    ROOT,
    Bytes,
    Entry,
    Foreign,
    Opened,
    Scheme,
)

SETTINGS: Final = ("winsize", "termios", "pgrp", "ptlock", "ptsname")
_READ_ONLY: Final = ("pgrp", "ptsname")
_BLOCK: Final = 4096
_AGAIN_S: Final = 0.02  # between two looks at masters that are full


class Folder(NamedTuple):
    """The root, or `.N`."""

    terminal: Terminal | None


class Link(NamedTuple):
    """A slave, as Linux's path to it."""

    terminal: Terminal


class Setting(NamedTuple):
    """One file of `.N`, or a handle that dup gave."""

    terminal: Terminal
    name: str


class Door(NamedTuple):
    """`ptmx`, looked at and not opened."""


_Handle: TypeAlias = Terminal | Folder | Link | Setting | Door


class PtyScheme(Scheme):
    """At most `most` terminals, half of them one user's, but root: not to lock others out.

    It does not reopen: Linux hangs the terminals up when their daemon dies.
    """

    name = "pty"

    def __init__(self, opener: Opener, loop: Loop, most: int) -> None:
        self._opener: Final = opener
        self._loop: Final = loop
        self._most: Final = most
        self._of_user: Final[Counter[int]] = Counter()  # terminals, and those that are being opened
        self._handles: Final[dict[int, _Handle]] = {}
        self._terminals: Final[dict[int, tuple[int, Terminal]]] = {}  # by N: the master's handle
        self._next = ROOT + 1
        # A master with room makes this one readable; the loop itself only knows readers.
        self._room: Final = select.epoll()
        self._full: Final[dict[int, int]] = {}  # handles by descriptor
        self._looking = False  # a timer will look at them again
        loop.watch(self._room.fileno(), self._on_room)

    def close(self) -> None:
        """Hang up every terminal."""
        for handle, _ in list(self._terminals.values()):
            self.on_close(handle)
        self._loop.unwatch(self._room.fileno())
        self._room.close()

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened | Foreign | Later:
        """Open a new master, a slave, a setting or a directory."""
        found = self._find(parent, path.strip("/"), flags)
        if isinstance(found, Folder):
            if flags & f.O_WRONLY:
                raise Refused(e.EISDIR)
            return self._open(found)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if flags & f.O_STAT:
            return self._open(found)
        if isinstance(found, Door):
            return self._open_master(request)
        if isinstance(found, Link) and flags & f.O_SYMLINK:
            return self._open(found)
        _check_owner(found.terminal, request)
        if isinstance(found, Link):
            return self._open_slave(found.terminal, request)
        if flags & f.O_WRONLY and found.name in _READ_ONLY:
            raise Refused(e.EACCES)
        return self._open(found)

    def _find(self, parent: int, path: str, flags: int) -> Folder | Link | Setting | Door:
        if parent != ROOT:
            above = self._handle(parent)
            if not isinstance(above, Folder):
                raise Refused(e.ENOTDIR)
            if above.terminal is not None:
                path = f".{above.terminal.number}/{path}".rstrip("/")
        if not path:
            if not flags & (f.O_DIRECTORY | f.O_STAT):
                raise Refused(e.ENOENT)  # on Redox, too, there is nothing at "" to open
            return Folder(None)
        if path == "ptmx":
            return Door()
        first, _, rest = path.removeprefix(".").partition("/")
        if not first.isascii() or not first.isdecimal() or len(first) > 9:
            raise Refused(e.ENOENT)
        known = self._terminals.get(int(first))
        if known is None or str(known[1].number) != first:
            raise Refused(e.ENOENT)
        if not path.startswith("."):
            if rest:
                raise Refused(e.ENOTDIR)
            return Link(known[1])
        if not rest:
            return Folder(known[1])
        if rest not in SETTINGS:
            raise Refused(e.ENOENT)
        return Setting(known[1], rest)

    def _open(self, opened: _Handle) -> Opened:
        number, self._next = self._next, self._next + 1
        self._handles[number] = opened
        return Opened(number, 0 if isinstance(opened, Terminal) else POSITIONED)

    def _open_master(self, request: Request) -> Later:
        uid = request.caller.uid
        if self._of_user.total() >= self._most:
            raise Refused(e.ENOSPC)
        if uid and self._of_user[uid] >= max(1, self._most // 2):
            raise Refused(e.EMFILE)

        def opened(failed: int, number: int, fd: int) -> None:
            if failed:
                self._forget_one(uid)
                request.refuse(failed)
                return
            terminal = Terminal(number, fd, uid)
            answer = self._open(terminal)
            self._terminals[number] = answer.handle, terminal
            self._watch(answer.handle, terminal)
            request.answer(answer)

        self._opener.open_master(uid, opened)
        self._of_user[uid] += 1
        return LATER

    def _forget_one(self, uid: int) -> None:
        self._of_user[uid] -= 1
        if not self._of_user[uid]:
            del self._of_user[uid]

    def _open_slave(self, terminal: Terminal, request: Request) -> Later:
        """Hand out the slave itself: it can be a controlling terminal."""

        def opened(failed: int, number: int, fd: int) -> None:
            if failed:
                request.refuse(failed)
            else:
                request.answer(Foreign(fd))

        self._opener.open_slave(terminal.fd, opened)
        return LATER

    def dup(self, handle: int, name: Bytes, request: Request) -> Opened:
        """Open a setting of a master."""
        terminal = self._master(handle)
        setting = bytes(name).decode("ascii", "replace")
        if setting not in SETTINGS:
            raise Refused(e.EINVAL)
        return self._open(Setting(terminal, setting))

    def fpath(self, handle: int) -> str:
        """Return `/scheme/pty/…`."""
        opened = self._handle(handle)
        root = f"/scheme/{self.name}"
        match opened:
            case Folder(None):
                return root
            case Folder(Terminal() as terminal):
                return f"{root}/.{terminal.number}"
            case Link(terminal):
                return f"{root}/{terminal.number}"
            case Setting(terminal, name):
                return f"{root}/.{terminal.number}/{name}"
        return f"{root}/ptmx"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the terminals, or the settings of one."""
        opened = Folder(None) if handle == ROOT else self._handle(handle)
        if not isinstance(opened, Folder):
            raise Refused(e.ENOTDIR)
        if opened.terminal is not None:
            return [Entry(name, f.DT_REG) for name in SETTINGS]
        links = [Entry(str(number), f.DT_LNK) for number in sorted(self._terminals)]
        folders = [Entry(f".{number}", f.DT_DIR) for number in sorted(self._terminals)]
        return [Entry("ptmx", f.DT_REG), *links, *folders]

    def on_close(self, handle: int) -> None:
        """Forget the handle; a master hangs its terminal up."""
        closed = self._handles.pop(handle)
        if isinstance(closed, Terminal):
            self._loop.unwatch(closed.fd)
            if self._full.pop(closed.fd, None) is not None:
                self._room.unregister(closed.fd)
            del self._terminals[closed.number]
            self._forget_one(closed.uid)
            closed.close()

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Read a packet from a master, a setting, or a link's target."""
        opened = self._handle(handle)
        if isinstance(opened, Terminal):
            try:
                return opened.read(size)
            finally:
                self._watch(handle, opened)
        if isinstance(opened, Setting):
            self._check_there(opened.terminal)
            return _part(opened.terminal.get(opened.name), size, offset)
        if isinstance(opened, Link):
            return _part(opened.terminal.link.encode(), size, offset)
        raise Refused(e.EISDIR if isinstance(opened, Folder) else e.EBADF)

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Type at a master, or change a setting."""
        opened = self._handle(handle)
        if isinstance(opened, Setting):
            self._check_there(opened.terminal)
            return opened.terminal.put(opened.name, bytes(data))
        terminal = self._master(handle)
        try:
            return terminal.write(data)
        except Refused as refusal:
            if refusal.errno == e.EWOULDBLOCK and terminal.fd not in self._full:
                self._look_soon()
                self._full[terminal.fd] = handle
                self._room.register(terminal.fd, select.EPOLLOUT)
            raise

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing: shells write with `>`, which truncates first."""

    def ioctl(
        self, handle: int, command: int, data: bytes, out_size: int, request: Request
    ) -> bytes:
        """Answer those of a master's ioctls whose number tells their size: ptsname(3) works."""
        terminal = self._master(handle)
        match command & 0xFFFF_FFFF:
            case number if number == TIOCGPTN:
                return terminal.number.to_bytes(4, "little")[:out_size]
            case number if number == TIOCSPTLCK:
                terminal.put("ptlock", data)
                return b""
        raise Refused(e.ENOTTY)

    # -- what the kernel's side does ---------------------------------------------------------------

    def _watch(self, handle: int, terminal: Terminal) -> None:
        """Read ahead for the client, as far as there is room, until the slave is closed."""
        wanted = not terminal.hung_up and len(terminal.ahead) < KEPT
        if wanted and not terminal.watched:
            self._loop.watch(terminal.fd, partial(self._on_readable, handle, terminal))
        elif terminal.watched and not wanted:
            self._loop.unwatch(terminal.fd)
        terminal.watched = wanted

    def _on_readable(self, handle: int, terminal: Terminal) -> None:
        came = terminal.pull()
        self._watch(handle, terminal)
        if came or terminal.hung_up:
            self.post_fevent(handle, f.EVENT_READ)

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.at(self._loop.now() + _AGAIN_S, self._look_again)

    def _look_again(self) -> None:
        """Ask full masters whether they have room: Linux wakes only whom it had throttled."""
        for fd in self._full:
            self._room.modify(fd, select.EPOLLOUT)
        self._on_room()
        self._looking = False
        if self._full:
            self._look_soon()

    def _on_room(self) -> None:
        for fd, _ in self._room.poll(0):
            self._room.unregister(fd)
            self.post_fevent(self._full.pop(fd), f.EVENT_WRITE)

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe what a handle stands for."""
        opened = Folder(None) if handle == ROOT else self._handle(handle)
        match opened:
            case Folder():
                return Stat(st_mode=MODE_DIR | 0o555, st_nlink=2, st_blksize=_BLOCK)
            case Link(terminal):
                length = len(terminal.link)
                mode = MODE_SYMLINK | 0o777
                return Stat(st_mode=mode, st_nlink=1, st_uid=terminal.uid, st_size=length)
            case Setting(terminal, name):
                bits = 0o400 if name in _READ_ONLY else 0o600
                return Stat(
                    st_mode=MODE_FILE | bits, st_nlink=1, st_uid=terminal.uid, st_blksize=_BLOCK
                )
        return Stat(st_mode=MODE_CHR | 0o666, st_nlink=1, st_blksize=_BLOCK)

    def fsize(self, handle: int) -> int:
        """Return how long a setting or link is; a master has no length."""
        opened = self._handle(handle)
        if isinstance(opened, Terminal):
            raise Refused(e.ESPIPE)
        return self.fstat(handle).st_size

    def fevent(self, handle: int, mask: int) -> int:
        """Tell whether a master has output to read, and takes input."""
        opened = self._handle(handle)
        if not isinstance(opened, Terminal):
            return mask
        ready = 0
        if opened.ahead or opened.pull() or opened.hung_up:
            ready |= f.EVENT_READ
        self._watch(handle, opened)
        if opened.fd not in self._full:
            ready |= f.EVENT_WRITE
        return ready & mask

    def _master(self, handle: int) -> Terminal:
        opened = self._handle(handle)
        if not isinstance(opened, Terminal):
            raise Refused(e.EISDIR if isinstance(opened, Folder) else e.EBADF)
        return opened

    def _check_there(self, terminal: Terminal) -> None:
        """Refuse for a terminal that was hung up while a setting of it was open: EIO."""
        known = self._terminals.get(terminal.number)
        if known is None or known[1] is not terminal:
            raise Refused(e.EIO)

    def _handle(self, handle: int) -> _Handle:
        try:
            return self._handles[handle]
        except KeyError:
            raise Refused(e.EBADF) from None


def _check_owner(terminal: Terminal, request: Request) -> None:
    if request.caller.uid not in (0, terminal.uid):
        raise Refused(e.EACCES)


def _part(data: bytes, size: int, offset: int) -> bytes:
    return data[offset : offset + size]
