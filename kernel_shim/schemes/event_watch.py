"""What waits for an event queue: an epoll of its own, in a thread of its own.

To ask epoll about a file of a FUSE mount means to ask the daemon behind it, which may be slow,
hang, or be this very process; to close one may mean the same.  On the process's own loop that would
be a deadlock; in a thread of the queue's, only the queues that watch such a file wait for it.

A descriptor is watched without being kept open, since a file that we keep is not closed when its
user closes it: the end of a pipe would never come.  Epoll needs the descriptor only for as long as
it is told about it and forgets the file with its last user, as Redox does.  What stays in its place
is a stand-in, so that the number keeps meaning this registration: epoll tells files by number *and*
file, and its answers carry the number.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from redbear_host.abi import flags as f

Found = list[tuple[int, int]]  # id of a registration, and what it is ready for

MOST: Final = 1024  # registrations of one queue
_OWN_FDS: Final = 2
_SWEEP_AFTER: Final = 64  # numbers of files that are closed, as far as we know
_STACK: Final = 512 << 10  # bytes

QUEUE_NUMBER: Final = 2 << 30 | 8 << 16 | ord("R") << 8 | 0x45  # _IOR('R', 0x45, u64): ours

_READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP
_ENDED: Final = select.EPOLLHUP | select.EPOLLERR


class Registration(NamedTuple):
    """One record that was written to a queue, with a duplicate of the caller's descriptor."""

    id: int
    flags: int  # 0 ends it
    fd: int  # ours to close; -1 when the caller has closed it already


