"""What a network card's frames pass through: joined TAPs, raw readers and writers, monitors.

Frames go from the card's memory straight into the TAP that has the wire, by one write each, and
from the TAP straight into the card's memory; the card hears of a batch by one doorbell.  Readers
get copies.  One reader that has the card to itself gets none: frames then wait in the card's own
ring until they are read.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final

from redbear_host.classes.adapter import NetworkAdapter
from redbear_host.classes.frames import FRAME_LEAST, SENT, lay
from redbear_host.classes.joined import Joined
from redbear_host.classes.readers import Monitor, Reader
from redbear_host.scheme.loop import Loop

BATCH: Final = 64  # frames of each direction that are moved before others have their turn
LINK_SETTLES_S: Final = 5.0  # until Linux is told that there is no link, after a start or a join

_AT_ONCE: Final = 32  # frames that are worth a doorbell of their own
_SPILL: Final = 64  # batches; more than any ring holds

_log = logging.getLogger(__name__)


def _ignore(*_: object) -> None:
    """Tell nobody."""


class Wire:
    """One adapter, and everyone who sends and receives through it."""

    def __init__(self, adapter: NetworkAdapter, loop: Loop) -> None:
        self.adapter: Final = adapter
        self.on_frames: Callable[[int], object] = _ignore  # with the number of a reader's handle
        self.on_room: Callable[[], object] = _ignore
        self.on_link: Callable[[], object] = _ignore
        self.gone = False  # the card has left
        self._loop: Final = loop
        self._mac = adapter.mac  # what it has while no join asks for another
        self._readers: Final[dict[int, Reader]] = {}
        self._monitors: Final[dict[int, Monitor]] = {}
        self._direct: Reader | None = None  # who alone reads, straight from the card
        self._joins: Final[list[Joined]] = []  # the last one has the wire
        self._tap: Joined | None = None  # that one
        self._watching = False  # it: not while the card has no room
        self._curious: Final[set[int]] = set()  # handles that want frames to others as well
        self._promiscuous = False
        self._queued = False  # frames were committed that the card was not told of
        self._more = False  # there may be frames that no interrupt will tell of
        self._settled = adapter.link > 0  # the link is up, or has had its time to come up
        self._spare: Final = bytearray(1)  # shows that a frame was too long for its slot
        self._counts: Final = dict.fromkeys(
            ("received", "sent", "unread", "reader_dropped", "tap_dropped", "tap_bad"), 0
        )
        adapter.on_frames = self._on_frames
        adapter.on_room = self._on_room
        adapter.on_link = self._on_link
        loop.at(loop.now() + LINK_SETTLES_S, self._settle)

    # -- from the card -----------------------------------------------------------------------------

    def _on_frames(self) -> None:
        if self._direct is not None:
            self.on_frames(self._direct.number)
        else:
            self._receive()

    def _receive(self) -> bool:
        """Pass on a batch of what waits in the card; False when there was nothing."""
        adapter = self.adapter
        frames = adapter.received(BATCH)
        count = len(frames)
        if not count:
            return False
        self._counts["received"] += count
        tap = self._tap
        if tap is not None:
            tap.write(frames)
        if self._readers or self._monitors:
            self._copy(frames)
        elif tap is None:
            self._counts["unread"] += count
        adapter.release(count)
        self._more = count == BATCH
        if tap is not None and tap.gone:
            self._drop(tap)
        return True

    def _copy(self, frames: Sequence[memoryview]) -> None:
        copies = list(map(bytes, frames))
        lost = 0
        for reader in self._readers.values():
            lost += reader.take(copies)
            self.on_frames(reader.number)
        self._counts["reader_dropped"] += lost
        if self._monitors:
            self._show(copies, 0)

    def _show(self, frames: Sequence[bytes], flags: int) -> None:
        """Give the monitors frames as they pass."""
        now = time.time_ns()
        for monitor in self._monitors.values():
            self._counts["reader_dropped"] += monitor.take(frames, now, flags)
            self.on_frames(monitor.number)

    # -- to the card -------------------------------------------------------------------------------

    def send(self, lengths: Sequence[int], frames: memoryview) -> int:
        """Send frames that lie one after another, as many as there is room for; return how many.

        Their lengths have been checked; 0 when the ring is full, until `on_room`.
        """
        slots = self.adapter.slots(len(lengths))
        taken = lengths[: len(slots)]
        at = 0
        for slot, length in zip(slots, taken, strict=False):
            end = at + length
            slot[:length] = frames[at:end]
            at = end
        if taken:
            self._commit(slots, taken)
        return len(taken)

    def send_one(self, frame: memoryview) -> bool:
        """Send a frame of checked length; False when the ring is full, until `on_room`."""
        if not self.adapter.put(frame):
            return False
        self._queued = True
        self._counts["sent"] += 1
        if self._monitors:
            self._show([bytes(frame)], SENT)
        return True

    def _commit(self, slots: Sequence[memoryview], lengths: Sequence[int]) -> None:
        if self._monitors:
            pairs = zip(slots, lengths, strict=False)
            self._show([bytes(slot[:length]) for slot, length in pairs], SENT)
        self._counts["sent"] += len(lengths)
        self.adapter.commit(lengths)
        if len(lengths) >= _AT_ONCE:
            self._queued = False
            self.adapter.flush_queue()
        else:
            self._queued = True

    @property
    def room(self) -> bool:
        """Tell whether a frame could be sent now; `on_room` comes if not."""
        return bool(self.adapter.slots(1))

    def _on_room(self) -> None:
        self._watch()
        self.on_room()

    def end_batch(self) -> None:
        """Tell the card what was committed; when a round of the event loop ends."""
        if self._more:
            self._more = False
            self._loop.soon(self._receive)
        if self._queued:
            self._queued = False
            if not self.gone:
                self.adapter.flush_queue()

    # -- readers -----------------------------------------------------------------------------------

    def add_reader(self, number: int) -> Reader:
        """Let a handle have a copy of each frame that comes from now on."""
        self._spill()
        reader = self._readers[number] = Reader(number)
        self._choose_direct()
        return reader

    def add_monitor(self, number: int) -> Monitor:
        """Let a handle have a copy of each frame of both directions."""
        self._spill()
        monitor = self._monitors[number] = Monitor(number)
        self._choose_direct()
        return monitor

    def remove(self, number: int) -> None:
        """Forget the handle; harmless when it was none of these."""
        if number in self._curious:
            self.set_curious(number, False)
        if number not in self._readers and number not in self._monitors:
            return
        self._readers.pop(number, None)
        self._monitors.pop(number, None)
        self._choose_direct()
        if self._direct is None and not self.gone:
            self._receive()  # what its only reader has left there

    def _spill(self) -> None:
        """Let those who read so far have what waits in the card."""
        for _ in range(_SPILL):
            if self.gone or not self._receive():
                break

    def _choose_direct(self) -> None:
        alone = len(self._readers) == 1 and not self._monitors and self._tap is None
        self._direct = next(iter(self._readers.values())) if alone else None

    def take(self, reader: Reader, most: int, room: memoryview) -> list[int] | None:
        """Put a reader's oldest frames into `room`, one after another, at most `most`.

        Returns their lengths: none when not even the first fits; None when nothing waits.
        """
        frames: Sequence[bytes | memoryview]
        if reader:
            frames = reader.first(most, len(room))
            lay(frames, room)
            return list(map(len, frames))
        frames = self.adapter.received(most) if reader is self._direct else ()
        if not frames:
            return None
        lengths = list(map(len, frames))
        if sum(lengths) > len(room):
            fit = sum(end <= len(room) for end in accumulate(lengths))
            frames, lengths = frames[:fit], lengths[:fit]
        lay(frames, room)
        self._counts["received"] += len(lengths)
        self.adapter.release(len(lengths))
        return lengths

    def take_one(self, reader: Reader, room: int) -> bytes | None:
        """Return a reader's oldest frame, or the first `room` bytes of it; None if there is none.

        What a frame has more is lost, as it is for packet sockets.
        """
        found = reader.pop()
        if found is not None:
            return found[:room]
        if reader is not self._direct:
            return None
        frames = self.adapter.received(1)
        if not frames:
            return None
        found = bytes(frames[0][:room])
        self._counts["received"] += 1
        self.adapter.release(1)
        return found

    def waits(self, reader: Reader) -> bool:
        """Tell whether there is a frame for a reader."""
        return bool(reader) or (reader is self._direct and bool(self.adapter.received(1)))

    # -- joins -------------------------------------------------------------------------------------

    @property
    def joins(self) -> tuple[Joined, ...]:
        """Those that are joined, the one that has the wire last."""
        return tuple(self._joins)

    def join(self, tap: Joined, instead: Joined | None = None) -> None:
        """Let a TAP have the wire; who had it gets it back when this one goes.

        One that comes `instead` of another has that one's place, which need not be the newest's.
        """
        self._spill()
        if instead is not None and instead in self._joins:
            self._joins[self._joins.index(instead)] = tap
            # The same interface again, as when an address changes: its carrier does not flap.
            self._let_go(instead, silently=instead.name == tap.name)
        else:
            self._joins.append(tap)
        _log.info("%s of %s is joined", tap.name, tap.by)
        self._rewire()

    def part(self, tap: Joined) -> None:
        """Let a TAP go, and close it."""
        if tap in self._joins:
            self._drop(tap)

    def _drop(self, tap: Joined) -> None:
        self._joins.remove(tap)
        self._let_go(tap)
        why = "its interface has gone" if tap.gone else "it was let go"
        _log.info("%s of %s is joined no more: %s", tap.name, tap.by, why)
        self._rewire()

    def _let_go(self, tap: Joined, silently: bool = False) -> None:
        self._counts["tap_dropped"] += tap.dropped
        if tap is self._tap:
            self._unwatch()
            self._tap = None
        if not silently:
            tap.set_carrier(False)
        tap.close()

    def _rewire(self) -> None:
        """Give the wire to the newest."""
        newest = self._joins[-1] if self._joins else None
        if newest is not self._tap:
            self._unwatch()
            self._tap = newest
            self._watch()
        self._choose_direct()
        self._choose_address()
        self._choose_carrier()

    def _watch(self) -> None:
        if self._tap is not None and not self._watching and not self.gone:
            self._watching = True
            self._loop.watch(self._tap.fd, self._on_tap)

    def _unwatch(self) -> None:
        if self._tap is not None and self._watching:
            self._watching = False
            self._loop.unwatch(self._tap.fd)

    def _on_tap(self) -> None:
        """Read what Linux sends straight into the card's memory."""
        tap = self._tap
        if tap is None:
            return
        slots = self.adapter.slots(BATCH)
        if not slots:
            self._unwatch()  # until `on_room`; Linux's own queue keeps what it sends
            return
        lengths: list[int] = []
        fd, readv, spare = tap.fd, os.readv, self._spare
        try:
            for slot in slots:
                length = readv(fd, (slot, spare))
                if not FRAME_LEAST <= length <= len(slot):
                    self._counts["tap_bad"] += 1
                    break  # the slot is not used; what comes after it has its turn next round
                lengths.append(length)
        except BlockingIOError:
            pass
        except OSError:  # of an interface that goes, or has gone: nothing else fails here
            tap.gone = True
        if lengths:
            self._commit(slots, lengths)
        if tap.gone:
            self._drop(tap)

    # -- address, filter, link ---------------------------------------------------------------------

    @property
    def mac(self) -> bytes:
        """The hardware address the card has now."""
        return self.adapter.mac

    def set_mac(self, mac: bytes) -> None:
        """Give the card an address, which it has unless a join asks for another."""
        self._mac = mac
        self._choose_address()

    def set_curious(self, number: int, on: bool) -> None:
        """Let frames to others in while this handle is open."""
        if on:
            self._curious.add(number)
        else:
            self._curious.discard(number)
        self._choose_filter()

    def _choose_address(self) -> None:
        if self.gone:
            return
        wanted = self._mac
        if self._tap is not None and self._tap.mac is not None:
            wanted = self._tap.mac
        if wanted != self.adapter.mac:
            self.adapter.set_mac(wanted)
        self._choose_filter()

    def _choose_filter(self) -> None:
        """Receive what is for others where somebody wants it: a TAP with another address does."""
        if self.gone:
            return
        tap = self._tap
        wanted = bool(self._curious)
        wanted |= tap is not None and tap.mac is None and tap.address != self.adapter.mac
        if wanted is not self._promiscuous:
            self._promiscuous = wanted
            self.adapter.set_promiscuous(wanted)

    @property
    def link(self) -> int:
        """Mb/s; 0 while there is none."""
        return 0 if self.gone else self.adapter.link

    def _on_link(self) -> None:
        self._settled |= self.adapter.link > 0
        self._choose_carrier()
        self.on_link()

    def _settle(self) -> None:
        self._settled = True
        self._choose_carrier()

    def _choose_carrier(self) -> None:
        """Show each TAP a carrier while frames go through: not without link, nor without wire.

        A driver that has just started waits for its link; Linux, which forgets routes and may take
        its time with what is back, is not bothered with that.
        """
        up = not self.gone and (self.adapter.link > 0 or not self._settled)
        for tap in self._joins:
            tap.set_carrier(up and tap is self._tap)

    def leave(self) -> None:
        """Hear that the card has left: nothing comes or goes any more."""
        self.gone = True
        self._unwatch()
        self._choose_carrier()
        self.on_link()

    def statistics(self) -> dict[str, int]:
        """Return our own counters, then the card's."""
        counts = dict(self._counts)
        counts["tap_dropped"] += sum(tap.dropped for tap in self._joins)
        counts.update(self.adapter.statistics())
        return counts

    def close(self) -> None:
        """Let all joins go without a word to Linux: a successor takes them over at once."""
        self._unwatch()
        for tap in self._joins:
            tap.close()
        self._joins.clear()
        self._tap = None
