"""The scheme `serio`: the bytes of a PS/2 keyboard and a PS/2 mouse.  For root only (EPERM).

```
/scheme/serio/0      the keyboard's: scancodes of set 1
/scheme/serio/1      the mouse's: packets of three bytes
```

They come from Linux's input devices, put back into what a PS/2 device would have sent
(`serio_evdev`), and from the i8042 of a lab machine (`serio_i8042`).  Sources are read only while
somebody has the scheme open; a byte goes to whoever reads first, as on Redox.
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
from kernel_shim.schemes.serio_source import PORTS, Source
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, Stat
from redbear_host.errors import DeviceError, Refused, TransportError
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import ROOT, Entry, Opened, Scheme

log = logging.getLogger(__name__)

_QUEUE: Final = 4096  # bytes nobody has read yet; the oldest go first
_ROOT: Final = -1  # in place of a port: the directory


class _File:
    def __init__(self, port: int, looks: bool) -> None:
        self.port: Final = port
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
        handle = self._handles.add(_File(int(path) if path else _ROOT, looks), request.caller)
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
        return mask & f.EVENT_READ if self._queues[opened.port] else 0


def build(kernel: Kernel) -> SerioScheme:
    """Make the scheme; a lab's controller comes when the supervisor tells of it."""
    scheme = SerioScheme()
    scheme.add(Evdev(kernel.loop))

    def on_serio(message: Mapping[str, Any], fds: list[int]) -> None:
        try:
            scheme.add(open_i8042(kernel.loop, message, fds))
        except (DeviceError, TransportError) as err:
            log.warning("the lab's keyboard and mouse cannot be had: %s", err)

    kernel.on_serio = on_serio
    return scheme