class Watch:
    """The epoll of one queue.  `register` and `close` are for the loop; the rest is the thread's.

    `on_found` and the callbacks of `register` run on the loop, by way of `post`.
    """

    def __init__(
        self,
        number: int,
        root: Path,
        post: Callable[[Callable[[], object]], None],
        on_found: Callable[[Found], object],
        on_end: Callable[[Watch], object] = lambda watch: None,
    ) -> None:
        """Watch for queue `number` of the scheme mounted at `root`; `on_end` hears of its end."""
        self._number: Final = number
        self._root: Final = root
        self._post: Final = post
        self._on_found: Final = on_found
        self._on_end: Final = on_end
        self._queued = 0  # descriptors in `_work`; the loop's
        self._epoll: Final = select.epoll()
        self._bell: Final = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._asking: Final = threading.Lock()
        self._work: Final[deque[Callable[[], bool]]] = deque()
        self._places: Final[dict[int, int]] = {}  # id of a registration: the number of its place
        self._ids: Final[dict[int, tuple[int, int]]] = {}  # of a place: id, flags
        self._left: Final[set[int]] = set()  # places whose file may live on without us
        self._device = -1  # of the file system at `root`; -1: not asked yet
        self._epoll.register(self._bell, select.EPOLLIN)
        before = threading.stack_size(_STACK)
        try:
            threading.Thread(target=self._run, daemon=True, name=f"event {number}").start()
        except BaseException:
            self._epoll.close()
            os.close(self._bell)
            raise
        finally:
            threading.stack_size(before)

    # -- for the loop ------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Descriptors it holds: also when its queue is closed, until its thread has ended."""
        return _OWN_FDS + self._queued + len(self._ids) + len(self._left)

    def register(self, wanted: list[Registration], then: Callable[[int, int], object]) -> None:
        """Do what was written; `then` hears how many were done, and the errno of the next or 0."""

        def work() -> bool:
            done, number = 0, 0
            for registration in wanted:
                try:
                    number = self._register(registration)
                except OSError as err:  # a chain of epolls too long, memory, …
                    number = err.errno or errno.EIO
                if number:
                    break
                done += 1
            for fd in [registration.fd for registration in wanted[done:]]:
                _close(fd)
            self._post(lambda: said(done, number))
            return True

        def said(done: int, number: int) -> None:
            self._queued -= len(wanted)
            then(done, number)

        self._queued += len(wanted)
        self._ask(work)

    def discard(self, fds: Sequence[int]) -> None:
        """Close descriptors that are not to be watched after all."""

        def work() -> bool:
            for fd in fds:
                _close(fd)
            self._post(gone)
            return True

        def gone() -> None:
            self._queued -= len(fds)

        self._queued += len(fds)
        self._ask(work)

    def close(self) -> None:
        """End the thread and let go of everything; returns at once."""
        self._ask(lambda: False)

    def _ask(self, work: Callable[[], bool]) -> None:
        with self._asking:
            self._work.append(work)
            os.eventfd_write(self._bell, 1)

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._round():
                pass
        finally:
            bug = sys.exception()
            if bug is not None:  # it ends the process, as one on the loop does
                self._post(partial(_fail, bug))
            with self._asking:  # who asked us to end may not have let the bell go yet
                pass
            self._epoll.close()
            for fd in (self._bell, *self._ids, *self._left):
                _close(fd)
            self._post(lambda: self._on_end(self))

    def _round(self) -> bool:
        found: Found = []
        rung = False
        for place, mask in self._epoll.poll():
            if place == self._bell:
                rung = True
            elif place in self._ids:
                number, flags = self._ids[place]
                ready = flags & _ready(mask)
                if ready:
                    found.append((number, ready))
        if found:
            self._post(lambda: self._on_found(found))
        if rung:
            os.eventfd_read(self._bell)
            while self._work:
                if not self._work.popleft()():
                    return False
        return True

    def _register(self, wanted: Registration) -> int:
        """Start, change or end one registration; return 0 or an errno.

        The descriptor is closed unless it fails.
        """
        place = self._places.get(wanted.id)
        if not wanted.flags:
            if place is not None:
                self._end(place, wanted)
            _close(wanted.fd)
            return 0
        if self._is_this_queue(wanted.fd):
            return errno.EBADF
        mask = _mask(wanted.flags)
        if place is not None:
            os.dup2(wanted.fd, place, inheritable=False)
            try:
                self._epoll.modify(place, mask)
            except (FileNotFoundError, PermissionError):  # the number means another file today
                self._leave(place)
            else:
                self._stand_in(place)
                self._ids[place] = (wanted.id, wanted.flags)
                _close(wanted.fd)
                return 0
        if len(self._ids) + len(self._left) >= MOST:
            self._sweep()
            if len(self._ids) + len(self._left) >= MOST:
                return errno.ENOMEM
        try:
            self._epoll.register(wanted.fd, mask)
        except PermissionError:  # a file that is always ready, as poll(2) says too
            found = [(wanted.id, wanted.flags)]
            self._post(lambda: self._on_found(found))
            _close(wanted.fd)
            return 0
        self._stand_in(wanted.fd)
        self._places[wanted.id] = wanted.fd
        self._ids[wanted.fd] = (wanted.id, wanted.flags)
        return 0

    def _end(self, place: int, wanted: Registration) -> None:
        if wanted.fd >= 0:
            os.dup2(wanted.fd, place, inheritable=False)
            with suppress(FileNotFoundError, PermissionError):  # it means another file today
                self._epoll.unregister(place)
                del self._ids[place], self._places[wanted.id]
                _close(place)
                return
        self._leave(place)

    def _leave(self, place: int) -> None:
        """Hear no more from a file we cannot name; its place stays taken while the file lives."""
        self._stand_in(place)
        number, _ = self._ids.pop(place)
        self._places.pop(number, None)
        self._left.add(place)
        if len(self._left) > _SWEEP_AFTER:
            self._sweep()

    def _stand_in(self, place: int) -> None:
        os.dup2(self._bell, place, inheritable=False)

    def _sweep(self) -> None:
        """Free the places whose file is closed: epoll does not list them any more."""
        listed = set()
        with open(f"/proc/self/fdinfo/{self._epoll.fileno()}") as info:
            for line in info:
                if line.startswith("tfd:"):
                    listed.add(int(line.split()[1]))
        for place in self._left - listed:
            self._left.discard(place)
            _close(place)
        for place in self._ids.keys() - listed:
            number, _ = self._ids.pop(place)
            del self._places[number]
            _close(place)

    def _is_this_queue(self, fd: int) -> bool:
        if self._device < 0:
            with suppress(OSError):
                self._device = self._root.stat().st_dev
        with suppress(OSError):
            if os.fstat(fd).st_dev == self._device:
                answer = bytearray(8)
                fcntl.ioctl(fd, QUEUE_NUMBER, answer)
                return int.from_bytes(answer, "little") == self._number
        return False


def _mask(flags: int) -> int:
    mask = select.EPOLLET
    if flags & f.EVENT_READ:
        mask |= _READABLE
    if flags & f.EVENT_WRITE:
        mask |= select.EPOLLOUT
    return mask


def _ready(mask: int) -> int:
    ready = f.EVENT_READ if mask & (_READABLE | _ENDED) else 0
    return ready | (f.EVENT_WRITE if mask & (select.EPOLLOUT | _ENDED) else 0)


def _fail(bug: BaseException) -> NoReturn:
    raise bug


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
