"""The copier: moves bytes between a daemon and the memory of the clients that wait on it.

FUSE hands a daemon the bare argument of an ioctl, an address in the caller's memory.  The daemon is
confined and can do nothing with it.  This process can; it belongs to the shim, is started when a
daemon first asks (`kernel_shim.copying`), and believes nothing the daemon says.

A question names a thread, an ioctl and its argument.  All of it is checked against the kernel:

1. the thread sleeps in ioctl(FD, COMMAND, ARGUMENT), says /proc/THREAD/syscall;
2. FD is a file of one of this daemon's schemes: the device number of the open file itself, which
   statx tells without asking its server;
3. the bytes are such as this very ioctl names: we read the record at ARGUMENT ourselves and derive
   from it what else may be touched, and which way (`redbear_host.abi.ioctls`).

**Why nothing can change between look and copy.**  A thread whose FUSE request was taken leaves the
ioctl only when that is answered, even if it is killed; and only the daemon answers.  So the daemon
is stopped (SIGSTOP) before the first look, and goes on after the last byte.  What is left: root may
break the connection in that moment (the shim does so only when the daemon is dead), a daemon that
was taken over may have handed its connection to an accomplice, who then can answer; the
accomplice's gain is that bytes which the client was to get anyway arrive after its ioctl has ended.
Other threads of the client may rewrite the record, as they may under Linux's own ioctls; it is read
once in each question.

**Why it cannot hang.**  Memory that is a mapping of the daemon's own files could only come from the
daemon, which is stopped: it is refused.  If other memory takes long (a client may serve it itself,
by userfaultfd or FUSE), the daemon goes on after `_HELD_MOST_S`, the question is answered with an
error, and this process, which can do nothing else while it waits, ends: the next one has another.
"""

from __future__ import annotations

import logging
import mmap
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final, TypeAlias

from kernel_shim.callers import Caller, Device, Waits
from redbear_host import log
from redbear_host.abi import errno as e
from redbear_host.abi.ioctls import LAYOUTS, NOTHING, Layout, Ranges, Way, ranges
from redbear_host.errors import Refused
from redbear_host.scheme.clients import (
    ANSWER,
    ASK,
    COMMAND_AT,
    DATA_AT,
    HALF_BYTES,
    HEAD_AT,
    SENSE_AT,
    STAGING_BYTES,
    Verb,
)

_HELD_MOST_S: Final = 2.0
_STOPPED_WITHIN_S: Final = 5.0  # it is a matter of scheduling only, on a machine that is busy
_IDLE_S: Final = 30.0
_QUIET_S: Final = 1.0

_log = logging.getLogger(__name__)


class Held:
    """A daemon while it is stopped."""

    def __init__(self) -> None:
        self.over = False

    def still(self) -> None:
        """Raise ETIMEDOUT if it goes on already."""
        if self.over:
            raise Refused(e.ETIMEDOUT, "the client's memory did not come in time")


