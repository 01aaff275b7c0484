"""A FUSE connection: requests in, answers out, nothing ever only in this process's memory.

The kernel copies each request into a slot of the journal and what does not fit into the staging
area.  A slot is given back when the kernel has the answer.  What the requests mean is the business
of `schemefs.door`.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from redbear_host.abi import errno as e
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.meter import Meter, Record
from redbear_host.scheme.request import Caller
from schemefs import protocol as p
from schemefs.errno import to_linux
from schemefs.journal import DATA, LENGTH, LOST, MEDIUM_BYTES, TRIES, Journal
from schemefs.request import EMPTY, FuseRequest

log = logging.getLogger(__name__)

_BATCH: Final = 64  # requests taken before the loop looks at interrupts and timers again
_LOOK_AGAIN: Final = 15  # of the count of rounds: whether a single request has company is not asked
_RESERVE: Final = 2  # free slots that only prompt requests may have
_MAX_TRIES: Final = 3  # a request that was in hand at more crashes than this is answered EIO
# These are dealt with at once and never wait, so they may use the last free slot.
_SILENT: Final = frozenset((p.INTERRUPT, p.FORGET, p.BATCH_FORGET))  # answered by silence
_CLOSING: Final = frozenset((p.RELEASE, p.RELEASEDIR))
_PROMPT: Final = _SILENT | _CLOSING
_INTERRUPTS: Final = 1  # this bit of a unique: an answer to that request's INTERRUPT

_HEAD_BYTES: Final = p.HEAD_BYTES
_READ: Final = p.READ

_out = p.OUT_HEADER.pack
_head = p.HEAD.unpack_from


class Server(Protocol):
    """Who understands the requests."""

    def deliver(self, request: FuseRequest) -> None:
        """Handle one request."""
        ...

    def read(
        self, request: FuseRequest, fh: int, offset: int, size: int, flags: int
    ) -> bytes | bytearray | memoryview | None:
        """Handle a READ; return what to answer with, or None: it is kept, or answered already.

        The arguments are not in `request` yet: most reads need them only once.
        """
        ...

    def finish(self, request: FuseRequest, result: Any) -> None:
        """Turn a handler's result into an answer."""
        ...


