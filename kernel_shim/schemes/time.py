"""The scheme `time`: two clocks, and deadlines on them.

```
/scheme/time/CLOCK/gettime     reads as the time now, 16 bytes (TimeSpec)
                  /getres      reads as the clock's resolution
                  /timer       the time now; a TimeSpec written to it is a deadline: EVENT_READ then
```

CLOCK is 1 (wall clock) or 4 (monotonic).  On Redox `CLOCK` alone is the timer too; a Linux file
cannot be a directory as well, so this form exists at the ring door only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from kernel_shim.schemes.clocks import (
    MONOTONIC,
    REALTIME,
    Alarm,
    Alarms,
    clock_of,
    from_timespec,
    now,
    resolution,
    to_timespec,
)
from kernel_shim.schemes.handles import Handles
from kernel_shim.schemes.kernel import Kernel
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat, TimeSpec
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Request, Unheard
from redbear_host.scheme.scheme import ROOT, Entry, Opened, Scheme

_CLOCKS: Final = ("1", "4")
_FORMS: Final = ("gettime", "getres", "timer")
_BARE: Final = "bare"  # the clock itself, which also is a directory

_DEADLINES: Final = 256  # of one handle


@dataclass
class _File:
    clock: int  # 0 for the root
    form: str  # "" for a directory
    due: set[Alarm] = field(default_factory=set)  # deadlines that have not come
    rung: bool = False  # one has come since the last read


class TimeScheme(Scheme):
    """See the module."""

    name = "time"
    reopens: ClassVar[bool] = True

    def __init__(self, loop: Loop) -> None:
        self._alarms: Final = {clock: Alarms(loop, clock) for clock in (REALTIME, MONOTONIC)}
        self._handles: Final[Handles[_File]] = Handles()

    def close(self) -> None:
        """Give the timers back."""
        for alarms in self._alarms.values():
            alarms.close()

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a directory, or one form of a clock."""
        opened = _named(self._below(parent, path), flags)
        if opened.form == "timer" and isinstance(request, Unheard):
            raise Refused(e.EIO)  # its deadlines died with the predecessor; better to say so
        return Opened(self._handles.add(opened, request.caller))

    def dup(self, handle: int, name: bytes | bytearray | memoryview, request: Request) -> Opened:
        """Open a form by its name relative to a clock."""
        form = bytes(name).decode("utf-8", "replace")
        access = f.O_RDWR if form == "timer" else f.O_RDONLY
        return self.openat(handle, form, access, 0, request)

    def _below(self, parent: int, path: str) -> str:
        above = self._handles[parent] if parent != ROOT else _File(0, "")
        if above.form not in ("", _BARE):
            raise Refused(e.ENOTDIR)
        return f"{above.clock}/{path}".strip("/") if above.clock else path.strip("/")

    def fpath(self, handle: int) -> str:
        """Return `/scheme/time/CLOCK/`, and the form where there is one, as Redox does."""
        opened = self._handles[handle]
        clock = f"{opened.clock}/" if opened.clock else ""
        return f"/scheme/{self.name}/{clock}{'' if opened.form == _BARE else opened.form}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List the clocks, or the forms of one."""
        opened = self._handles[handle]
        if opened.form:
            raise Refused(e.ENOTDIR)
        if opened.clock:
            return [Entry(form, f.DT_REG) for form in _FORMS]
        return [Entry(clock, f.DT_DIR) for clock in _CLOCKS]

    def on_close(self, handle: int) -> None:
        """Forget the handle and its deadlines."""
        opened = self._handles.remove(handle)
        if opened is not None:
            for alarm in opened.due:
                alarm.cancel()

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Return one TimeSpec for every 16 bytes of room; EINVAL for fewer."""
        opened = self._handles[handle]
        if not opened.form:
            raise Refused(e.EISDIR)
        count = min(size, 4096) // TimeSpec.size
        if not count:
            raise Refused(e.EINVAL)
        opened.rung = False
        shown = resolution(opened.clock) if opened.form == "getres" else now(opened.clock)
        return to_timespec(shown) * count

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int:
        """Take deadlines, a TimeSpec each; ENOMEM for more than 256 that have not come."""
        opened = self._handles[handle]
        if opened.form not in ("timer", _BARE):
            raise Refused(e.EBADF)
        taken = len(data) // TimeSpec.size
        if not taken:
            raise Refused(e.EINVAL)
        if len(opened.due) + taken > _DEADLINES:
            raise Refused(e.ENOMEM)
        times = [TimeSpec.load(data, index * TimeSpec.size) for index in range(taken)]
        for when in [from_timespec(time.tv_sec, time.tv_nsec) for time in times]:
            self._set(handle, opened, when)
        return taken * TimeSpec.size

    def _set(self, handle: int, opened: _File, when: int) -> None:
        def ring() -> None:
            opened.due.discard(alarm)
            opened.rung = True
            self.post_fevent(handle, f.EVENT_READ)

        alarm = self._alarms[opened.clock].at(when, ring)
        opened.due.add(alarm)

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a file or a directory."""
        opened = self._handles[handle]
        if not opened.form:
            return Stat(st_mode=MODE_DIR | 0o555, st_nlink=2, st_blksize=4096)
        mode = 0o666 if opened.form in ("timer", _BARE) else 0o444
        return Stat(st_mode=MODE_FILE | mode, st_nlink=1, st_blksize=4096)

    def fsize(self, handle: int) -> int:
        """Return 0: a clock has no end."""
        return 0

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Do nothing: `echo … >` asks for it."""
        self._handles[handle]

    def fevent(self, handle: int, mask: int) -> int:
        """Say that a timer is ready once a deadline has come, until it is read."""
        opened = self._handles[handle]
        if opened.form in ("timer", _BARE) and not opened.rung:
            return mask & f.EVENT_WRITE
        return mask


def _named(path: str, flags: int) -> _File:
    first, _, form = path.partition("/")
    if not first:
        return _File(0, "")
    clock = clock_of(first)
    if form and form not in _FORMS:
        raise Refused(e.ENOENT)
    if not form and not flags & (f.O_DIRECTORY | f.O_STAT):
        return _File(clock, _BARE)
    if form and flags & f.O_DIRECTORY:
        raise Refused(e.ENOTDIR)
    if form in ("gettime", "getres") and flags & f.O_WRONLY:
        raise Refused(e.EACCES)
    return _File(clock, form)


def build(kernel: Kernel) -> TimeScheme:
    """Make the scheme."""
    return TimeScheme(kernel.loop)