class Holder:
    """Stops a daemon and lets it go on."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self._tasks: Final = f"/proc/{pid}/task"
        self._pidfd: Final = pidfd
        self.on_late: Callable[[], object] = lambda: None
        """Called, by another thread, when the daemon goes on before the last byte."""

    @contextmanager
    def __call__(self) -> Iterator[Held]:
        """Keep the daemon from running, for `_HELD_MOST_S` at most."""
        held = Held()

        def expire() -> None:
            held.over = True
            self._go_on()
            self.on_late()

        timer = threading.Timer(_HELD_MOST_S, expire)
        timer.daemon = True
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGSTOP)
            deadline = time.monotonic() + _STOPPED_WITHIN_S
            while not self._stopped():
                if time.monotonic() > deadline:
                    raise Refused(e.EIO, "the daemon does not stop")
                time.sleep(0)
            timer.start()
            yield held
        except ProcessLookupError:
            raise Refused(e.EIO, "the daemon has ended") from None
        finally:
            timer.cancel()
            self._go_on()

    def _go_on(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)

    def _stopped(self) -> bool:
        """Tell whether no thread of it runs; one that is being traced stops in its own way."""
        try:
            for thread in os.listdir(self._tasks):
                with open(f"{self._tasks}/{thread}/stat", "rb") as file:
                    state = file.read().rsplit(b") ", 1)[1][:1]
                if state in (b"Z", b"X"):
                    raise Refused(e.EIO, "the daemon has ended")
                if state not in (b"T", b"t"):
                    return False
        except (OSError, IndexError):
            raise Refused(e.EIO, "the daemon has ended") from None
        return True


Hold: TypeAlias = Callable[[], AbstractContextManager[Held]]


class Copying:
    """Answers one daemon's questions."""

    def __init__(self, staging: memoryview, devices: list[Device], hold: Hold) -> None:
        self._fetched: Final = staging[:HALF_BYTES]
        self._to_store: Final = staging[HALF_BYTES:]
        self._devices: Final = devices
        self._hold: Final = hold
        self._quiet_until = 0.0
        self._number = 0  # of the question

    def answer(self, question: bytes) -> bytes:
        """Do what is asked if it is right, and say how it went."""
        if len(question) != ASK.size:
            self._complain(f"a question of {len(question)} bytes is none")
            return ANSWER.pack(0, e.EINVAL, 0, 0, 0)
        verb, number, thread, command, argument, *sizes = ASK.unpack(question)
        self._number = number
        try:
            found = self._do(verb, thread, Waits(0, command, argument), sizes)
        except Refused as refused:
            self._complain(f"thread {thread}, ioctl {command:#x}: {refused}")
            return ANSWER.pack(number, refused.errno, 0, 0, 0)
        except OSError as error:  # the thread has ended, or /proc does not show it
            self._complain(f"thread {thread}, ioctl {command:#x}: {error}")
            return ANSWER.pack(number, e.ESRCH, 0, 0, 0)
        return ANSWER.pack(number, 0, *found)

    def late(self) -> bytes:
        """Answer a question whose client's memory does not come."""
        self._complain("a client's memory did not come in time; another copier goes on")
        return ANSWER.pack(self._number, e.ETIMEDOUT, 0, 0, 0)

    def _complain(self, why: str) -> None:
        """Write it down, once a second at most: a daemon that was taken over may ask for ever."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET_S
            _log.warning("%s", why)

    def _do(self, verb: int, thread: int, asked: Waits, sizes: list[int]) -> tuple[int, int, int]:
        layout = LAYOUTS.get(asked.command)
        if layout is None or verb not in (Verb.FETCH, Verb.STORE):
            raise Refused(e.EINVAL, "nobody knows what it names")
        with self._hold() as held:
            caller = Caller(thread)
            try:
                waits = caller.waits()
                if waits[1:] != asked[1:]:
                    raise Refused(e.ESRCH, "it waits in another ioctl")
                if caller.device(waits.fd) not in self._devices:
                    raise Refused(e.ESRCH, "it waits on a file that is not of this daemon")
                return self._copy(verb, caller, asked, layout, sizes, held)
            finally:
                caller.close()

    def _copy(
        self,
        verb: int,
        caller: Caller,
        asked: Waits,
        layout: Layout,
        sizes: list[int],
        held: Held,
    ) -> tuple[int, int, int]:
        at = asked.argument
        self._avoid(caller, (at, max(layout.size, layout.out_at + layout.out_size)))
        head = caller.read(at, layout.size, held.still)
        named = ranges(asked.command, head)
        if named is None:
            raise Refused(e.EINVAL, "it names what nobody may name")
        if named is not NOTHING:
            self._avoid(caller, named.data, named.command, named.sense)
        if verb == Verb.FETCH:
            return self._fetch(caller, head, named, held)
        head_size, sense_size, data_size = sizes
        taken = named.data[1] if named.way in (Way.IN, Way.BOTH) else 0
        if (
            head_size not in (0, layout.out_size)
            or sense_size > named.sense[1]
            or data_size > taken
        ):
            raise Refused(e.EINVAL, f"{sizes} bytes are more than it takes")
        staged = self._to_store
        for to, size, place in (
            (named.data[0], data_size, DATA_AT),
            (named.sense[0], sense_size, SENSE_AT),
            (at + layout.out_at, head_size, HEAD_AT),
        ):
            caller.write(to, staged[place : place + size], held.still)
        return 0, 0, 0

    def _fetch(
        self, caller: Caller, head: bytes, named: Ranges, held: Held
    ) -> tuple[int, int, int]:
        command = caller.read(*named.command, held.still)
        data = b""
        if named.way in (Way.OUT, Way.BOTH):
            data = caller.read(*named.data, held.still)
        for place, found in ((HEAD_AT, head), (COMMAND_AT, command), (DATA_AT, data)):
            self._fetched[place : place + len(found)] = found
        return len(head), len(command), len(data)

    def _avoid(self, caller: Caller, *places: tuple[int, int]) -> None:
        """Refuse memory that only the daemon, which is stopped, could bring."""
        for at, size in places:
            if size and caller.mapped(self._devices, at, size):
                raise Refused(e.EFAULT, f"the memory at {at:#x} is a file of this daemon's")


def main() -> None:
    """Answer until the daemon is gone, or asks nothing for a while: arguments see `copying`."""
    question_fd, staging_fd, pidfd, pid = map(int, sys.argv[1:5])
    devices = [(int(major), int(minor)) for major, minor in (d.split(":") for d in sys.argv[5:])]
    log.setup("copier")
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal's; it ends with its daemon
    ours = socket.socket(fileno=question_fd)
    staging = memoryview(mmap.mmap(staging_fd, STAGING_BYTES))
    holder = Holder(pid, pidfd)
    copying = Copying(staging, devices, holder)

    def end() -> None:
        ours.send(copying.late())
        os._exit(0)

    holder.on_late = end
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    before = b""
    while poll.poll(_IDLE_S * 1000):
        question = ours.recv(ASK.size + 1)
        if not question:
            break
        if question != before:  # no two have the same number: it was asked again, but not lost
            before = question
            ours.send(copying.answer(question))


if __name__ == "__main__":
    main()