class Connection:
    """The connection `fd`, with the journal that goes with it.

    `replays` is the scheme's: it decides what happens when memory for payloads runs out, since a
    request that will not be replayed need not be kept in the journal.  `crashed` says that the
    predecessor died by its own doing, so that one of its requests may be to blame.
    """

    def __init__(
        self,
        fd: int,
        journal: Journal,
        loop: Loop,
        replays: bool,
        crashed: bool,
        meter: Meter | None = None,
    ) -> None:
        self.fd: Final = fd
        self.journal: Final = journal
        self.live: Final[dict[int, FuseRequest]] = {}  # by unique: taken and not answered
        self._meter: Final = meter or Meter.create()
        self._calls = self._meter.calls
        self.on_end: Callable[[], None] = loop.stop  # called when the mount is gone
        self._loop: Final = loop
        self._replays: Final = replays
        self._crashed: Final = crashed
        self._words: Final = journal.words
        self._requests: Final[dict[int, FuseRequest]] = {}
        self._free: Final[list[int]] = []  # empty only when all slots are taken
        self._medium: Final[list[int]] = []
        self._big: Final[list[int]] = []
        self._touched: Final[set[int]] = set()  # big areas whose memory is mapped
        self._staging = -1  # -1: all big areas are in use, nothing can be read
        self._staging_view: memoryview = EMPTY
        self._armed: FuseRequest | None = None
        self._paused = False
        self._scarce = True  # there may be no slot to spare
        self._alone = True  # one request came at a time lately
        self._rounds = 0
        self._server: Server | None = None

    # -- life ------------------------------------------------------------------------------------

    def serve(self, server: Server) -> None:
        """Take over what a predecessor left, run it again or refuse it, then take new requests."""
        self._server = server
        left = self._recover()
        # Files are closed first: a death may have come between giving a handle's row back and
        # saying so, and no open may get that row before the kernel has let go of it.
        for request in sorted(left, key=lambda r: (r.opcode not in _CLOSING, r.unique)):
            if self._answered(request):
                self.release(request)
            else:
                self._rerun(request)
        self._arm()

    def close(self) -> None:
        """Take no more requests; what is in hand stays in the journal for a successor."""
        self._loop.unwatch(self.fd)
        self._armed = None

    def _recover(self) -> list[FuseRequest]:
        """Find the requests in the journal, and the areas they own."""
        shape, words = self.journal.geometry, self._words
        found: list[FuseRequest] = []
        areas = set(range(shape.big + shape.medium))
        for slot in range(self.journal.slots_used):
            word = self.journal.geometry.requests_at // 4 + slot * 32
            if words[word + LENGTH] == 0:
                words[word + LENGTH] = 0  # for the page to be mapped, see `Journal.more_slots`
                if words[word + DATA]:
                    words[word + DATA] = 0
                if words[word + TRIES]:
                    words[word + TRIES] = 0
                continue
            request = self._request(slot)
            if words[word + LENGTH] > p.HEAD_BYTES and words[word + DATA] == 0:
                # It died between taking the request and naming its area: the staging area is it.
                words[word + DATA] = self.journal.staging + 1
            area = words[word + DATA] - 1
            if words[word + DATA] not in (0, LOST):
                areas.discard(area)
                request.area = area
                request.payload = self.journal.area(area)
            found.append(request)
        used = {request.slot for request in found}
        slots = reversed(range(self.journal.slots_used))
        self._free[:] = [slot for slot in slots if slot not in used]
        if not self._free:
            self._free.extend(reversed(self.journal.more_slots()))
        for request in found:
            self._read_head(request)
            request.payload = request.payload[: max(0, request.length - p.HEAD_BYTES)]
            request.replayed = True
            self.live[request.unique] = request
        self._big.extend(sorted(a for a in areas if a < shape.big))
        self._medium.extend(sorted(a for a in areas if a >= shape.big))
        self._next_staging()
        return found

    def _answered(self, request: FuseRequest) -> bool:
        """Tell whether the kernel has the answer already, and death came before we noted that.

        Such a request must not run again: its client went on, and what it wrote since would be
        overwritten.  Answering an INTERRUPT has no effect, but fails if its request is not there.
        """
        if request.opcode in _SILENT:
            return False
        try:
            os.write(self.fd, _out(16, 0, request.unique | _INTERRUPTS))
        except OSError as err:
            return err.errno == errno.ENOENT
        return False

    def _rerun(self, request: FuseRequest) -> None:
        """Deliver a predecessor's request, unless it seems to be what kills daemons."""
        tries = self._words[request.word + TRIES] + self._crashed
        self._words[request.word + TRIES] = tries
        if tries > _MAX_TRIES or self._words[request.word + DATA] == LOST:
            log.error(
                "request %d (opcode %d) of pid %d is given up: in hand at %d crashes",
                *(request.unique, request.opcode, request.caller.pid, tries),
            )
            self.refuse(request, e.EIO)
            return
        log.debug("again: request %d, opcode %d", request.unique, request.opcode)
        self._deliver(request)

    # -- requests --------------------------------------------------------------------------------

    def _request(self, slot: int) -> FuseRequest:
        request = self._requests.get(slot)
        if request is None:
            request = self._requests[slot] = FuseRequest(self, slot)
        return request

    def _read_head(self, request: FuseRequest) -> None:
        (
            request.length,
            request.opcode,
            request.unique,
            request.node,
            who,
            request.fh,
            request.offset,
            request.size,
            request.flags,
        ) = _head(request.head)
        if who != request.who:
            self._meet(request, who)

    @staticmethod
    def _meet(request: FuseRequest, who: bytes) -> None:
        """Note who calls, where a slot's last request came from somebody else."""
        uid, gid, pid = p.CALLER.unpack(who)
        request.who = who
        request.caller = Caller(pid, uid, gid)

    def _next_staging(self) -> None:
        if self._big:
            self._staging = self.journal.staging = self._big.pop()
            self._staging_view = self.journal.area(self._staging)
            if self._staging not in self._touched:
                self._touched.add(self._staging)
                self.journal.touch(self._staging)
        else:
            self._staging = -1

    def _arm(self) -> None:
        """Choose the slot that the next request goes to; without one, stop reading."""
        self._armed = None
        if self._staging < 0:
            self._next_staging()
        if not self._free or self._staging < 0:
            self._paused = True
            self._loop.unwatch(self.fd)
            return
        request = self._request(self._free.pop())
        if not self._free:
            self._free.extend(reversed(self.journal.more_slots()))
        request.iov[1] = self._staging_view
        self._scarce = len(self._free) < _RESERVE
        self._armed = request

    def start(self) -> None:
        """Watch the connection; not yet if what a predecessor left takes all the room."""
        if not self._paused:
            self._loop.watch(self.fd, self._on_readable)

    def _on_readable(self) -> None:
        before = self._calls
        self._take_batch()
        self._meter.calls += self._calls - before  # the ring door counts there too

    def _take_batch(self) -> None:
        """Take requests until there are none, or as many as the loop can wait for.

        To find none costs as much as to find one.  So after a batch of one no second is looked for,
        until every 16th time: a client that waits for each answer cannot have asked again yet.
        """
        fd, readv, writev, words = self.fd, os.readv, os.writev, self._words
        every, server = self._meter.every, self._server
        if server is None:
            raise RuntimeError("the connection serves nobody yet")
        self._rounds += 1
        most = 1 if self._alone and self._rounds & _LOOK_AGAIN else _BATCH
        calls = self._calls
        request = self._armed
        for taken in range(most):
            if request is None:
                break
            try:
                got = readv(fd, request.iov)
            except BlockingIOError:
                self._alone = taken < 2
                break
            except OSError as err:
                if err.errno == errno.ENODEV:
                    self._loop.unwatch(fd)
                    self.on_end()
                    break
                if err.errno in (errno.ENOENT, errno.EINTR):
                    continue  # the client took its request back while we were reading it
                raise
            length, opcode, unique, node, who, fh, offset, size, flags = _head(request.head)
            request.length, request.opcode, request.unique = length, opcode, unique
            if got != length:
                self._refuse_malformed(request, got)
                continue
            if who != request.who:
                self._meet(request, who)
            calls += 1
            if not calls % every:
                request.began = time.monotonic_ns()
            try:
                if opcode == _READ and not self._scarce:
                    data = server.read(request, fh, offset, size, flags)
                    if data is not None:
                        # What `reply` and `release` do, as far as it can apply here.
                        try:
                            writev(fd, (_out(16 + len(data), 0, unique), data))
                        except OSError as err:
                            self._unheard(request, err)
                            continue
                        if request.began:
                            self._record(request, len(data))
                            request.began = 0
                        words[request.word] = request.unique = 0
                        continue
                    request.node, request.fh, request.offset = node, fh, offset
                    request.size, request.flags = size, flags
                else:
                    request.node, request.fh, request.offset = node, fh, offset
                    request.size, request.flags = size, flags
                    self._calls = calls
                    self._hand_over(request, server)
            except BaseException:
                if request.unique == unique:
                    self.refuse(request, e.EIO)
                raise
            if request.unique:  # it is kept, and its slot with it
                self.live[unique] = request
                self._arm()
            elif length > _HEAD_BYTES:
                self._arm_again(request)
            request = self._armed
        else:
            if most == _BATCH:
                self._alone = False
        self._calls = calls

    def _refuse_malformed(self, request: FuseRequest, got: int) -> None:
        """Answer what no kernel sends: a request whose length is not what it says."""
        log.error("malformed request: %d bytes that say they are %d", got, request.length)
        request.length = min(got, _HEAD_BYTES)  # it owns no data area
        if got >= p.IN_HEADER.size and request.opcode not in _SILENT:
            self.refuse(request, e.EIO)
        else:
            self.release(request)

    def _hand_over(self, request: FuseRequest, server: Server) -> None:
        """Deliver a request, with its payload in a place of its own."""
        if request.length > _HEAD_BYTES:
            self._house(request, request.length - _HEAD_BYTES)
        if self._scarce and self._is_full(request):
            self.refuse(request, e.ENOBUFS)
        else:
            server.deliver(request)

    def _is_full(self, request: FuseRequest) -> bool:
        """Tell whether a request must be refused: interrupts must still get through.

        Thousands are parked already then.
        """
        self._free[:0] = reversed(self.journal.more_slots())
        self._scarce = len(self._free) < _RESERVE
        return self._scarce and not self._replays and request.opcode not in _PROMPT

    def _arm_again(self, request: FuseRequest) -> None:
        """Use a slot once more whose request was answered at once."""
        if self._staging < 0:
            self._next_staging()
        request.iov[1] = self._staging_view

    def _house(self, request: FuseRequest, extra: int) -> None:
        """Give a request's payload a home, so that the staging area is free for the next."""
        word = request.word + DATA
        staged = self._staging_view[:extra]
        if extra <= MEDIUM_BYTES and self._medium:
            area = self._medium.pop()
            request.payload = self.journal.area(area)[:extra]
            request.payload[:] = staged
        elif self._big or self._replays:
            area = self._staging
            request.payload = staged
            self._staging = -1
        else:
            request.payload = memoryview(bytes(staged))
            self._words[word] = LOST
            return
        request.area = area
        self._words[word] = area + 1
        if self._staging < 0:
            self._next_staging()

    def _deliver(self, request: FuseRequest) -> None:
        server = self._server
        if server is None:
            raise RuntimeError("the connection serves nobody yet")
        unique = request.unique
        try:
            server.deliver(request)
        except BaseException:
            if request.unique == unique:
                self.refuse(request, e.EIO)
            raise

    def finish(self, request: FuseRequest, result: Any) -> None:
        """Answer with a handler's result."""
        if self._server is not None and request.unique:
            self._server.finish(request, result)

    # -- answers ---------------------------------------------------------------------------------

    def reply(self, request: FuseRequest, data: bytes | bytearray | memoryview) -> bool:
        """Answer with bytes, and give the slot back; False when the client is not there any more.

        `data` may be DMA memory: it has been copied when this returns.
        """
        header = _out(16 + len(data), 0, request.unique)
        try:
            os.writev(self.fd, (header, data))
        except OSError as err:
            return self._unheard(request, err)
        if request.began:
            self._record(request, len(data))
        self.release(request)
        return True

    def reply_raw(self, request: FuseRequest, message: bytes) -> bool:
        """Answer with a message that brings its own header."""
        try:
            os.write(self.fd, message)
        except OSError as err:
            return self._unheard(request, err)
        if request.began:
            self._record(request, p.OUT_HEADER.unpack_from(message)[1] or request.size)
        self.release(request)
        return True

    def _record(self, request: FuseRequest, result: int) -> None:
        """Write a sampled request down, with its result or negated Linux errno."""
        now = time.monotonic_ns()
        latency, caller = now - request.began, request.caller.pid
        on_bytes = request.opcode in (p.READ, p.WRITE)
        offset, size = (request.offset, request.size) if on_bytes else (0, 0)
        self._meter.record(
            Record(now, latency, request.node, offset, size, caller, request.opcode, result, 0)
        )

    def refuse(self, request: FuseRequest, number: int) -> bool:
        """Answer with a Redox errno."""
        if not request.unique:
            return False
        return self.reply_raw(
            request, _out(16, -to_linux(number, request.cancelled), request.unique)
        )

    def _unheard(self, request: FuseRequest, err: OSError) -> bool:
        """Drop an answer nobody wants: it was given before, or the mount is gone."""
        if err.errno not in (errno.ENOENT, errno.ENODEV, errno.EPERM, errno.ENOTCONN):
            raise err
        self.release(request)
        return False

    def notify(self, message: bytes) -> None:
        """Tell the kernel something it did not ask for; it may have lost interest."""
        try:
            os.write(self.fd, message)
        except OSError as err:
            if err.errno not in (errno.ENOENT, errno.ENODEV, errno.EPERM, errno.ENOTCONN):
                raise

    def release(self, request: FuseRequest) -> None:
        """Give a request's slot and area back: it is answered, or needs no answer."""
        words, word = self._words, request.word
        words[word] = 0
        if request.length > p.HEAD_BYTES:
            words[word + DATA] = 0
            request.payload = EMPTY
            area, request.area = request.area, -1
            if area >= self.journal.geometry.big:
                self._medium.append(area)
            elif area >= 0:
                self._big.append(area)
        if request.replayed:
            words[word + TRIES] = 0
            request.replayed = False
        if request is self._armed:  # answered at once: the slot is ready for the next
            request.unique = request.began = 0
            request.on_cancel = None
            return
        del self.live[request.unique]
        request.unique = request.began = 0
        request.cancelled = False
        request.on_cancel = None
        self._free.append(request.slot)
        if self._paused:
            self._loop.soon(self._resume)

    def _resume(self) -> None:
        """Read on after a pause, if there is room again."""
        if self._paused:
            self._paused = False
            self._arm()
            self.start()
