"""e1000d on a PCI function of the guest, by vfio-pci: what is sent comes back through the PHY."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from guest_machine import WITHIN

from daemons.e1000d.driver import Card, Wishes
from kernel_shim import bind
from kernel_shim.host import MACHINE
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind, PciFunction
from redbear_host.hw.vfio import Claim, open_function
from redbear_host.hw.vfio.function import VfioFunction
from redbear_host.hw.vfio.window import MappedWindow

pytestmark = pytest.mark.timeout(120)

ARENA = 16 << 20
TYPE = b"\x88\xb5"  # IEEE 802's type for experiments


def cards() -> list[str]:
    """Find the spare cards: those that nobody has given an address."""
    found = []
    for folder in sorted((MACHINE.sys / "bus/pci/devices").iterdir()):
        ids = tuple(int((folder / it).read_text(), 16) for it in ("vendor", "device"))
        if ids in ((0x8086, 0x100E), (0x8086, 0x10D3)):
            found.append(folder.name)
    return found


@pytest.fixture(params=cards() or [None])
def claim(request: pytest.FixtureRequest) -> Iterator[Claim]:
    assert request.param is not None, "the guest has no Intel card: give it --device e1000e"
    record = bind.plan(request.param)
    bind.bind(record)
    try:
        claim = Claim(request.param, ARENA)
        try:
            yield claim
        finally:
            claim.release()
    finally:
        bind.restore(record)


def opened(claim: Claim) -> PciFunction:
    grant, fds = claim.grant()
    return open_function(grant, [os.dup(fd) for fd in fds])


def die(function: PciFunction) -> None:
    """Let go as a kill does: the card is told nothing."""
    assert isinstance(function, VfioFunction)
    for window in function._bars.values():
        assert isinstance(window, MappedWindow)
        window.close()
    function._held.close()


class Loop:
    """A started card, and what came back."""

    def __init__(self, function: PciFunction, kind: InterruptKind, inherited: bool = False) -> None:
        self.function = function
        self.kind = kind
        vectors = min(2, getattr(function.interrupts, kind))
        self.fds = function.enable_interrupts(kind, vectors)
        self.card = Card(function, SystemClock(), Wishes(), kind, vectors)
        self.frames: list[bytes] = []
        self.interrupts = 0
        self.card.on_frames = self.take
        self.card.start(inherited)
        self.card.phy.set_loopback(True)

    def take(self) -> None:
        while frames := self.card.received(64):
            self.frames += map(bytes, frames)
            self.card.release(len(frames))

    def send(self, frames: list[bytes]) -> None:
        for slot, frame in zip(self.card.slots(len(frames)), frames, strict=True):
            slot[: len(frame)] = frame
        self.card.commit([len(frame) for frame in frames])
        self.card.flush_queue()

    def wait(self, count: int, within: float = WITHIN) -> list[bytes]:
        end = time.monotonic() + within
        while len(self.frames) < count:
            assert time.monotonic() < end, self.card.statistics()
            ready = select.select(self.fds, [], [], 0.1)[0]
            for vector, fd in enumerate(self.fds):
                if fd in ready:
                    with suppress(BlockingIOError):
                        os.eventfd_read(fd)
                    self.interrupts += 1
                    self.card.on_interrupt(vector)
                    if self.kind is InterruptKind.INTX:
                        self.function.unmask_intx()
        frames, self.frames = self.frames, []
        return frames

    def until_receiving(self) -> None:
        """QEMU's 82540 receives nothing in the second after it was set up."""
        end = time.monotonic() + WITHIN
        while not self.frames:
            assert time.monotonic() < end
            self.send([self.frame(60)])
            select.select(self.fds, [], [], 0.1)
            self.take()
        # Some of those may be on their way still: none comes after one that was sent later.
        last = self.frame(60, 0xFFFFFFFF)
        self.send([last])
        while self.frames[-1:] != [last]:
            assert time.monotonic() < end
            select.select(self.fds, [], [], 0.1)
            self.take()
        self.frames.clear()

    def frame(self, length: int, number: int = 0) -> bytes:
        head = b"\xff" * 6 + self.card.mac + TYPE
        return (head + number.to_bytes(4, "big") * (length // 4))[:length]


@pytest.mark.parametrize("kind", list(InterruptKind))
def test_frames_come_back_by_each_kind_of_interrupt(claim: Claim, kind: InterruptKind) -> None:
    function = opened(claim)
    try:
        if not getattr(function.interrupts, kind):
            assert function.ids.device == 0x100E, "only QEMU's 82540 has no messages"
            assert kind is not InterruptKind.INTX
            return
        loop = Loop(function, kind)
        loop.until_receiving()
        loop.interrupts = 0
        for number in range(20):
            frames = [loop.frame(60 + 37 * n, 100 * number + n) for n in range(39)]
            loop.send(frames)
            assert loop.wait(39) == frames
        assert loop.interrupts >= 20
        counts = loop.card.statistics()
        assert counts["GPTC"] >= 20 * 39
        assert counts["DRIVER_RESETS"] == 0
        loop.card.stop()
    finally:
        function.close()


def test_a_card_whose_driver_was_killed_is_taken_over(claim: Claim) -> None:
    for life in range(3):
        function = opened(claim)
        began = time.monotonic()
        kind = InterruptKind.MSIX if function.interrupts.msix else InterruptKind.INTX
        loop = Loop(function, kind, inherited=life > 0)
        took = time.monotonic() - began
        assert loop.card.counters.adopted == (life > 0)
        if life == 0:
            loop.until_receiving()
        loop.frames.clear()
        frames = [loop.frame(100 + n, life) for n in range(30)]
        loop.send(frames)
        assert loop.wait(30)[-30:] == frames
        how = "taken over" if life else "reset"
        print(f"\n{claim.address} {how}: started in {took * 1000:.1f} ms", end="")
        if life < 2:
            die(function)
            claim.quiesce()
        else:
            loop.card.stop()
            function.close()
