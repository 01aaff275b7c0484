"""The scheme `trace`: live calls of a scheme, live register accesses of a device.

```
/scheme/trace/SCHEME        a line for each call that is answered
/scheme/trace/pci-…         a line for each access to the device's registers
```

Ours, not Redox's, where tracing needs another kernel.  For root only: it shows what all clients do.
A scheme is traced by reading its meter, which costs its daemon little; a device by restarting its
daemon, since the fast path to registers has no place for a spy.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, ClassVar, Final, Protocol

from kernel_shim.schemes.contexts import drivers
from kernel_shim.schemes.kernel import Kernel, SchemeNote
from kernel_shim.schemes.processes import leader
from kernel_shim.schemes.traffic import operation
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat
from redbear_host.bdf import Bdf
from redbear_host.errors import Refused
from redbear_host.hw.pci.header import display_name
from redbear_host.scheme.meter import SAMPLE, Record
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import ROOT, Entry, Opened, Scheme
from schemefs import view

_LOOK_S: Final = 0.05
_MOST: Final = 1 << 20  # bytes of lines that wait for a slow reader
_CHUNK: Final = 1 << 16
_ROOT_HANDLE: Final = 1
_FIRST: Final = 2


def build(kernel: Kernel) -> TraceScheme:
    """Make the scheme."""
    return TraceScheme(kernel)


class Tap(Protocol):
    """Where lines come from, while somebody listens."""

    def open(self, emit: Callable[[bytes], None]) -> None:
        """Begin; `emit` takes whole lines."""
        ...

    def close(self) -> None:
        """End."""
        ...


class Calls:
    """The calls of one scheme, from its meter."""

    def __init__(self, kernel: Kernel, note: SchemeNote) -> None:
        self._kernel: Final = kernel
        self._note: Final = note
        self._next = 0
        self._open = False
        self._emit: Callable[[bytes], None] = lambda lines: None

    def open(self, emit: Callable[[bytes], None]) -> None:
        """Have every call recorded, and look every 50 ms."""
        self._emit = emit
        self._next = self._note.meter.recorded
        self._note.meter.every = 1
        self._open = True
        self._again()

    def close(self) -> None:
        """Have a sample recorded again."""
        self._open = False
        self._note.meter.every = SAMPLE

    def _again(self) -> None:
        self._kernel.loop.at(self._kernel.loop.now() + _LOOK_S, self._look)

    def _look(self) -> None:
        if not self._open:
            return
        records, lost = self._note.meter.since(self._next)
        self._next += lost + len(records)
        lines = [f"({lost} lost)\n"] if lost else []
        lines += [self._line(record) for record in records]
        if lines:
            self._emit("".join(lines).encode("utf-8", "backslashreplace"))
        self._again()

    def _line(self, record: Record) -> str:
        if record.door:
            where = f"handle {record.subject}"
        else:
            where = f"/{view.path(self._note.journal, record.subject)}"
        span = f" {record.size} at {record.offset}" if record.size else ""
        result = str(record.result)
        if record.result < 0:
            result = errno.errorcode.get(-record.result, result)
        return (
            f"{record.when / 1e9:.6f} {operation(record.opcode, record.door)} {where}{span} "
            f"pid {leader(record.pid)} = {result} ({record.latency / 1000:.1f} us)\n"
        )


class Registers:
    """The register accesses of one daemon, through a pipe from it."""

    def __init__(self, kernel: Kernel, service: str) -> None:
        self._kernel: Final = kernel
        self._service: Final = service
        self._fd = -1
        self._open = False
        self._emit: Callable[[bytes], None] = lambda lines: None

    def open(self, emit: Callable[[bytes], None]) -> None:
        """Have the daemon restarted with a pipe to write to."""
        self._emit = emit
        self._open = True
        self._kernel.ask({"watch": self._service, "on": True}, self._on_answer)

    def _on_answer(self, answer: Mapping[str, Any], fds: list[int]) -> None:
        if not fds:
            self._emit(b"(its daemon is gone)\n")
            return
        (self._fd,) = fds
        if not self._open:
            self._drop()
            return
        self._kernel.loop.watch(self._fd, self._on_readable)

    def _on_readable(self) -> None:
        try:
            lines = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        if lines:
            self._emit(lines)
        else:
            self._drop()

    def _drop(self) -> None:
        if self._fd >= 0:
            self._kernel.loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        """Have it restarted without."""
        self._open = False
        self._drop()
        self._kernel.ask({"watch": self._service, "on": False})


class _Reader:
    """One open file: lines that wait to be read."""

    def __init__(self, path: str, nonblock: bool) -> None:
        self.path: Final = path
        self.nonblock: Final = nonblock
        self.waiting: Final[deque[bytes]] = deque()
        self.size = 0
        self.lost = 0

    def add(self, lines: bytes) -> None:
        """Keep lines; what a slow reader has no room for is lost, and it is told."""
        if self.size + len(lines) > _MOST:
            self.lost += lines.count(b"\n")
            return
        if self.lost:
            lines = b"(%d lost)\n" % self.lost + lines
            self.lost = 0
        self.waiting.append(lines)
        self.size += len(lines)

    def take(self, size: int) -> bytes:
        """Return at most `size` bytes."""
        lines = self.waiting.popleft()
        if len(lines) > size:
            self.waiting.appendleft(lines[size:])
            lines = lines[:size]
        self.size -= len(lines)
        return lines


class TraceScheme(Scheme):
    """A folder of streams."""

    name = "trace"
    replays: ClassVar[bool] = False
    reopens: ClassVar[bool] = False

    def __init__(self, kernel: Kernel) -> None:
        self._kernel: Final = kernel
        self._readers: Final[dict[int, _Reader]] = {}
        self._looks: Final[dict[int, str]] = {}  # handles that only look: their path
        self._taps: Final[dict[str, tuple[Tap, list[int]]]] = {}
        self._numbers: Final = count(_FIRST)

    def _devices(self) -> dict[str, str]:
        """Return the names of devices that daemons drive, and the daemons."""
        found = drivers(self._kernel.run_dir)
        return {display_name(Bdf.parse(device)): name for device, name in found.items()}

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Begin to trace what `path` names; root only."""
        path = path.strip("/")
        if parent not in (ROOT, _ROOT_HANDLE):
            raise Refused(e.EACCES)
        if not path:
            return Opened(_ROOT_HANDLE)
        device = self._devices().get(path) if path not in self._kernel.schemes else None
        if device is None and path not in self._kernel.schemes:
            raise Refused(e.ENOENT)
        handle = next(self._numbers)
        if flags & f.O_STAT:
            self._looks[handle] = path
            return Opened(handle)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if request.caller.uid != 0:
            raise Refused(e.EPERM)
        if flags & f.O_WRONLY & f.O_ACCMODE:
            raise Refused(e.EROFS)
        self._readers[handle] = _Reader(path, bool(fcntl_flags & f.O_NONBLOCK))
        if path in self._taps:
            self._taps[path][1].append(handle)
            return Opened(handle)
        tap: Tap = (
            Registers(self._kernel, device)
            if device is not None
            else Calls(self._kernel, self._kernel.schemes[path])
        )
        listeners = [handle]
        self._taps[path] = (tap, listeners)
        tap.open(lambda lines: self._emit(listeners, lines))
        return Opened(handle)

    def _emit(self, listeners: Sequence[int], lines: bytes) -> None:
        for handle in listeners:
            self._readers[handle].add(lines)
            self.post_fevent(handle, f.EVENT_READ)

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return lines; wait for some."""
        reader = self._readers.get(handle)
        if reader is None:
            raise Refused(e.EISDIR if handle == _ROOT_HANDLE else e.EBADF)
        if not reader.waiting:
            raise Refused(e.EAGAIN if reader.nonblock else e.EWOULDBLOCK)
        return reader.take(size)

    def fevent(self, handle: int, mask: int) -> int:
        """Readable when lines wait."""
        reader = self._readers.get(handle)
        return mask & f.EVENT_READ if reader is None or reader.waiting else 0

    def fstat(self, handle: int) -> Stat:
        """Describe a folder, or a file without a length."""
        if handle == _ROOT_HANDLE:
            return Stat(st_mode=MODE_DIR | 0o555, st_nlink=2)
        if handle not in self._readers and handle not in self._looks:
            raise Refused(e.EBADF)
        return Stat(st_mode=MODE_FILE | 0o400, st_nlink=1, st_blksize=_CHUNK)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/trace/…`."""
        reader = self._readers.get(handle)
        path = reader.path if reader is not None else self._looks.get(handle, "")
        return f"/scheme/{self.name}/{path}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List what can be traced."""
        if handle != _ROOT_HANDLE:
            raise Refused(e.ENOTDIR)
        return [Entry(name, f.DT_REG) for name in (*self._kernel.schemes, *self._devices())]

    def on_close(self, handle: int) -> None:
        """Stop listening; the last listener ends the trace."""
        self._looks.pop(handle, None)
        reader = self._readers.pop(handle, None)
        if reader is None:
            return
        tap, listeners = self._taps[reader.path]
        listeners.remove(handle)
        if not listeners:
            del self._taps[reader.path]
            tap.close()
