"""The card's two queues: requests go in, what becomes of each comes back to who made it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from daemons.virtio_gpud.regs import REQUEST_ROOM, Header, Queue, Type
from redbear_host.bits import Struct
from redbear_host.errors import DeviceError
from redbear_host.hw.ports import Clock, PciFunction
from redbear_host.hw.virtio.queue import SplitQueue
from redbear_host.hw.virtio.transport import Transport

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 2.0  # what a command may take; QEMU takes microseconds
PLACES_LEAST: Final = 24  # requests at once: an update of many areas, and more
ERRORS_TOLD: Final = 20  # of a life

Then: TypeAlias = Callable[[memoryview | None], object]
"""Called with the response when it is what was expected, else with None."""


class _Sent(NamedTuple):
    """A request in flight."""

    type: int
    expected: int  # 0: the cursor queue says nothing but that it is done
    then: Then | None
    since: float  # when it was queued


class Commands:
    """Both queues; nothing is handed over before `flush_queue`."""

    def __init__(self, function: PciFunction, transport: Transport, clock: Clock, name: str):
        self._transport: Final = transport
        self._clock: Final = clock
        self._name: Final = name
        self._queues: Final[list[SplitQueue[_Sent]]] = [
            SplitQueue(function.dma, transport.queue_size(queue), REQUEST_ROOM) for queue in Queue
        ]
        if self._queues[Queue.CONTROL].places < PLACES_LEAST:
            raise DeviceError(f"{name} takes {self._queues[Queue.CONTROL].places} requests at once")
        self._due: Final = [False, False]
        self.errors = 0

    def attach(self, vectors: int) -> None:
        """Tell the device of the queues, and which vectors they ring: none for INTx (0)."""
        for number, queue in enumerate(self._queues):
            queue.reset()
            # As many as there are: the last one is for all that are left.
            vector = min(1 + number, vectors - 1) if vectors else None
            self._transport.add_queue(number, queue, vector)
        self._due[:] = [False, False]

    def room(self, queue: Queue = Queue.CONTROL) -> int:
        """Return how many more requests there is room for."""
        return self._queues[queue].room

    def send(
        self,
        record: Struct,
        then: Then | None = None,
        expected: Type = Type.OK_NODATA,
        queue: Queue = Queue.CONTROL,
    ) -> None:
        """Queue a request, for which there is room."""
        ours = self._queues[queue]
        place = ours.take()
        record.store(place.request)
        kind = int.from_bytes(place.request[:4], "little")
        answer = 0 if queue is Queue.CURSOR else expected
        ours.put(place, record.size, _Sent(kind, answer, then, self._clock.now()))
        self._due[queue] = True

    def flush_queue(self) -> None:
        """Hand over what was queued: one notification for a queue."""
        for number, due in enumerate(self._due):
            if due:
                self._due[number] = False
                self._transport.notify(number)

    @property
    def in_flight(self) -> int:
        """How many requests have not ended."""
        return sum(queue.in_flight for queue in self._queues)

    def reap(self) -> int:
        """Look what has ended, and tell who waits for it; return how much that was.

        `DeviceError` when the device has lost its senses: nothing it says is believed after that.
        """
        ended = 0
        for queue in self._queues:
            for sent, response in queue.done():
                ended += 1
                fine = self._check(sent, response)
                if sent.then is not None:
                    sent.then(response if fine else None)
        return ended

    def _check(self, sent: _Sent, response: memoryview) -> bool:
        if not sent.expected:
            return True
        if len(response) < Header.size:
            said = f"answers with {len(response)} bytes"
        else:
            kind = Type(Header.load(response).type)
            if kind == sent.expected:
                return True
            said = f"answers {kind.name}"
        self.errors += 1
        if self.errors <= ERRORS_TOLD:
            log.warning("%s: %s %s", self._name, Type(sent.type).name, said)
        return False

    def is_stuck(self, now: float) -> bool:
        """Tell whether a request waits for too long, whatever becomes of the others."""
        waiting = (sent for queue in self._queues for sent in queue.waiting())
        return any(now - sent.since > TIMEOUT_S for sent in waiting)

    def wait(self, within: float) -> bool:
        """Hand over what is queued and look until all has ended; False if it takes too long."""
        self.flush_queue()
        deadline = self._clock.now() + within
        while self.in_flight:
            self.reap()
            self.flush_queue()
            if self.in_flight:
                if self._clock.now() > deadline:
                    return False
                self._clock.pause(0.0002)
        return True
