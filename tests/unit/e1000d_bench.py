"""e1000d's driver on the Python model, with time and interrupts in the test's hands."""

from __future__ import annotations

from typing import Any

from daemons.e1000d.driver import Card, State, Wishes
from redbear_host.hw.ports import InterruptKind
from redbear_host.models.bell import CountingBell
from redbear_host.models.clock import FakeClock
from redbear_host.models.e1000 import E1000Model
from redbear_host.models.e1000.controller import MAC
from redbear_host.models.function import Slot

PEER = bytes.fromhex("525242aabbcc")
ARENA = 8 << 20


def frame(length: int, number: int = 0, to: bytes = MAC) -> bytes:
    """Make a frame whose every byte is told by its length and number."""
    body = (number & 0xFFFF_FFFF).to_bytes(4, "big") + length.to_bytes(2, "big")
    return (to + PEER + b"\x88\xb5" + body * (length // 6 + 1))[:length]


class Bench:
    """A card that is started on demand, and the record of what came."""

    def __init__(
        self, kind: InterruptKind = InterruptKind.INTX, wishes: Wishes | None = None, **model: Any
    ) -> None:
        self.clock = FakeClock()
        self.model = E1000Model(**model)
        self.slot = Slot(self.model, arena=ARENA)
        self.kind = kind
        self.wishes = wishes or Wishes(receive=64, transmit=64)
        self.frames: list[bytes] = []
        self.links: list[int] = []
        self.rooms = 0
        self.reads = True  # whether frames are taken when they come
        self.open()

    def open(self) -> None:
        """Let a new driver have the function, whatever became of the last one."""
        self.function = self.slot.open()
        vectors = 2 if self.kind is InterruptKind.MSIX else 1
        self.function.enable_interrupts(self.kind, vectors)
        self.card = Card(self.function, self.clock, self.wishes, self.kind, vectors)
        self.card.on_frames = self.take
        self.card.on_room = self._count_room
        self.card.on_link = lambda: self.links.append(self.card.link)

    def start(self, inherited: bool = False) -> Card:
        self.card.start(inherited)
        self.deliver()
        return self.card

    def _count_room(self) -> None:
        self.rooms += 1

    def take(self) -> None:
        while self.reads and (frames := self.card.received(7)):
            self.frames += map(bytes, frames)
            self.card.release(len(frames))

    def send(self, *frames: bytes) -> int:
        """Send as many as there is room for, in one batch; return how many."""
        slots = self.card.slots(len(frames))
        for slot, content in zip(slots, frames, strict=False):
            slot[: len(content)] = content
        self.card.commit([len(content) for content in frames[: len(slots)]])
        self.card.flush_queue()
        return len(slots)

    def deliver(self) -> None:
        """Deliver interrupts until none is pending."""
        line = self.slot.intx_bell
        bells = [line] if self.kind is InterruptKind.INTX else self.slot.bells
        for _ in range(1000):
            rung = [
                i for i, bell in enumerate(bells) if isinstance(bell, CountingBell) and bell.rings
            ]
            if not rung:
                return
            for index in rung:
                bells[index].hush()
                self.card.on_interrupt(index)
                if self.kind is InterruptKind.INTX:
                    self.slot.unmask_intx()
        raise AssertionError("the interrupt never ends")

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with the ticks that are due."""
        end = self.clock.now() + seconds
        while self.card.deadline <= end:
            self.clock.pause(max(0.0, self.card.deadline - self.clock.now()))
            self.card.tick(self.clock.now())
            self.deliver()
            if self.card.state in (State.GONE, State.STOPPED):
                return
        self.clock.pause(max(0.0, end - self.clock.now()))

    def check(self) -> None:
        assert self.model.violations == []
