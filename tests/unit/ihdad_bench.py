"""ihdad's driver on the Python model, with time and interrupts in the test's hands."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from daemons.ihdad.driver import Card, Wishes
from redbear_host.classes.soundcard import BUFFER, FRAMES
from redbear_host.hw.ports import InterruptKind
from redbear_host.models.bell import CountingBell
from redbear_host.models.clock import FakeClock
from redbear_host.models.function import Slot
from redbear_host.models.hda import CodecModel, HdaModel

STEP = 0.001
PERIOD = FRAMES / 44100  # seconds of a sub-buffer


def sub_buffer(number: int) -> bytes:
    """Make a sub-buffer that is like no other, and never silent."""
    return struct.pack("<hh", 1 + number % 30000, -1 - number // 30000) * FRAMES


class Bench:
    """A card that is started on demand, and what became of it."""

    def __init__(
        self,
        codecs: Mapping[int, CodecModel] | None = None,
        wishes: Wishes | None = None,
        **model: Any,
    ) -> None:
        self.clock = FakeClock()
        self.model = HdaModel(codecs, **model)
        self.slot = Slot(self.model)
        self.wishes = wishes or Wishes()
        self.interrupts = 0
        self.deaf = False  # no interrupt is delivered
        self.recorded = b""
        self.plays = self.jacks = 0
        self.next = 0  # sub-buffer
        self.open()

    def open(self) -> None:
        """Let a new driver have the function, whatever became of the last one."""
        self.function = self.slot.open()
        self.function.enable_interrupts(InterruptKind.INTX, 1)
        self.card = Card(self.function, self.clock, self.wishes)
        self.card.on_played = self._count_played
        self.card.on_recorded = self._take
        self.card.on_jacks = self._count_jacks

    def start(self) -> Card:
        self.card.start()
        self.deliver()
        return self.card

    def _count_played(self) -> None:
        self.plays += 1

    def _count_jacks(self) -> None:
        self.jacks += 1

    def _take(self) -> None:
        while (recorded := self.card.recorded()) is not None:
            self.recorded += bytes(recorded)
            self.card.release()

    def write(self, count: int = 1) -> int:
        """Write up to `count` sub-buffers, as many as there is room for; return how many."""
        count = min(count, self.card.room())
        for _ in range(count):
            self.card.play(sub_buffer(self.next))
            self.next += 1
        return count

    def deliver(self) -> None:
        """Deliver the interrupt until it is quiet, or for a while."""
        bell = self.slot.intx_bell
        assert isinstance(bell, CountingBell)
        for _ in range(20):
            if not bell.rings or self.deaf:
                return
            bell.hush()
            self.interrupts += 1
            self.card.on_interrupt()
            self.slot.unmask_intx()

    def pass_time(self, seconds: float, feed: bool = False) -> None:
        """Let time pass, with what is due; `feed` writes whenever there is room."""
        for _ in range(round(seconds / STEP)):
            if feed:
                self.write(3)
            self.clock.pause(STEP)
            self.model.run(STEP, STEP)
            self.deliver()
            if self.clock.now() >= self.card.deadline:
                self.card.tick(self.clock.now())

    @property
    def heard(self) -> list[int]:
        """The numbers of the sub-buffers that were heard whole, in order; -1 for silence.

        Pieces of one are not listed: a stream that was stopped leaves one.
        """
        found: list[int] = []
        data = bytes(self.model.heard)
        at = 0
        while at + BUFFER <= len(data):
            left, right = struct.unpack_from("<hh", data, at)
            piece = data[at : at + BUFFER]
            number = left - 1 - 30000 * (right + 1) if (left, right) != (0, 0) else -1
            whole = bytes(BUFFER) if number < 0 else sub_buffer(number)
            if piece == whole:
                found.append(number)
                at += BUFFER
            else:
                at += 4
        return found

    @property
    def heard_sound(self) -> list[int]:
        """The same without silence."""
        return [number for number in self.heard if number >= 0]

    def check(self) -> None:
        assert self.model.violations == []
