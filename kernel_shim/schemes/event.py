"""The scheme `event`: queues that tell which of many descriptors is ready.

```
/scheme/event/NAME                        a queue of one's own, whatever the name; on Redox also ""
/scheme/event/eventfd/INIT/SEMAPHORE      a counter, as of eventfd(2) (Red Bear OS)
```

A record of 24 bytes (Event: id, flags, data) written to a queue says which of the **writer's**
descriptors to watch for what; flags of 0 end that.  A read gives as many records as are ready and
fit: the id as it was written, what it is ready for, and the data as it was written.
"""

from __future__ import annotations

import logging
import os
import resource
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from kernel_shim.schemes.event_counter import Counter, counter_of
from kernel_shim.schemes.event_watch import MOST, QUEUE_NUMBER, Found, Registration, Watch
from kernel_shim.schemes.handles import Handles
from kernel_shim.schemes.kernel import Kernel
from kernel_shim.schemes.processes import leader, owner
from redbear_host import linux
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.event import EVENT_TIMEOUT_ID, Event
from redbear_host.abi.stat import MODE_CHR, MODE_DIR, Stat
from redbear_host.errors import Refused
from redbear_host.scheme.loop import Loop, Timer
from redbear_host.scheme.request import LATER, Caller, Later, Request
from redbear_host.scheme.scheme import ROOT, Entry, Opened, Scheme

log = logging.getLogger(__name__)

QUEUES_MOST: Final = 256  # handles of one user, but root: each may be a thread
_IDS_MOST: Final = 1 << 16  # that a queue remembers; files that are always ready have no place
_LONGEST_S: Final = 10_000_000.0  # a timeout, a third of a year
_EVENTFD: Final = "eventfd"


