"""The scheme `serio`: the bytes of a PS/2 keyboard and a PS/2 mouse.  For root only (EPERM).

```
/scheme/serio/0      the keyboard's: scancodes of set 1
/scheme/serio/1      the mouse's: packets of three bytes
```

They come from Linux's input devices, put back into what a PS/2 device would have sent
(`serio_evdev`), or from the i8042 of a lab machine (`serio_i8042`), which takes their place: it is
what was asked for.  Sources are read only while somebody has the scheme open; a byte goes to
whoever reads first, as on Redox.  What is written goes to the device, as ps2d on Redox does through
the controller's ports; Linux's devices take no commands (ENODEV).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from kernel_shim.schemes.handles import Handles
from kernel_shim.schemes.kernel import Kernel
from kernel_shim.schemes.serio_evdev import Evdev
from kernel_shim.schemes.serio_i8042 import open_i8042
from kernel_shim.schemes.serio_source import KEYBOARD, MOUSE, PORTS, Source
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, Stat
from redbear_host.errors import DeviceError, Refused, TransportError
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import ROOT, Entry, Opened, Scheme

log = logging.getLogger(__name__)

_SENT_MOST: Final = 16  # bytes of one write: each is a command, or part of one
_QUEUE: Final = 4096  # bytes nobody has read yet; the oldest go first
_ROOT: Final = -1  # in place of a port: the directory
_PLUGGED_IN: Final = {KEYBOARD: b"\xaa", MOUSE: b"\xaa\x00"}  # the end of their self tests


class _File:
    def __init__(self, port: int, looks: bool, writes: bool) -> None:
        self.port: Final = port
        self.writes: Final = writes
        self.looks: Final = looks  # opened with O_STAT


class SerioScheme(Scheme):
    """See the module."""

    name = "serio"
    reopens: ClassVar[bool] = True

    def __init__(self) -> None:
        self._sources: Final[list[Source]] = []
        self._handles: Final[Handles[_File]] = Handles()
        self._queues: Final = [deque[int](maxlen=_QUEUE) for _ in range(PORTS)]
        self._users: Final[set[int]] = set()  # handles that are more than a look

    def add(self, source: Source) -> None:
        """Take one more source."""
        self._sources.append(source)
        if self._users:
            source.start(self._on_bytes)

    def replace(self, source: Source) -> None:
        """Take one in place of all others; who listens hears that a device was plugged in."""
        for other in self._sources:
            other.stop()
        self._sources.clear()
        self.add(source)
        for port, said in _PLUGGED_IN.items():
            if any(self._handles[handle].port == port for handle in self._users):
                self._on_bytes(port, said)

    def _on_bytes(self, port: int, data: bytes) -> None:
        self._queues[port].extend(data)
        for handle in tuple(self._users):
            if self._handles[handle].port == port:
                self.post_fevent(handle, f.EVENT_READ)

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a port or the directory; anyone may look."""
        if parent != ROOT and self._handles[parent].port != _ROOT:
            raise Refused(e.EACCES)
        path = path.strip("/")
        if path not in ("", "0", "1"):
            raise Refused(e.ENOENT)
        looks = bool(flags & f.O_STAT) or not path
        if path and not looks:
            if request.caller.uid != 0:
                raise Refused(e.EPERM)
            if flags & f.O_DIRECTORY:
                raise Refused(e.ENOTDIR)
        handle = self._handles.add(
            _File(int(path) if path else _ROOT, looks, bool(flags & f.O_WRONLY)), request.caller
        )
        if not looks:
            self._users.add(handle)
            for source in self._sources:
                source.start(self._on_bytes)
        return Opened(handle)

    def fpath(self, handle: int) -> str:
        """Return `serio:N`, in the old form, as Redox does."""
        port = self._handles[handle].port
        return f"serio:{'' if port == _ROOT else port}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the ports."""
        if self._handles[handle].port != _ROOT:
            raise Refused(e.ENOTDIR)
        return [Entry(str(port), f.DT_CHR) for port in range(PORTS)]

    def on_close(self, handle: int) -> None:
        """Forget the handle; with the last, leave the sources alone and drop what they said."""
        self._handles.remove(handle)
        if handle in self._users:
            self._users.discard(handle)
            if not self._users:
                for source in self._sources:
                    source.stop()
                for queue in self._queues:
                    queue.clear()

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Take what has come, or wait for it."""
        opened = self._handles[handle]
        if opened.looks:
            raise Refused(e.EISDIR if opened.port == _ROOT else e.EBADF)
        queue = self._queues[opened.port]
        if not queue:
            raise Refused(e.EWOULDBLOCK)
        return bytes(queue.popleft() for _ in range(min(size, len(queue))))

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Send the device bytes; ENODEV where none takes any."""
        opened = self._handles[handle]
        if opened.looks or not opened.writes:
            raise Refused(e.EISDIR if opened.port == _ROOT else e.EBADF)
        for count, byte in enumerate(data[:_SENT_MOST]):
            if not any(source.send(opened.port, byte) for source in self._sources):
                if count:
                    return count
                raise Refused(e.ENODEV)
        return min(len(data), _SENT_MOST)

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a port or the directory."""
        if self._handles[handle].port == _ROOT:
            return Stat(st_mode=MODE_DIR | 0o555, st_nlink=2, st_blksize=4096)
        return Stat(st_mode=MODE_CHR | 0o600, st_nlink=1, st_blksize=4096)

    def fevent(self, handle: int, mask: int) -> int:
        """Say that a port is readable when bytes have come."""
        opened = self._handles[handle]
        if opened.port == _ROOT:
            return mask
        ready = f.EVENT_READ if self._queues[opened.port] else 0
        return mask & (ready | f.EVENT_WRITE * opened.writes)


def build(kernel: Kernel) -> SerioScheme:
    """Make the scheme; a lab's controller comes when the supervisor tells of it."""
    scheme = SerioScheme()
    scheme.add(Evdev(kernel.loop))

    def on_serio(message: Mapping[str, Any], fds: list[int]) -> None:
        try:
            scheme.replace(open_i8042(kernel.loop, message, fds))
        except (DeviceError, TransportError) as err:
            log.warning("the lab's keyboard and mouse cannot be had: %s", err)

    kernel.on_serio = on_serio
    return scheme
