"""A connection whose callers wait: one per scheme and process, shared by all threads.

Whoever waits first leads: it alone reads the socket, where the daemon's bell rings and its end is
heard, and hands the others their answers.  So a round trip costs two system calls.

A caller that is interrupted (KeyboardInterrupt, a handler that raises) or runs out of time cancels
its call and still collects the answer, so that no handle or descriptor in it is lost; one that is
interrupted again leaves it to be thrown away when it comes.
"""

from __future__ import annotations

import errno
import os
import select
import struct
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import reduce
from operator import or_
from socket import MSG_DONTWAIT, SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET
from typing import Any, Final, TypeVar

from redbear_host.client import calls, paths
from redbear_host.client.calls import Call
from redbear_host.client.deadline import current, mine, remaining
from redbear_host.client.handshake import LAYOUT, Line
from redbear_host.client.ring import Ring
from redbear_host.client.slot import DONE, FREE, ORPHAN, SENT, Slot
from redbear_host.errors import ProtocolError
from redbear_host.ring.layout import Layout
from schemefs.errno import to_linux

T = TypeVar("T")

GRACE_S: Final = 1.0  # how long a cancelled call may take to be answered after its deadline
CALLS_AT: Final = 8  # daemons that died one after another while they were called
_LOOKS: Final = 400  # some 20 us
_SKIP_MOST: Final = 4096  # calls
_SKIP_ALL: Final = 1 << 62
_TIMEVAL: Final = struct.Struct("@ll")