class Mailbox:
    """Brings what threads have to say to the loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop: Final = loop
        self._letters: Final[deque[Callable[[], object]]] = deque()
        self._bell: Final = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        loop.watch(self._bell, self._open)

    def post(self, letter: Callable[[], object]) -> None:
        """Let the loop call `letter`; from any thread."""
        self._letters.append(letter)
        os.eventfd_write(self._bell, 1)

    def _open(self) -> None:
        os.eventfd_read(self._bell)
        while self._letters:
            self._letters.popleft()()


class Queue:
    """One queue: what is registered, and what is ready and not read yet."""

    def __init__(self, owner: int) -> None:
        self.owner: Final = owner  # the user who opened it
        self.data: Final[dict[int, int]] = {}  # the user's own, by id
        self.ready: Final[dict[int, int]] = {}  # flags, by id, in the order they came
        self.watch: Watch | None = None
        self.timeout: Timer | None = None

    def close(self) -> None:
        """End what waits for it."""
        if self.watch is not None:
            self.watch.close()
        if self.timeout is not None:
            self.timeout.cancel()


class _Folder:
    """A directory, or a handle for looking at a queue."""

    def __init__(self, path: str, is_folder: bool) -> None:
        self.path: Final = path
        self.is_folder: Final = is_folder


class EventScheme(Scheme):
    """See the module.  Nothing of a queue survives this process: EIO then, as for a pipe."""

    name = "event"

    def __init__(self, loop: Loop, root: Path) -> None:
        self._loop: Final = loop
        self._root: Final = root
        self._mailbox: Final = Mailbox(loop)
        self._handles: Final[Handles[Queue | Counter | _Folder]] = Handles(QUEUES_MOST)
        self._watches: Final[dict[int, set[Watch]]] = {}  # by user, until their threads end
        # Descriptors of one user, but root: those of all schemes here come out of one table.
        self._fds_most: Final = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a queue of the caller's own, a counter, or a directory."""
        above = self._handles[parent] if parent != ROOT else _Folder("", True)
        if not isinstance(above, _Folder) or not above.is_folder:
            raise Refused(e.ENOTDIR)
        full = "/".join(part for part in (above.path, path.strip("/")) if part)
        opened = _named(full, flags, request.caller.uid)
        return Opened(self._handles.add(opened, request.caller))

    def fpath(self, handle: int) -> str:
        """Return `/scheme/event/`, as Redox does for any queue."""
        opened = self._handles[handle]
        return f"/scheme/{self.name}/{opened.path if isinstance(opened, _Folder) else ''}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List nothing: a queue is its opener's own."""
        opened = self._handles[handle]
        if not isinstance(opened, _Folder) or not opened.is_folder:
            raise Refused(e.ENOTDIR)
        return ()

    def on_close(self, handle: int) -> None:
        """Forget the handle; a queue's thread ends by itself."""
        opened = self._handles.remove(handle)
        if isinstance(opened, Queue):
            opened.close()

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Take the records that are ready, or a counter's count; wait when there is none."""
        opened = self._handles[handle]
        if isinstance(opened, Counter):
            taken = opened.read(size)
            self.post_fevent(handle, f.EVENT_WRITE)
            return taken
        queue = self._queue(opened)
        if size < Event.size:
            raise Refused(e.EINVAL)
        if not queue.ready:
            raise Refused(e.EWOULDBLOCK)
        out = bytearray()
        for number in list(queue.ready)[: size // Event.size]:
            flags = queue.ready.pop(number)
            out += bytes(Event(id=number, flags=flags, data=queue.data.get(number, 0)))
        return bytes(out)

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int | Later:
        """Change what a queue watches, at most 1024 records at once; or add to a counter."""
        opened = self._handles[handle]
        if isinstance(opened, Counter):
            opened.add(data)
            self.post_fevent(handle, f.EVENT_READ)
            return 8
        queue = self._queue(opened)
        count = min(len(data) // Event.size, MOST)
        if not count:
            raise Refused(e.EINVAL)
        records = [Event.load(data, index * Event.size) for index in range(count)]
        if any(record.id != EVENT_TIMEOUT_ID for record in records):
            return self._register(handle, queue, records, request)
        for record in records:
            self._set_timeout(handle, queue, record)
        return count * Event.size

    def _register(
        self, handle: int, queue: Queue, records: Sequence[Event], request: Request
    ) -> Later:
        """Let the queue's thread do it, which may have to wait for a daemon."""
        watch = queue.watch or self._watch(handle, queue)
        if len(queue.data) > _IDS_MOST:
            raise Refused(e.ENOMEM)
        held = sum(watch.held for watch in self._watches[queue.owner]) + len(records)
        if queue.owner and held > self._fds_most:
            raise Refused(e.ENFILE, f"user {queue.owner} watches {self._fds_most} descriptors")
        wanted, wrong = _taken(request.caller, records)
        if wrong:
            watch.discard([registration.fd for registration in wanted])
            raise Refused(wrong)
        answered = False

        def done(count: int, number: int) -> None:
            nonlocal answered
            for registration, record in list(zip(wanted, records, strict=True))[:count]:
                self._note(handle, queue, registration, record)
            if answered:
                return
            answered = True
            if count:
                request.answer(count * Event.size)
            else:
                request.refuse(number)

        def give_up(_: Request) -> None:
            nonlocal answered
            if not answered:
                answered = True
                request.refuse(e.ECANCELED)

        request.on_cancel = give_up
        watched = [registration for registration in wanted if registration.id != EVENT_TIMEOUT_ID]
        if len(watched) == len(wanted):
            watch.register(watched, done)
        else:
            # Timeouts are not the thread's; with one among them all count as done or none.
            watch.register(
                watched, lambda count, number: done(0 if number else len(wanted), number)
            )
        return LATER

    def _note(self, handle: int, queue: Queue, wanted: Registration, record: Event) -> None:
        if record.id == EVENT_TIMEOUT_ID:
            self._set_timeout(handle, queue, record)
        elif not wanted.flags:
            queue.data.pop(wanted.id, None)
            queue.ready.pop(wanted.id, None)
        else:
            queue.data[wanted.id] = record.data

    def _watch(self, handle: int, queue: Queue) -> Watch:
        def on_found(found: Found) -> None:
            for number, flags in found:
                queue.ready[number] = queue.ready.get(number, 0) | flags
            self.post_fevent(handle, f.EVENT_READ)

        watches = self._watches.setdefault(queue.owner, set())
        if queue.owner and len(watches) >= QUEUES_MOST:  # of closed ones, some may hang
            raise Refused(e.ENFILE)
        try:
            watch = Watch(handle, self._root, self._mailbox.post, on_found, watches.discard)
        except (OSError, RuntimeError) as err:
            log.warning("an event queue can have no thread: %s", err)
            raise Refused(e.ENOMEM) from err
        watches.add(watch)
        queue.watch = watch
        return watch

    def _set_timeout(self, handle: int, queue: Queue, record: Event) -> None:
        """Let the next read end after `record.data` milliseconds; with flags of 0, not."""
        if queue.timeout is not None:
            queue.timeout.cancel()
            queue.timeout = None

        def on_time() -> None:
            queue.timeout = None
            queue.data[record.id] = record.data
            queue.ready[record.id] = record.flags
            self.post_fevent(handle, f.EVENT_READ)

        if record.flags:
            when = self._loop.now() + min(record.data / 1000, _LONGEST_S)
            queue.timeout = self._loop.at(when, on_time)

    def ioctl(
        self, handle: int, command: int, data: bytes, out_size: int, request: Request
    ) -> bytes:
        """Say which queue it is: so a queue finds out that it is asked to watch itself."""
        if command != QUEUE_NUMBER:
            raise Refused(e.ENOTTY)
        self._handles[handle]
        return handle.to_bytes(8, "little")

    @staticmethod
    def _queue(opened: Queue | Counter | _Folder) -> Queue:
        if not isinstance(opened, Queue):
            raise Refused(e.EISDIR)
        return opened

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a directory, or a queue or counter, which are alike."""
        opened = self._handles[handle]
        if isinstance(opened, _Folder) and opened.is_folder:
            return Stat(st_mode=MODE_DIR | 0o777, st_nlink=2, st_blksize=4096)
        return Stat(st_mode=MODE_CHR | 0o666, st_nlink=1, st_blksize=4096)

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Do nothing: an open for writing may ask for it."""
        self._handles[handle]

    def fevent(self, handle: int, mask: int) -> int:
        """Say that a queue can be written always, and read when something is ready."""
        opened = self._handles[handle]
        if isinstance(opened, Counter):
            return mask & opened.ready
        if isinstance(opened, Queue) and not opened.ready:
            return mask & f.EVENT_WRITE
        return mask


def _named(path: str, flags: int, caller: int) -> Queue | Counter | _Folder:
    looks = bool(flags & f.O_STAT)
    parts = path.split("/") if path else []
    if parts[:1] == [_EVENTFD]:
        if len(parts) == 3 and not flags & f.O_DIRECTORY:
            counter = counter_of(parts[1], parts[2])
            return _Folder(path, False) if looks else counter
        if len(parts) < 3 and (looks or flags & f.O_DIRECTORY):
            return _Folder(path, True)
        raise Refused(e.ENOENT)
    if len(parts) > 1:
        raise Refused(e.ENOENT)
    if flags & f.O_DIRECTORY or (looks and not path):
        if path:
            raise Refused(e.ENOTDIR)
        return _Folder("", True)
    return _Folder(path, False) if looks else Queue(caller)


def _taken(caller: Caller, records: Sequence[Event]) -> tuple[list[Registration], int]:
    """Duplicate the caller's descriptors; return them, and an errno if one cannot be had.

    EPERM for a process into which Linux lets its user not look: it may have called before it became
    a set-user-id program, and somebody else have its connection.
    """
    taken: list[Registration] = []
    pidfd = -1
    try:
        pid = leader(caller.pid)
        pidfd = os.pidfd_open(pid)
        for record in records:
            flags = record.flags & (f.EVENT_READ | f.EVENT_WRITE)
            fd = -1
            if record.id != EVENT_TIMEOUT_ID:
                fd = _duplicate(pidfd, record.id, bool(flags))
            taken.append(Registration(record.id, flags, fd))
        if caller.uid and owner(pid) != caller.uid:
            return taken, e.EPERM
    except OSError as err:
        if err.errno in (e.EBADF, e.EMFILE, e.ENFILE):
            return taken, err.errno
        log.debug("descriptors of process %d cannot be had: %s", caller.pid, err.strerror)
        return taken, e.EPERM
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return taken, 0


def _duplicate(pidfd: int, fd: int, needed: bool) -> int:
    if fd >= 1 << 31:
        raise OSError(e.EBADF, "no descriptor")
    try:
        return linux.pidfd_getfd(pidfd, fd)
    except OSError as err:
        if err.errno == e.EBADF and not needed:
            return -1  # closed already: then its registration has ended already
        raise


def build(kernel: Kernel) -> EventScheme:
    """Make the scheme; each registration costs a descriptor, so allow as many as may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return EventScheme(kernel.loop, kernel.mount / "event")
