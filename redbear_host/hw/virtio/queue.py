"""A split virtqueue (VIRTIO 1.2, 2.7).

Each request is two buffers, one that the device reads and one that it writes; so request `n` always
has descriptors 2n and 2n + 1, and nothing has to be linked while the driver runs.

Not one word of what the device writes is believed: `DeviceError` for a used index that has jumped,
for a request that it does not have, and for more bytes than there was room for.  After that only a
reset of the device helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from redbear_host.errors import DeviceError
from redbear_host.hw.ports import Dma
from redbear_host.hw.virtio.regs import (
    AVAILABLE_ENTRY,
    EVENT,
    NEXT,
    RING_ENTRIES,
    RING_IDX,
    USED_ALIGN,
    USED_ENTRY,
    WRITE,
    Descriptor,
)

T = TypeVar("T")

_WRAP: Final = 0xFFFF  # an index counts modulo 2^16
_ROOM: Final = 2048  # bytes of a request's place


class Place(NamedTuple):
    """Memory of one request."""

    number: int
    request: memoryview  # what the device reads
    response: memoryview  # what it writes


class Done(NamedTuple, Generic[T]):
    """A request that the device has ended."""

    tag: T
    response: memoryview  # as many bytes as it wrote; valid until the place is used again


class SplitQueue(Generic[T]):
    """At most `size` / 2 requests at a time, each with a `tag` of the driver's."""

    def __init__(self, dma: Dma, size: int, request_room: int) -> None:
        """Make a queue of `size` descriptors; requests have `request_room` bytes of their place.

        `MemoryError` when the device's memory is used up.
        """
        self.size: Final = size
        self.places: Final = size // 2
        self._request_room: Final = request_room
        self._response_room: Final = _ROOM - request_room
        available = size * Descriptor.size
        used = available + RING_ENTRIES + size * AVAILABLE_ENTRY + EVENT
        used = -(-used // USED_ALIGN) * USED_ALIGN
        end = used + RING_ENTRIES + size * USED_ENTRY + EVENT
        self._ring: Final = dma.alloc(end)
        try:
            self._memory: Final = dma.alloc(self.places * _ROOM)
        except MemoryError:
            self._ring.free()
            raise
        self.descriptors: Final = self._ring.iova
        self.available: Final = self._ring.iova + available
        self.used: Final = self._ring.iova + used
        view = self._ring.view
        entries = available + RING_ENTRIES
        self._head: Final = view[available + RING_IDX : entries].cast("H")
        self._entries: Final = view[entries : entries + size * AVAILABLE_ENTRY].cast("H")
        self._used_head: Final = view[used + RING_IDX : used + RING_ENTRIES].cast("H")
        self._used: Final = view[used + RING_ENTRIES : used + RING_ENTRIES + size * USED_ENTRY]
        self._used_words: Final = self._used.cast("I")
        self._lengths: Final = view[:available].cast("I")
        self._places: Final = [self._place(number) for number in range(self.places)]
        self._tags: Final[list[T | None]] = [None] * self.places
        self._free: Final[list[int]] = []
        self.reset()

    def _place(self, number: int) -> Place:
        start = number * _ROOM
        middle = start + self._request_room
        view = self._memory.view
        return Place(number, view[start:middle], view[middle : start + _ROOM])

    def reset(self) -> None:
        """Forget all requests; the device has forgotten them, or has not seen the queue yet."""
        self._ring.view[:] = bytes(self._ring.size)
        for place in self._places:
            first, iova = 2 * place.number, self._memory.iova + place.number * _ROOM
            Descriptor(addr=iova, flags=NEXT, next=first + 1).store(
                self._ring.view, first * Descriptor.size
            )
            Descriptor(addr=iova + self._request_room, len=self._response_room, flags=WRITE).store(
                self._ring.view, (first + 1) * Descriptor.size
            )
        self._tags[:] = [None] * self.places
        self._free[:] = range(self.places - 1, -1, -1)
        self._published = self._seen = 0

    def close(self) -> None:
        """Give the memory back; the device must have been reset."""
        self._memory.free()
        self._ring.free()

    @property
    def room(self) -> int:
        """How many more requests there is room for."""
        return len(self._free)

    @property
    def in_flight(self) -> int:
        """How many requests the device has not ended."""
        return self.places - len(self._free)

    def waiting(self) -> Iterator[T]:
        """Go through the tags of the requests that the device has not ended."""
        return (tag for tag in self._tags if tag is not None)

    def take(self) -> Place:
        """Return a free place, to be filled before `put`; `IndexError` if there is none."""
        return self._places[self._free[-1]]

    def put(self, place: Place, size: int, tag: T) -> None:
        """Publish the place just taken, with a request of `size` bytes; a `notify` is due."""
        number = self._free.pop()
        if number != place.number:
            raise ValueError(f"place {place.number} is not the one that was taken")
        self._tags[number] = tag
        self._lengths[number * 2 * (Descriptor.size // 4) + 2] = size
        self._entries[self._published % self.size] = 2 * number
        self._published = self._published + 1 & _WRAP
        self._head[0] = self._published  # last: only now does the device look at it

    def done(self) -> list[Done[T]]:
        """Return what the device has ended since the last call."""
        head = self._used_head[0]
        count = head - self._seen & _WRAP
        if not count:
            return []
        if count > self.in_flight:
            raise DeviceError(f"used index {head} after {self._seen}: {self.in_flight} in flight")
        found = []
        for _ in range(count):
            at = self._seen % self.size * 2
            found.append(self._end(self._used_words[at], self._used_words[at + 1]))
            self._seen = self._seen + 1 & _WRAP
        return found

    def _end(self, first: int, written: int) -> Done[T]:
        number, odd = divmod(first, 2)
        tag = None if odd or number >= self.places else self._tags[number]
        if tag is None:
            raise DeviceError(f"descriptor {first} was used, which is not the device's")
        if written > self._response_room:
            raise DeviceError(f"{written} bytes written, {self._response_room} were allowed")
        self._tags[number] = None
        self._free.append(number)
        return Done(tag, self._places[number].response[:written])
