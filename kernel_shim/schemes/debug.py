"""The scheme `debug`: the console and the kernel's log.  For root only (EPERM).

```
/scheme/debug                   a write goes to the console and into the log; a read gives input
     …/no-preserve              the same, but nothing is kept in the log
     …/disable-graphical-debug  on Redox a write ends the kernel's text on screen; here nothing
```

A Linux file cannot have others below it, so the two longer names exist at the ring door only.

The console is the terminal on which `redbear-host up` runs.  Without one (`--detach`, or its output
goes elsewhere), writes go to the log of the daemon `kernel`, and a read waits for ever.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from contextlib import suppress
from typing import ClassVar, Final, NamedTuple

from kernel_shim.schemes.handles import Handles
from kernel_shim.schemes.kernel import Kernel
from kernel_shim.schemes.ring_log import RingLog
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import ROOT, Opened, Scheme

log = logging.getLogger(__name__)

_PATHS: Final = ("", "no-preserve", "disable-graphical-debug")
_INPUT: Final = 1024  # bytes of input nobody has read yet; more is dropped, as by a UART
_LINE: Final = 1024  # a longer line is shown in pieces


class _File(NamedTuple):
    path: str
    looks: bool  # opened with O_STAT


class Console:
    """A terminal, or none; never waits for it."""

    def __init__(self, path: str) -> None:
        self.fd = -1
        if path:
            try:
                # Not ours: it must not become the terminal that controls us, nor stop us.
                flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
                self.fd = os.open(path, flags)
            except OSError as err:
                log.warning("the console %s cannot be opened: %s", path, err.strerror)

    def write(self, data: memoryview) -> None:
        """Show bytes; a terminal that is stopped or gone misses them."""
        if self.fd >= 0:
            with suppress(OSError):
                os.write(self.fd, data)

    def read(self) -> bytes | None:
        """Return what was typed; empty when nothing was, None once the terminal has gone."""
        try:
            return os.read(self.fd, _INPUT) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def close(self) -> None:
        """Let go of the terminal."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class DebugScheme(Scheme):
    """See the module.  The terminal is read only while somebody has the scheme open for it."""

    name = "debug"
    root_is_file: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(self, loop: Loop, kept: RingLog, console: Console) -> None:
        self._loop: Final = loop
        self._kept: Final = kept
        self._console: Final = console
        self._handles: Final[Handles[_File]] = Handles()
        self._input: Final[deque[int]] = deque(maxlen=_INPUT)
        self._line = bytearray()  # what came after the last end of a line
        self._watching = False

    def close(self) -> None:
        """Let go of the terminal."""
        self._unwatch()
        self._console.close()

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open it; EPERM for anyone but root, who may look at it."""
        looks = bool(flags & f.O_STAT)
        if parent != ROOT:
            raise Refused(e.EACCES)
        path = path.strip("/")
        if path not in _PATHS:
            raise Refused(e.ENOENT)
        if not looks and request.caller.uid != 0:
            raise Refused(e.EPERM)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        return Opened(self._handles.add(_File(path, looks), request.caller))

    def fpath(self, handle: int) -> str:
        """Return `debug:` and the path, in the old form, as Redox does."""
        return f"debug:{self._handles[handle].path}"

    def on_close(self, handle: int) -> None:
        """Forget the handle; with the last one, let the terminal's input alone."""
        self._handles.remove(handle)
        if not len(self._handles):
            self._unwatch()

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return what was typed at the console, or wait for it."""
        if self._handles[handle].looks:
            raise Refused(e.EBADF)
        self._watch()
        if not self._input:
            raise Refused(e.EWOULDBLOCK)
        return bytes(self._input.popleft() for _ in range(min(size, len(self._input))))

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Show bytes on the console and keep them."""
        opened = self._handles[handle]
        if opened.looks:
            raise Refused(e.EBADF)
        if opened.path == "disable-graphical-debug":
            return 0
        self._console.write(data)
        if opened.path == "":
            self._kept.append(data)
        self._log(data)
        return len(data)

    def _log(self, data: memoryview) -> None:
        """Put whole lines into the daemon's log, with nothing in them that moves a cursor."""
        self._line += data
        *lines, rest = self._line.split(b"\n")
        while len(rest) > _LINE:
            lines.append(rest[:_LINE])
            rest = rest[_LINE:]
        self._line = rest
        for line in lines:
            text = line.decode("utf-8", "backslashreplace")
            log.info("%s", "".join(c if c.isprintable() else "�" for c in text))

    # -- input -------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if not self._watching and self._console.fd >= 0:
            self._watching = True
            self._loop.watch(self._console.fd, self._on_input)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.unwatch(self._console.fd)

    def _on_input(self) -> None:
        typed = self._console.read()
        if typed is None:
            self._unwatch()
            self._console.close()
        elif typed:
            self._input.extend(typed)
            for handle in self._handles:
                self.post_fevent(handle, f.EVENT_READ)

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe it: a character file of root's."""
        self._handles[handle]
        return Stat(st_mode=MODE_CHR | 0o600, st_nlink=1, st_blksize=4096)

    def fsync(self, handle: int, request: Request) -> None:
        """Do nothing: nothing is held back."""
        self._handles[handle]

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Do nothing: `echo … > /scheme/debug` asks for it."""
        self._handles[handle]

    def fevent(self, handle: int, mask: int) -> int:
        """Say that it can be written always, and read once something was typed."""
        if not self._handles[handle].looks:
            self._watch()
        return mask & (f.EVENT_WRITE | (f.EVENT_READ if self._input else 0))


def build(kernel: Kernel) -> DebugScheme:
    """Make the scheme."""
    return DebugScheme(kernel.loop, kernel.log, Console(kernel.console))
