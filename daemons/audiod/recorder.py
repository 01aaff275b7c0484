"""What the card records, for all who want it: one handle of `audiohw`, copies for each reader."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from redbear_host.client import calls
from redbear_host.client.calls import Answer
from redbear_host.client.looped import Looped

log = logging.getLogger(__name__)

BUFFERED: Final = 1 << 17  # bytes for a reader: three quarters of a second
_PART: Final = 2048  # bytes: a sub-buffer


class Reader:
    """One who listens; who does so too slowly loses the oldest."""

    def __init__(self, tell: Callable[[], object]) -> None:
        """Call `tell` when there is something to read."""
        self.tell: Final = tell
        self.waiting: Final = bytearray()
        self.lost = 0  # bytes

    def put(self, data: bytes) -> None:
        """Take a part of the recording."""
        self.waiting.extend(data)
        over = len(self.waiting) - BUFFERED
        if over > 0:
            over += -over % 4  # whole frames, so that channels keep their places
            del self.waiting[:over]
            self.lost += over
        self.tell()

    def take(self, size: int) -> bytes:
        """Return at most so many bytes, in whole frames where that is possible."""
        count = min(size & ~3 or size, len(self.waiting))
        data = bytes(self.waiting[:count])
        del self.waiting[:count]
        return data


class Recorder:
    """The card's input, which is open while somebody listens."""

    def __init__(self) -> None:
        self.readers: Final[dict[int, Reader]] = {}  # by their handles
        self.lost = 0  # bytes that readers were too slow for, of those that have closed
        self._wire: Looped | None = None
        self._card = -1  # the handle of audiohw
        self._handle = -1  # the handle of its input
        self._opening = False

    def add(self, handle: int, tell: Callable[[], object]) -> None:
        """Let somebody listen from now on."""
        self.readers[handle] = Reader(tell)
        self._begin()

    def remove(self, handle: int) -> None:
        """Hear that somebody has closed; after the last, recording ends with the next part."""
        gone = self.readers.pop(handle, None)
        if gone is not None:
            self.lost += gone.lost

    def on_card(self, wire: Looped, card: int) -> None:
        """Take a connection to audiohw and a handle of it."""
        self._wire, self._card, self._handle, self._opening = wire, card, -1, False
        self._begin()

    def on_lost(self) -> None:
        """Hear that its daemon has gone: who listens waits for the next."""
        self._wire, self._card, self._handle, self._opening = None, -1, -1, False

    def _begin(self) -> None:
        wire = self._wire
        if wire is None or self._handle >= 0 or self._opening or not self.readers:
            return
        self._opening = True
        wire.perform(calls.dup(self._card, b"capture"), partial(self._on_open, wire))

    def _on_open(self, wire: Looped, answer: Answer | OSError) -> None:
        if isinstance(answer, OSError):
            self._on_failed(wire, answer)
        elif wire is self._wire:
            self._handle, self._opening = answer.handle, False
            self._read(wire)

    def _read(self, wire: Looped) -> None:
        if not self.readers:
            wire.drop(self._handle)
            self._handle = -1
            return
        wire.perform(calls.read(self._handle, _PART), partial(self._on_data, wire))

    def _on_data(self, wire: Looped, data: bytes | OSError) -> None:
        if isinstance(data, OSError):
            self._on_failed(wire, data)
            return
        if wire is not self._wire:
            return
        for reader in list(self.readers.values()):
            reader.put(data)
        self._read(wire)

    def _on_failed(self, wire: Looped, error: OSError) -> None:
        """Give up until somebody else wants to listen: the card has no input, or has left."""
        if wire is self._wire and wire.is_open:
            log.warning("the card does not record: %s", error.strerror)
            self._handle, self._opening = -1, False
