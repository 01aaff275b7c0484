"""The ring door: serves one scheme to libredox programs, on the daemon's loop.

The listener belongs to the shim, so a client that calls while the daemon is being restarted waits
in its queue.  Connections are the daemon's and end with it: the client is told by its socket, and
calls again.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections import Counter
from functools import partial
from typing import Any, Final

from redbear_host.abi import errno as e
from redbear_host.abi.sqe import Opcode
from redbear_host.errors import Refused
from redbear_host.ring.client import Client
from redbear_host.ring.descriptors import Allowance
from redbear_host.ring.facts import Facts
from redbear_host.ring.greeting import Greeting, listener_of, make_memory, read_hello
from redbear_host.ring.handles import HANDLES_MOST, Handle
from redbear_host.ring.memory import Memory
from redbear_host.ring.names import Names
from redbear_host.ring.peer import open_process
from redbear_host.ring.request import RingRequest, SqeCopy
from redbear_host.ring.table import Finisher, Handler, unknown
from redbear_host.ring.transfers import Transfers
from redbear_host.scheme.listings import Listings
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.meter import Meter, Record
from redbear_host.scheme.request import Caller
from redbear_host.scheme.scheme import Foreign, Opened, Scheme

log = logging.getLogger(__name__)

CLIENTS_MOST: Final = 256  # of one scheme
CLIENTS_OF_ONE: Final = 128  # of one user but root, who must not lock the others out
HANDLES_OF_ONE: Final = 4096  # of one user but root, over all connections
MEMORY_MOST: Final = 1 << 30  # bytes of all rings of a scheme
FDS_MOST: Final = 256  # descriptors all clients may have sent and not claimed

_GREETINGS_MOST: Final = 64  # connections that have not said HELLO
_ACCEPTS: Final = 16  # connections taken in a round
_PAUSE: Final = 0.1  # seconds without accepting when descriptors have run out
_LOG_EVERY: Final = 1.0  # seconds between two lines about hostile clients
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# After a client's calls the door looks for its next some 30 µs long before it sleeps: on two
# processors waking up takes longer than that.  Looking in vain is soon given up for a while.
_LOOKS: Final = 600
_STREAK: Final = 8  # turns of one client before anybody else is looked at
_SKIP_MOST: Final = 4096


class RingDoor:
    """Serves `scheme` to whoever connects to `listener_fd`."""

    def __init__(
        self, listener_fd: int, scheme: Scheme, loop: Loop, meter: Meter | None = None
    ) -> None:
        self.scheme: Final = scheme
        self.listings: Final = Listings()
        takes_fds = type(scheme).on_sendfd is not Scheme.on_sendfd
        self.allowance: Final = Allowance(FDS_MOST) if takes_fds else None
        names, transfers, facts = Names(scheme), Transfers(scheme), Facts(scheme)
        known = names.table | transfers.table | facts.table
        self.table: Final[list[Handler]] = [
            known[opcode][0] if opcode in known else unknown for opcode in range(256)
        ]
        self.finishers: Final[dict[int, Finisher]] = {op: pair[1] for op, pair in known.items()}
        facts.others = self.table
        self.last: Client | None = None  # who was served last in this round
        self.unrung: Final[list[Client]] = []  # with answers they have not been told of
        self.calls = 0  # taken by this door
        self.due = 0  # at how many calls the next is recorded
        self._loop: Final = loop
        self._meter: Final = meter or Meter.create()
        self._meter_is_ours: Final = meter is None
        self._counted = 0
        self._listener: Final[socket.socket] = listener_of(listener_fd)
        self._greetings: Final[dict[Greeting, None]] = {}
        self._sweeps = False  # a timer looks after those
        self._clients: Final[set[Client]] = set()  # also those gone whose calls the scheme has
        self._processes: Final[dict[Client, int]] = {}  # what tells of their end
        self._of_user: Final[Counter[int]] = Counter()
        self._bytes = 0  # in the rings of all clients
        self._busy: Final[dict[Client, None]] = {}  # with entries left from their last turn
        self._buried: Final[list[Client]] = []
        self._listening: Final[dict[int, dict[Handle, None]]] = {}  # by the scheme's number
        self._skip = 0
        self._penalty = 1
        self._lingers = (os.cpu_count() or 1) > 1
        self._complained = 0.0
        self._unsaid = 0
        scheme.listeners = (*scheme.listeners, self._post_fevent)

    def start(self) -> None:
        """Accept clients from now on."""
        self._loop.at_round_end(self._round_end)
        self._loop.watch(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Hang up on everybody."""
        self._loop.unwatch(self._listener.fileno())
        self._listener.close()
        for greeting in list(self._greetings):
            greeting.close()
        self._greetings.clear()
        for client in list(self._clients):
            self._hang_up(client)
        if self._meter_is_ours:
            self._meter.close()

    # -- clients ---------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    log.warning("accepts nobody for a moment: %s", error)
                    self._loop.unwatch(self._listener.fileno())
                    self._loop.at(self._loop.now() + _PAUSE, self._accept_again)
                return  # else it hung up before we came to it
            if len(self._greetings) >= _GREETINGS_MOST:
                first = next(iter(self._greetings))
                del self._greetings[first]
                first.close()
            greeting = Greeting(connection, self._loop, self.allowance is not None, self._on_hello)
            self._greetings[greeting] = None
            if not self._sweeps:
                self._sweeps = True
                self._loop.at(greeting.due, self._sweep)

    def _sweep(self) -> None:
        """Hang up on those who have not said HELLO in time."""
        now = self._loop.now()
        for greeting in list(self._greetings):
            if greeting.due > now:
                self._loop.at(greeting.due, self._sweep)
                return
            del self._greetings[greeting]
            greeting.close()
        self._sweeps = False

    def _accept_again(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.watch(self._listener.fileno(), self._accept)

    def _on_hello(self, greeting: Greeting, message: bytes) -> None:
        del self._greetings[greeting]
        if not message:
            greeting.socket.close()
            return
        caller = greeting.caller
        try:
            layout = read_hello(message)
            if len(self._clients) >= CLIENTS_MOST:
                raise Refused(e.ENFILE)
            if caller.uid and self._of_user[caller.uid] >= CLIENTS_OF_ONE:
                raise Refused(e.EMFILE)
            if self._bytes + layout.size > MEMORY_MOST:
                raise Refused(e.ENOMEM)
            memory = make_memory(layout)
        except Refused as refusal:
            self.complain(caller, f"refused with errno {refusal.errno}")
            greeting.send_away(refusal.errno)
            return
        try:
            process = open_process(greeting.socket, caller.pid)
        except OSError as error:
            self.complain(caller, f"its process cannot be watched: {error.strerror}")
            memory.close()
            greeting.send_away(error.errno if error.errno in _EXHAUSTED else e.ESRCH)
            return
        if not greeting.welcome(memory):
            if process >= 0:
                os.close(process)
            memory.close()
            greeting.socket.close()
            return
        self._join(greeting.socket, caller, memory, process)

    def _join(
        self, connection: socket.socket, caller: Caller, memory: Memory, process: int
    ) -> None:
        client = Client(self, connection, caller, memory)
        if process >= 0:
            self._processes[client] = process
            self._loop.watch(process, lambda: self.bury(client))
        self._clients.add(client)
        self._of_user[caller.uid] += 1
        self._bytes += memory.layout.size
        self._loop.watch(connection.fileno(), client.hear)
        self._loop.watch_signals(memory.bell, client.take)
        log.debug("client: pid %d, uid %d", caller.pid, caller.uid)

    def _hang_up(self, client: Client) -> None:
        if not client.gone:
            self._loop.unwatch(client.descriptors.fileno())
            self._loop.unwatch(client.memory.bell)
            process = self._processes.pop(client, -1)
            if process >= 0:
                self._loop.unwatch(process)
                os.close(process)
            self._bytes -= client.memory.layout.size
            self._busy.pop(client, None)
            if self.last is client:
                self.last = None
            client.close()

    def bury(self, client: Client) -> None:
        """Hang up on a client once nothing of this round looks at it any more."""
        self._buried.append(client)

    def forget(self, client: Client) -> None:
        """Count a client no more: it is gone, and the scheme has none of its calls."""
        if client in self._clients:
            self._clients.remove(client)
            self._of_user[client.caller.uid] -= 1
            if not self._of_user[client.caller.uid]:
                del self._of_user[client.caller.uid]

    def crowded(self, caller: Caller) -> bool:
        """Tell whether a user has so many handles that others might soon get none."""
        if not caller.uid or self._of_user[caller.uid] * HANDLES_MOST <= HANDLES_OF_ONE:
            return False
        theirs = (one.handles.open for one in self._clients if one.caller.uid == caller.uid)
        return sum(map(len, theirs)) >= HANDLES_OF_ONE

    def complain(self, caller: Caller, why: str) -> None:
        """Log what a client did wrong, a line per second at most."""
        now = self._loop.now()
        if now - self._complained < _LOG_EVERY:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} more like this since)" if self._unsaid else ""
        log.warning("client of pid %d, uid %d: %s%s", caller.pid, caller.uid, why, more)
        self._complained = now
        self._unsaid = 0

    # -- rounds ----------------------------------------------------------------------------------

    def more(self, client: Client) -> None:
        """Give a client that has used its turn up another in the next round."""
        self._busy[client] = None

    def _go_on(self) -> None:
        turns = list(self._busy)
        self._busy.clear()
        for client in turns:
            client.take()

    def _round_end(self) -> None:
        if self.last is not None:
            self._linger()
        if self.unrung:
            for client in self.unrung:
                client.ring_now()
            self.unrung.clear()
        if self._buried:
            for client in self._buried:
                self._hang_up(client)
            self._buried.clear()
        if self._busy:
            self._loop.soon(self._go_on)
        if self.calls != self._counted:
            self._meter.count(self.calls - self._counted)
            self._counted = self.calls

    def _linger(self) -> None:
        """Look for the next call of the client served last, for less time than waking takes."""
        client = self.last
        self.last = None
        if self._skip or not self._lingers or client is None or self.unrung or self._busy:
            self._skip -= self._skip > 0
            return
        for _ in range(_STREAK):
            came = client.awaits(_LOOKS)
            if came is None:
                return  # the loop finds it, without having to sleep; that it came proves nothing
            if not came:
                self._skip = self._penalty
                self._penalty = min(2 * self._penalty, _SKIP_MOST)
                return
            self._penalty = 1
            client.take()
            if self.unrung or self._buried:
                return

    # -- events ----------------------------------------------------------------------------------

    def listen(self, handle: Handle) -> None:
        """Hear of the events of a handle, for its parked calls or for its client."""
        self._listening.setdefault(handle.number, {})[handle] = None

    def unlisten(self, handle: Handle) -> None:
        """Hear of them no more."""
        handles = self._listening.get(handle.number)
        if handles is not None:
            handles.pop(handle, None)
            if not handles:
                del self._listening[handle.number]

    def _post_fevent(self, number: int, flags: int) -> None:
        handles = self._listening.get(number)
        if handles is None:
            return
        for handle in list(handles):
            if handle.parked:
                self._loop.soon(partial(handle.client.unpark, handle))
            if handle.mask & flags:
                handle.client.tell(handle, handle.mask & flags)

    # -- answers of the scheme that nobody hears -------------------------------------------------

    def discard(self, entry: SqeCopy, result: Any) -> None:
        """Undo what a call came to whose client is gone."""
        if isinstance(result, Opened):
            self.scheme.on_close(result.handle)
        elif isinstance(result, Foreign):
            os.close(result.fd)
        elif entry[0] == Opcode.RECVFD:
            for fd in result:
                os.close(fd)

    # -- the meter -------------------------------------------------------------------------------

    def began(self) -> int:
        """Return the time if the call at hand is to be recorded, else 0."""
        if self.calls < self.due:
            return 0  # one of its batch is
        every = self._meter.every
        self.due = self.calls + (every if every > 1 else 0)
        return time.monotonic_ns()

    def record(self, request: RingRequest, entry: SqeCopy, word: int) -> None:
        """Write a sampled call down."""
        now = time.monotonic_ns()
        result = word - (1 << 64) if word > (1 << 64) - 4096 else word
        on_bytes = entry[0] in (Opcode.READ, Opcode.WRITE)
        offset, size = (entry[6], entry[5]) if on_bytes else (0, 0)
        pid, latency = request.caller.pid, now - request.began
        self._meter.record(Record(now, latency, entry[3], offset, size, pid, entry[0], result, 1))