class Connection(Ring):
    """The rings of one scheme, with a way to wait."""

    def __init__(self, line: Line) -> None:
        """Use a line that has been welcomed."""
        super().__init__(line)
        self.users: Final[list[Callable[[], object]]] = []  # event queues that want to listen
        self.lock: threading.Lock = threading.Lock()
        self._leader: Slot | object | None = None
        self._followers: Final[list[tuple[Callable[[], bool], threading.Event]]] = []
        self._posts: Final[dict[int, list[tuple[int, Callable[[int], object]]]]] = {}
        self._skip = 0 if (os.cpu_count() or 1) > 1 else _SKIP_ALL
        self._penalty = 1
        self._bell: Final = line.bell
        self._readable: Final = select.poll()
        self._readable.register(line.socket, select.POLLIN)
        _all.add(self)

    @classmethod
    def open(cls, name: str, layout: Layout = LAYOUT) -> Connection:
        """Call at a scheme; waits while its daemon is being restarted."""
        until = current()
        for _ in range(CALLS_AT):
            with ExitStack() as undo:
                line = Line(name, layout)
                undo.callback(line.close)
                if until is not None:
                    left = max(1e-6, until - time.monotonic())
                    wait = _TIMEVAL.pack(int(left), int(left % 1 * 1e6))
                    line.socket.setsockopt(SOL_SOCKET, SO_SNDTIMEO, wait)
                    line.socket.setsockopt(SOL_SOCKET, SO_RCVTIMEO, wait)
                try:
                    line.connect()
                    welcomed = line.welcomed()
                except BlockingIOError:
                    raise _late(name) from None
                except BrokenPipeError:
                    continue
                if until is not None:
                    for option in (SO_SNDTIMEO, SO_RCVTIMEO):
                        line.socket.setsockopt(SOL_SOCKET, option, _TIMEVAL.pack(0, 0))
                if welcomed:
                    connection = cls(line)
                    undo.pop_all()
                    return connection
        raise OSError(errno.EIO, f"{CALLS_AT} daemons died when they were called", name)

    @property
    def socket_fd(self) -> int:
        """The socket: readable when the daemon rings, and when it has gone."""
        return self._socket.fileno()

    def ring_bell(self) -> None:
        """Tell the daemon that something was published."""
        os.eventfd_write(self._bell, 1)

    def look(self) -> None:
        """Take what is there; notice that the daemon has gone.

        While another thread leads, that thread does, and tells the event queues.
        """
        with self.lock:
            if self._leader is None and not self.dead:
                with suppress(BlockingIOError):
                    while not self.fate:
                        self.listen(MSG_DONTWAIT)
                self._look()

    def _look(self) -> None:
        """Take the answers, as leader and with the lock held."""
        self.reap()
        if self.fate:
            self.end(self.fate)
        if self._closing and self.flush_drops():
            self.publish()
            self.ring_bell()
        if self._followers:
            self._wake_followers()

    # -- one call ---------------------------------------------------------------------------------

    def perform(self, call: Call[T]) -> T:
        """Make a call and wait for its answer; its errno is raised as Linux's `OSError`."""
        until = mine.until
        with self.lock:
            slot = self.start(call, True)
            if slot is None:
                slot = self._begin(call, until)
                self.publish()
            leads = self._leader is None
            if leads:
                self._leader = slot
        try:
            os.eventfd_write(self._bell, 1)
            if leads:
                self._lead(slot, until)
            else:
                self._follow(lambda: slot.state == DONE, until)
        except BaseException:
            if self._leader is slot:
                self._step_down()
            self._give_up(slot, None)
            raise
        cancelled = False
        if slot.state != DONE:
            cancelled = True
            if not self._give_up(slot, GRACE_S):
                raise _late(self.name)
        return self.finish(slot, call, cancelled)

    def finish(self, slot: Slot, call: Call[T], cancelled: bool = False) -> T:
        """Read an answer and let its slot go."""
        result = slot.result
        if result >= 0:
            try:
                return call.decode(slot)
            except ProtocolError as err:
                raise OSError(errno.EPROTO, str(err), self.name) from err
            finally:
                if slot.large or self._closing:
                    self._release(slot)
                else:  # a list's append and pop need no lock
                    slot.state = FREE
                    slot.wake = None
                    self._free.append(slot)
        untaken, slot.untaken = slot.untaken, False
        self._release(slot)
        if self.dead and -result == errno.EIO:
            raise Lost(errno.EIO, self.dead, self.name, untaken)
        number = to_linux(-result, cancelled)
        if cancelled and number == errno.EINTR:
            raise _late(self.name)
        raise OSError(number, os.strerror(number), self.name)

    def _release(self, slot: Slot) -> None:
        with self.lock:
            self.give(slot)
            if not self.dead and self.flush_drops():
                self.publish()
                self.ring_bell()

    def _begin(self, call: Call[Any], until: float | None) -> Slot:
        """Put a call into the ring, with the lock held; wait for room if there is none."""
        room = self.room_for(call)
        while True:
            if self.dead:
                raise self.error()
            if self._closing:
                self.flush_drops()
            slot = self.take(room, bool(call.fds))
            if slot is not None:
                break
            self.publish()
            self._wait_for_room(room, bool(call.fds), until)
        try:
            self.put(slot, call)
        except BaseException:
            if slot.state == FREE:
                self.give(slot)
            raise
        return slot

    def _wait_for_room(self, room: int, sends: bool, until: float | None) -> None:
        """Let go of the lock until some call has ended."""
        self.lock.release()
        try:
            self.ring_bell()
            if not self._follow(lambda: self.has_room(room, sends) or bool(self.dead), until):
                raise _late(self.name)
        finally:
            self.lock.acquire()

    # -- many calls: `batch` ----------------------------------------------------------------------

    def queue(self, call: Call[Any]) -> Slot | None:
        """Put a call that `send` will show; None when there is no room now."""
        with self.lock:
            slot = self.start(call, False)
            if slot is None:
                if self.dead:
                    raise self.error()
                self.flush_drops()
                slot = self.take(self.room_for(call), bool(call.fds))
                if slot is not None:
                    self.put(slot, call)
            return slot

    def wait_for_room(self, call: Call[Any], first: Slot | None) -> None:
        """Wait until `queue` may succeed, or the call in `first` is answered."""
        room, sends = self.room_for(call), bool(call.fds)

        def done() -> bool:
            answered = first is not None and first.state == DONE
            return answered or bool(self.dead) or self.has_room(room, sends)

        if not self._follow(done, current()):
            raise _late(self.name)

    def send(self) -> None:
        """Show the daemon what was queued."""
        with self.lock:
            if self.dead:
                return
            self.publish()
        self.ring_bell()

    def settle(self, slot: Slot) -> None:
        """Wait until a queued call is answered; cancels it when it is too late."""
        until = current()
        with self.lock:
            leads = self._leader is None
            if leads:
                self._look()
                if slot.state == DONE:
                    return
                self._leader = slot
        if leads:
            self._lead(slot, until)
        else:
            self._follow(lambda: slot.state == DONE, until)
        if slot.state != DONE:
            self._give_up(slot, GRACE_S)
            raise _late(self.name)

    def orphan(self, slot: Slot) -> None:
        """Want a queued call's answer no more."""
        with self.lock:
            if slot.state == DONE:
                self.dispose(slot)
            elif slot.state == SENT:
                self.cancel(slot)
                self.publish()
                slot.state = ORPHAN

    # -- waiting ----------------------------------------------------------------------------------

    def _lead(self, slot: Slot, until: float | None) -> None:
        """Wait until the call is answered, or it is too late.

        First it is looked for, as long as a wake-up takes: on two processors the daemon answers
        meanwhile.  Where that is in vain, it is soon given up for a while.
        """
        try:
            if self._skip:
                self._skip -= 1
            elif self.look_out(_LOOKS):
                self._penalty = 1
                with self.lock:
                    self._look()
            else:
                self._skip = self._penalty = min(2 * self._penalty + 1, _SKIP_MOST)
            while slot.state != DONE:
                if until is not None and not self._rings(until - time.monotonic()):
                    return
                self.listen()
                with self.lock:
                    self._look()
        finally:
            self._leader = None
            if self._followers or self.users:
                self._step_down()

    def _rings(self, left: float) -> bool:
        """Wait at most `left` seconds for the socket."""
        return bool(self._readable.poll(max(0.0, left) * 1000))

    def _follow(self, done: Callable[[], bool], until: float | None) -> bool:
        """Wait, as leader or behind one, until `done()`; False when it is too late."""
        me = object()
        while True:
            with self.lock:
                leads = self._leader is None
                if leads:
                    self._look()
                if done():
                    return True
                if leads:
                    self._leader = me
                else:
                    place = (done, threading.Event())
                    self._followers.append(place)
            left = remaining(until)
            if left is not None and left <= 0:
                if leads:
                    self._step_down()
                return False
            try:
                if leads:
                    if left is None or self._rings(left):
                        self.listen()
                    with self.lock:
                        self._look()
                else:
                    place[1].wait(left)
            finally:
                if leads:
                    self._step_down()
                else:
                    with self.lock:
                        if place in self._followers:
                            self._followers.remove(place)

    def _step_down(self) -> None:
        self._leader = None
        if self._followers:
            self._promote()
        for stir in self.users:
            stir()  # the socket is nobody's now, and may have something to read

    def _wake_followers(self) -> None:
        """Wake those whose wait is over, with the lock held."""
        for place in list(self._followers):
            if place[0]():
                self._followers.remove(place)
                place[1].set()

    def _promote(self) -> None:
        """Wake one who waits, which then leads."""
        with self.lock:
            if self._followers:
                self._followers.pop(0)[1].set()

    def _give_up(self, slot: Slot, grace: float | None) -> bool:
        """Cancel a call and collect its answer; False when none came within `grace` seconds.

        Without `grace` the caller is on its way out: whatever the answer brings is undone.
        """
        answered = False
        try:
            with self.lock:
                if slot.state == SENT:
                    self.cancel(slot)
                    self.publish()
            self.ring_bell()
            until = None if grace is None else time.monotonic() + grace
            answered = self._follow(lambda: slot.state == DONE, until)
        finally:
            with self.lock:
                if slot.state == DONE:
                    if grace is None:
                        self.dispose(slot)
                elif slot.state == SENT:
                    slot.state = ORPHAN
        return answered

    # -- events -----------------------------------------------------------------------------------

    def subscribe(self, handle: int, post: Callable[[int], object], mask: int) -> None:
        """Call `post` with each of `mask`'s events of a handle, also with those true now."""
        with self.lock:
            self._posts.setdefault(handle, []).append((mask, post))
        ready = self.perform(calls.fevent(handle, self._wanted(handle)))
        if ready & mask:
            post(ready & mask)

    def unsubscribe(self, handle: int, post: Callable[[int], object]) -> None:
        """Undo `subscribe`."""
        with self.lock:
            left = [entry for entry in self._posts.get(handle, ()) if entry[1] != post]
            if left:
                self._posts[handle] = left
            elif self._posts.pop(handle, None) is None:
                return
        if not self.dead:
            with suppress(OSError):  # the handle may be closed already
                self.perform(calls.fevent(handle, self._wanted(handle)))

    def forget_events(self, handle: int) -> None:
        """Forget the subscriptions of a handle that is being closed."""
        self._posts.pop(handle, None)

    def _wanted(self, handle: int) -> int:
        return reduce(or_, (mask for mask, _ in self._posts.get(handle, ())), 0)

    def on_event(self, handle: int, flags: int) -> None:
        """Tell who has subscribed."""
        for mask, post in self._posts.get(handle, ()):
            if flags & mask:
                post(flags & mask)

    def end(self, why: str) -> None:
        """End the connection; who waits for events is told to look, and gets the error."""
        if not self.dead:
            super().end(why)
            for entries in self._posts.values():
                for mask, post in entries:
                    post(mask)

    # -- handles that are dropped -----------------------------------------------------------------

    def drop(self, handle: int) -> None:
        """Close a handle with nobody waiting; whoever holds the lock does it if we cannot now."""
        super().drop(handle)
        if self.lock.acquire(blocking=False):
            try:
                if not self.dead and self.flush_drops():
                    self.publish()
                    self.ring_bell()
            finally:
                self.lock.release()

    def hang_up(self) -> None:
        """End the connection from our side."""
        with self.lock:
            self.end("it was closed")
        self._line.close()

    def __del__(self) -> None:
        """Hang up when nobody holds a handle any more."""
        if hasattr(self, "_line"):
            self._line.close()


class Lost(OSError):
    """The daemon died; `untaken` when it had not seen the call, which can then be made again."""

    def __init__(self, number: int, why: str, name: str, untaken: bool) -> None:
        super().__init__(number, why, name)
        self.untaken = untaken


def _late(name: str) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, "not answered in time", name)


_all: Final[weakref.WeakSet[Connection]] = weakref.WeakSet()
_known: Final[dict[tuple[str, str], Connection]] = {}
_knowing: threading.Lock = threading.Lock()


def connect(name: str) -> Connection:
    """Return this process's connection to a scheme, made anew when its daemon was restarted."""
    key = (paths.rings(), name)
    with _knowing:
        known = _known.get(key)
        if known is not None:
            known.look()
            if not known.dead:
                return known
        made = _known[key] = Connection.open(name)
        return made


def forget() -> None:
    """Call at every scheme anew from now on: what this process may reach has changed."""
    with _knowing:
        _known.clear()


def _forked() -> None:
    """In a child: its parent's rings are not its own."""
    global _knowing
    _knowing = threading.Lock()
    _known.clear()
    for connection in list(_all):
        connection.lock = threading.Lock()
        connection.dead = connection.dead or "it belongs to the process that forked"


os.register_at_fork(after_in_child=_forked)
