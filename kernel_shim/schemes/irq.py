"""The scheme `irq`: the interrupts of the devices that daemons drive.  For root only (EACCES).

```
/scheme/irq/N               a legacy line, 1 to 15, which devices may share
           /cpu-00/N        a vector, 16 to 223: one of a device's message interrupts
           /bsp             the APIC id of the first processor, 8 bytes
           /devices         which number is whose, as text; ours, not Redox's
```

A read gives the count of interrupts, 8 bytes, or nothing if none came since the last that was
acknowledged; it never waits.  A write of the same count acknowledges it and unmasks the line; a
count that is out of date does nothing (0 bytes taken).  Each interrupt is an EVENT_READ.

On Redox a driver reserves a free vector here and programs its device with it.  Here the devices are
programmed already, by their daemons, and a vector shows what one of theirs does.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from kernel_shim.schemes.handles import Handles
from kernel_shim.schemes.interrupts import Interrupt, Numbers
from kernel_shim.schemes.kernel import IrqNote, Kernel
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, MODE_FILE, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Request, Unheard
from redbear_host.scheme.scheme import POSITIONED, ROOT, Entry, Opened, Scheme

log = logging.getLogger(__name__)

_LINES: Final = 16  # numbers below are legacy lines
_END: Final = 224
_CPU: Final = re.compile(r"cpu-[0-9a-f]{2}")
_FIRST_CPU: Final = "cpu-00"
_COUNT: Final = 8  # bytes of a count


class _Irq:
    """An open interrupt."""

    def __init__(self, number: int) -> None:
        self.number: Final = number
        self.acknowledged = 0


class _Text:
    """A file that is read, or a directory, or anything that is only looked at."""

    def __init__(self, path: str, content: bytes | None, mode: int, size: int = 0) -> None:
        self.path: Final = path
        self.content: Final = content  # None: it is not for reading
        self.mode: Final = mode
        self.size: Final = size


class IrqScheme(Scheme):
    """See the module.  An interrupt is watched only while somebody has it open."""

    name = "irq"
    reopens: ClassVar[bool] = True

    def __init__(self, loop: Loop, cpus: int, cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
        self._loop: Final = loop
        self._cpus: Final = [f"cpu-{number:02x}" for number in range(cpus)]
        self._cpuinfo: Final = cpuinfo
        self._numbers: Final = Numbers(_LINES, _END)
        self._handles: Final[Handles[_Irq | _Text]] = Handles()
        self._open: Final[dict[int, set[int]]] = {}  # by the interrupt's number: handles

    def learn(self, device: str, notes: Sequence[IrqNote]) -> None:
        """Take the interrupts a device has now; those it had before are no more."""
        for number in self._numbers.of(device):
            self._unwatch(self._numbers[number])
        self._numbers.learn(device, notes)
        for number in self._numbers.of(device):
            if number in self._open:
                self._watch(self._numbers[number])
                self._fired(number)

    def counts(self) -> dict[int, int]:
        """Count every interrupt, by number."""
        return {number: interrupt.count() for number, interrupt in self._numbers.items()}

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open an interrupt, a text or a directory; a vector for one user at a time (EEXIST)."""
        looks = bool(flags & f.O_STAT)
        if request.caller.uid != 0 and not looks:
            raise Refused(e.EACCES)
        full = self._below(parent, path)
        number = _number_of(full)
        if number < 0:
            return Opened(self._handles.add(self._text(full, flags), request.caller), POSITIONED)
        # After this process died, handles come before the devices they belong to.
        if number not in self._numbers and not isinstance(request, Unheard):
            raise Refused(e.ENOENT)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if looks:
            text = _Text(full, None, MODE_CHR | 0o600, _COUNT)
            return Opened(self._handles.add(text, request.caller))
        if number >= _LINES and self._open.get(number):
            raise Refused(e.EEXIST)
        handle = self._handles.add(_Irq(number), request.caller)
        if number not in self._open:
            self._open[number] = set()
            self._watch(self._numbers[number])
        self._open[number].add(handle)
        return Opened(handle)

    def _below(self, parent: int, path: str) -> str:
        above = self._handles[parent] if parent != ROOT else _Text("", None, MODE_DIR)
        if not isinstance(above, _Text) or not above.mode & MODE_DIR:
            raise Refused(e.ENOTDIR)
        return "/".join(part for part in (above.path, path.strip("/")) if part)

    def _text(self, path: str, flags: int) -> _Text:
        if path == "" or path in self._cpus:
            if not flags & (f.O_DIRECTORY | f.O_STAT):
                raise Refused(e.EISDIR)
            return _Text(path, None, MODE_DIR | 0o500)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if path == "bsp":
            return _Text(path, _boot_cpu(self._cpuinfo), MODE_FILE | 0o400, _COUNT)
        if path == "devices":
            content = self._devices().encode()
            return _Text(path, content, MODE_FILE | 0o400, len(content))
        raise Refused(e.ENOENT)

    def _devices(self) -> str:
        return "".join(
            f"{number} {note.device} {note.kind} {note.vector} {source.count()}\n"
            for number, interrupt in self._numbers.items()
            for note, source in interrupt.sources()
        )

    def fpath(self, handle: int) -> str:
        """Return `irq:N`, in the old form, as Redox does."""
        opened = self._handles[handle]
        return f"irq:{opened.number if isinstance(opened, _Irq) else opened.path}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the processors, or the vectors of one: all are the first one's."""
        opened = self._handles[handle]
        if not isinstance(opened, _Text) or not opened.mode & MODE_DIR:
            raise Refused(e.ENOTDIR)
        if not opened.path:
            cpus = [Entry(cpu, f.DT_DIR) for cpu in self._cpus]
            return [Entry("bsp", f.DT_REG), *cpus, Entry("devices", f.DT_REG)]
        if opened.path != _FIRST_CPU:
            return ()
        return [Entry(str(n), f.DT_CHR) for n, _ in self._numbers.items() if n >= _LINES]

    def on_close(self, handle: int) -> None:
        """Forget the handle; a vector is free again."""
        opened = self._handles.remove(handle)
        if isinstance(opened, _Irq):
            users = self._open[opened.number]
            users.discard(handle)
            if not users:
                del self._open[opened.number]
                self._unwatch(self._numbers[opened.number])

    # -- interrupts --------------------------------------------------------------------------------

    def _watch(self, interrupt: Interrupt) -> None:
        for note, _ in interrupt.sources():
            self._loop.watch_signals(note.event_fd, partial(self._fired, interrupt.number))

    def _unwatch(self, interrupt: Interrupt) -> None:
        for note, _ in interrupt.sources():
            self._loop.unwatch(note.event_fd)

    def _fired(self, number: int) -> None:
        for handle in tuple(self._open.get(number, ())):
            self.post_fevent(handle, f.EVENT_READ)

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return the count if it is another than was acknowledged; or a text."""
        opened = self._handles[handle]
        if isinstance(opened, _Text):
            if opened.content is None:
                raise Refused(e.EISDIR if opened.mode & MODE_DIR else e.EBADF)
            return opened.content[offset : offset + size]
        if size < _COUNT:
            raise Refused(e.EINVAL)
        count = self._numbers[opened.number].count()
        return b"" if count == opened.acknowledged else count.to_bytes(_COUNT, "little")

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Acknowledge the count that was read last, and unmask the line."""
        opened = self._handles[handle]
        if isinstance(opened, _Text):
            raise Refused(e.EBADF)
        if len(data) < _COUNT:
            raise Refused(e.EINVAL)
        interrupt = self._numbers[opened.number]
        if int.from_bytes(data[:_COUNT], "little") != interrupt.count():
            return 0
        opened.acknowledged = interrupt.count()
        for fd in {note.unmask_fd for note, _ in interrupt.sources()} - {-1}:
            os.eventfd_write(fd, 1)
        return _COUNT

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe an interrupt (its number is the inode's), a text or a directory."""
        opened = self._handles[handle]
        if isinstance(opened, _Irq):
            return Stat(st_ino=opened.number, st_mode=MODE_CHR | 0o600, st_nlink=1, st_size=_COUNT)
        links = 2 if opened.mode & MODE_DIR else 1
        return Stat(st_mode=opened.mode, st_nlink=links, st_size=opened.size, st_blksize=4096)

    def fsize(self, handle: int) -> int:
        """Return the size in bytes."""
        return self.fstat(handle).st_size

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Do nothing: `… > /scheme/irq/9` asks for it."""
        self._handles[handle]

    def fevent(self, handle: int, mask: int) -> int:
        """Say that an interrupt can be written always, and read while it is not acknowledged."""
        opened = self._handles[handle]
        if not isinstance(opened, _Irq):
            return mask
        new = self._numbers[opened.number].count() != opened.acknowledged
        return mask if new else mask & f.EVENT_WRITE


def _number_of(path: str) -> int:
    """Return which interrupt a path names, -1 if none; ENOENT for what can be none."""
    cpu, _, rest = path.rpartition("/")
    if cpu and not _CPU.fullmatch(cpu):
        raise Refused(e.ENOENT)
    if not rest.isascii() or not rest.isdecimal():
        if cpu:
            raise Refused(e.ENOENT)
        return -1
    number = int(rest) if len(rest) < 4 else _END
    legacy = number < _LINES
    if number >= _END or (not cpu and not legacy) or (cpu and cpu != _FIRST_CPU):
        raise Refused(e.ENOENT)
    return number


def _boot_cpu(cpuinfo: Path) -> bytes:
    """Read the APIC id of the first processor; 0 where there are no APICs."""
    found = re.search(r"^apicid\s*:\s*(\d+)", cpuinfo.read_text(), re.MULTILINE)
    return int(found[1] if found else 0).to_bytes(_COUNT, "little")


def build(kernel: Kernel) -> IrqScheme:
    """Make the scheme; it hears of devices from the supervisor."""
    scheme = IrqScheme(kernel.loop, min(os.cpu_count() or 1, 256))
    kernel.on_irqs.append(
        lambda device: scheme.learn(
            device, [note for note in kernel.irqs.values() if note.device == device]
        )
    )
    kernel.irq_counts = scheme.counts
    return scheme
