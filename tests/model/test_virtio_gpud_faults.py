"""virtio_gpud when its card misbehaves: one fault at a time, and at random."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemons.virtio_gpud.driver import Card, State
from redbear_host.classes.screen import Area
from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.pci.capability import capabilities
from redbear_host.hw.ports import InterruptKind
from redbear_host.models.clock import FakeClock
from redbear_host.models.function import Slot
from redbear_host.models.virtio_gpu import Fault, Misdeed, VirtioGpu
from redbear_host.models.virtio_gpu import card as model
from redbear_host.models.virtio_gpu.queues import DeviceQueue

ARENA = 16 << 20
WIDTH, HEIGHT = 64, 48
TRANSFER, FLUSH, INFO, GET_EDID, CREATE, UNREF = 0x105, 0x104, 0x100, 0x10A, 0x101, 0x102


class Bench:
    """A card in its slot, driven as a daemon's loop would."""

    def __init__(
        self, kind: InterruptKind = InterruptKind.MSIX, vectors: int = 3, outputs: int = 1
    ) -> None:
        self.model = VirtioGpu(vectors, outputs)
        self.model.pictures.connected[0] = (WIDTH, HEIGHT)
        self.slot = Slot(self.model, bar=model.BAR, arena=ARENA)
        self.clock = FakeClock()
        self.function = self.slot.open()
        self.changed: list[int] = []
        self.ready: list[int] = []
        self.bells = self.slot.enable_interrupts(kind, vectors)
        self.kind = kind
        self.rung = [0] * len(self.bells)
        self.card = Card(self.function, self.clock, kind, vectors)
        self.card.on_changed = self.changed.append
        self.card.on_ready = self.ready.append

    def deliver(self) -> None:
        """Have the driver hear of what has rung."""
        for _ in range(50):
            due = [n for n, bell in enumerate(self.bells) if bell.rings != self.rung[n]]
            if not due:
                return
            for vector in due:
                self.rung[vector] = self.bells[vector].rings
                self.card.on_interrupt(vector)
                if self.kind is InterruptKind.INTX:
                    self.slot.unmask_intx()
        raise AssertionError("interrupts without end")

    def pass_time(self, seconds: float) -> None:
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            self.clock.pause(0.1)
            if self.clock.now() >= self.card.deadline:
                self.card.tick(self.clock.now())
            self.deliver()

    def draw(self, pixels: bytes, *areas: Area, output: int = 0) -> bool:
        width, height = self.card.size(output)
        whole = [Area(0, 0, width, height)]
        taken = self.card.update(output, memoryview(pixels), width * 4, areas or whole)
        self.deliver()
        return taken

    def seen(self, output: int = 0) -> bytes:
        return bytes(self.model.pictures.seen[output])

    def check(self) -> None:
        assert self.model.violations == []


@pytest.fixture(params=[InterruptKind.MSIX, InterruptKind.INTX])
def bench(request: pytest.FixtureRequest) -> Bench:
    vectors = 3 if request.param is InterruptKind.MSIX else 1
    made = Bench(request.param, vectors)
    made.card.start()
    made.deliver()
    return made


def picture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    return bytes((n * 7 + seed) & 0xFF for n in range(width * height * 4))


def test_only_the_damage_is_transferred(bench: Bench) -> None:
    first, second = picture(1), picture(2)
    assert bench.draw(first)
    assert bench.seen() == first
    before = bench.model.pictures.transferred
    assert bench.draw(second, Area(8, 4, 16, 2), Area(40, 30, 1, 1))
    assert bench.model.pictures.transferred - before == 16 * 2 + 1
    expected = bytearray(first)
    for y in (4, 5):
        at = (y * WIDTH + 8) * 4
        expected[at : at + 64] = second[at : at + 64]
    at = (30 * WIDTH + 40) * 4
    expected[at : at + 4] = second[at : at + 4]
    assert bench.seen() == expected
    bench.check()


def test_an_update_waits_while_the_device_copies_there(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.HOLD, type=TRANSFER))
    bench.model.faults.append(Fault(Misdeed.HOLD, type=FLUSH))
    assert bench.draw(picture(1), Area(0, 0, 8, 8))
    assert bench.draw(picture(2), Area(20, 20, 8, 8))  # beside it
    assert not bench.draw(picture(3), Area(4, 4, 8, 8))
    assert bench.ready == []
    bench.model.release()
    bench.deliver()
    assert bench.ready == [0]
    assert bench.draw(picture(3), Area(4, 4, 8, 8))
    bench.check()


def test_a_monitor_that_is_exchanged_has_another_size_at_once(bench: Bench) -> None:
    bench.draw(picture(1))
    bench.changed.clear()
    bench.model.connect(0, 80, 60)
    bench.deliver()
    assert 0 in bench.changed
    assert bench.card.size(0) == (80, 60)
    assert bench.card.modes(0)[0][:2] == (80, 60)
    assert bench.model.pictures.sizes[0] == (80, 60)
    again = picture(4, 80, 60)
    assert bench.draw(again)
    assert bench.seen() == again
    bench.model.connect(0, 0, 0)
    bench.deliver()
    assert bench.card.size(0) == (0, 0)
    assert bench.card.modes(0) == []
    assert 0 not in bench.model.pictures.seen
    assert bench.draw(b"")  # nobody sees it
    bench.model.connect(0, WIDTH, HEIGHT)
    bench.deliver()
    assert bench.card.size(0) == (WIDTH, HEIGHT)
    bench.check()


def test_changes_of_size_lose_no_memory(bench: Bench) -> None:
    bench.model.connect(0, 128, 128)
    bench.deliver()
    before = bench.slot.dma.allocated
    for turn in range(40):
        bench.model.connect(0, 64 + turn, 64)
        bench.deliver()
    bench.model.connect(0, 128, 128)
    bench.deliver()
    assert bench.slot.dma.allocated == before
    bench.model.faults.append(Fault(Misdeed.HANG, type=UNREF))
    bench.model.connect(0, 100, 100)
    bench.deliver()
    bench.pass_time(4)
    bench.model.connect(0, 128, 128)
    bench.deliver()
    assert bench.card.counters.resets == 1
    assert bench.slot.dma.allocated == before
    bench.check()


def test_several_outputs_have_a_picture_each() -> None:
    bench = Bench(outputs=3)
    bench.model.pictures.connected[2] = (32, 24)
    bench.card.start()
    bench.deliver()
    assert [bench.card.size(n) for n in range(3)] == [(WIDTH, HEIGHT), (0, 0), (32, 24)]
    assert bench.draw(picture(1))
    assert bench.draw(picture(2, 32, 24), output=2)
    assert (bench.seen(0), bench.seen(2)) == (picture(1), picture(2, 32, 24))
    bench.model.connect(1, 16, 16)
    bench.deliver()
    assert bench.draw(picture(3, 16, 16), output=1)
    assert bench.seen(1) == picture(3, 16, 16)
    bench.check()


def test_a_cursor_is_set_moved_and_hidden(bench: Bench) -> None:
    image = bytes(n & 0xFF for n in range(64 * 64 * 4))
    bench.card.set_cursor(0, image, 3, 5)
    bench.card.move_cursor(0, 10, 20, True)
    bench.deliver()
    seen = bench.model.pictures.cursors[0]
    assert (seen.image, seen.hot, seen.place) == (image, (3, 5), (10, 20))
    for x in range(100):  # without a look at interrupts: the last place counts
        bench.card.move_cursor(0, x - 50, -3, True)
    bench.deliver()
    assert bench.model.pictures.cursors[0].place == (49, -3)
    bench.card.move_cursor(0, 0, 0, False)
    bench.deliver()
    assert bench.model.pictures.cursors[0].image == b""
    bench.card.move_cursor(0, 7, 7, True)
    bench.deliver()
    assert bench.model.pictures.cursors[0].image == image
    bench.check()


@pytest.mark.parametrize("misdeed", [Misdeed.HANG, Misdeed.NEEDS_RESET])
def test_a_stuck_queue_is_reset_and_the_picture_comes_back(bench: Bench, misdeed: Misdeed) -> None:
    image = bytes(n & 0xFF for n in range(64 * 64 * 4))
    bench.card.set_cursor(0, image, 0, 0)
    bench.card.move_cursor(0, 1, 2, True)
    bench.deliver()
    bench.draw(picture(1))
    bench.model.faults.append(Fault(misdeed))
    bench.draw(picture(2), Area(0, 0, 4, 4))
    bench.pass_time(4)
    assert bench.card.counters.resets == 1
    expected = bytearray(picture(1))
    for y in range(4):
        expected[y * WIDTH * 4 : y * WIDTH * 4 + 16] = picture(2)[y * WIDTH * 4 :][:16]
    assert bench.seen() == expected
    assert bench.model.pictures.cursors[0].image == image
    assert bench.draw(picture(3))
    assert bench.seen() == picture(3)
    bench.check()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Misdeed.LENGTH, 0xFFFF_FFFF, type=FLUSH),
        Fault(Misdeed.IDENTITY, 0xFFFF_FFFF, type=FLUSH),
        Fault(Misdeed.IDENTITY, 1, type=FLUSH),
        Fault(Misdeed.IDENTITY, 60, type=TRANSFER),
        Fault(Misdeed.JUMP, 1, type=FLUSH),
        Fault(Misdeed.JUMP, 0x7FFF, type=TRANSFER),
        Fault(Misdeed.JUMP, 0xFFF0, type=TRANSFER),
    ],
    ids=str,
)
def test_a_used_ring_that_makes_no_sense_is_believed_in_nothing(bench: Bench, fault: Fault) -> None:
    bench.draw(picture(1))
    bench.model.faults.append(replace(fault))
    bench.draw(picture(2))
    bench.pass_time(4)
    assert bench.card.counters.resets == 1
    assert bench.seen() == picture(2)
    bench.check()


@pytest.mark.parametrize("answer", [0x1200, 0x1203, 0x1205, 0x1101, 0, 0xFFFF_FFFF])
@pytest.mark.parametrize("kind", [TRANSFER, FLUSH, INFO, GET_EDID, CREATE, UNREF])
def test_a_refusal_is_told_and_survived(bench: Bench, kind: int, answer: int) -> None:
    if (kind, answer) == (INFO, 0x1101):
        answer = 0x1100
    bench.model.faults.append(Fault(Misdeed.ANSWER, answer, type=kind))
    bench.draw(picture(1))
    bench.model.connect(0, 72, 56)
    bench.deliver()
    bench.model.connect(0, WIDTH, HEIGHT)
    bench.deliver()
    bench.model.violations.clear()  # a resource that could not be made cannot be used
    assert bench.card.size(0) == (WIDTH, HEIGHT)
    assert bench.draw(picture(2))
    bench.pass_time(3)
    assert bench.seen() == picture(2)
    assert bench.card.state is State.RUNNING
    bench.check()


@pytest.mark.parametrize("kind", [INFO, GET_EDID])
@pytest.mark.parametrize(
    ("misdeed", "value"), [(Misdeed.GARBAGE, 0), (Misdeed.LENGTH, 24), (Misdeed.LENGTH, 3)]
)
def test_what_it_says_of_displays_may_be_nonsense(
    bench: Bench, kind: int, misdeed: Misdeed, value: int
) -> None:
    bench.draw(picture(1))
    bench.model.faults.append(Fault(misdeed, value, type=kind))
    bench.model.connect(0, 72, 56)
    bench.deliver()
    bench.model.connect(0, WIDTH, HEIGHT)
    bench.deliver()
    assert bench.card.size(0) == (WIDTH, HEIGHT)
    assert bench.draw(picture(2))
    assert bench.seen() == picture(2)
    bench.check()


def test_a_lost_interrupt_is_made_up_for(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.LOSE_INTERRUPT, type=FLUSH))
    bench.draw(picture(1))
    bench.pass_time(1)
    assert bench.draw(picture(2))
    assert bench.seen() == picture(2)
    assert bench.card.counters.resets == 0
    bench.check()


def test_a_card_that_hangs_again_and_again_is_given_up(bench: Bench) -> None:
    for _ in range(6):
        bench.model.faults.append(Fault(Misdeed.HANG))
        bench.draw(picture(1))
        bench.pass_time(4)
    assert bench.card.state is State.FAILED
    assert bench.draw(picture(2))  # taken, and lost: its clients go on
    bench.card.stop()
    assert bench.card.state is State.STOPPED


def test_a_card_that_vanishes_reads_as_all_ones(bench: Bench) -> None:
    bench.draw(picture(1))
    bench.model.faults.append(Fault(Misdeed.VANISH))
    bench.draw(picture(2))
    bench.slot.pull()
    bench.pass_time(4)
    bench.card.gone()
    assert bench.card.size(0) == (0, 0)
    assert bench.draw(picture(3))
    bench.card.stop()


def test_a_card_that_reads_as_all_ones_has_left_though_nobody_says_so(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.VANISH))
    assert bench.draw(picture(1))
    assert not bench.draw(picture(2))  # its client waits now
    bench.pass_time(1)
    assert bench.card.state is State.GONE
    assert bench.changed[-1:] == [0]  # which has it try again
    assert bench.draw(picture(2))


@pytest.mark.parametrize("kind", [InterruptKind.MSIX, InterruptKind.INTX])
def test_an_event_that_cannot_be_cleared_is_looked_after_now_and_then(kind: InterruptKind) -> None:
    bench = Bench(kind, vectors=1)  # so that each answer rings what a change of displays rings
    bench.card.start()
    bench.deliver()
    bench.model.nags = True
    bench.model.connect(0, 72, 56)
    bench.deliver()
    bench.pass_time(5)
    assert bench.card.size(0) == (72, 56)
    assert bench.card.counters.changes < 40
    assert bench.draw(picture(1, 72, 56))
    assert bench.seen() == picture(1, 72, 56)
    bench.check()


def test_one_lost_request_among_others_that_end_is_found_as_well(bench: Bench) -> None:
    bench.card.set_cursor(0, bytes(64 * 64 * 4), 0, 0)
    bench.deliver()
    bench.model.faults.append(Fault(Misdeed.LOSE, type=TRANSFER))
    assert bench.draw(picture(1))
    for x in range(60):  # somebody moves the mouse all the time
        bench.card.move_cursor(0, x, x, True)
        bench.deliver()
        bench.pass_time(0.1)
    assert bench.card.counters.resets == 1
    assert bench.draw(picture(2))
    assert bench.seen() == picture(2)
    bench.check()


def test_a_screen_is_cleared_however_full_its_queue_is(bench: Bench) -> None:
    assert bench.draw(picture(1))
    bench.model.faults.append(Fault(Misdeed.HOLD, type=TRANSFER, times=28))
    assert bench.draw(picture(1), *(Area(n, 0, 1, 1) for n in range(28)))
    bench.card.clear(0)
    bench.deliver()
    bench.model.release()
    bench.deliver()
    assert bench.seen() == bytes(WIDTH * HEIGHT * 4)
    bench.check()


@pytest.mark.parametrize("held", range(20, 30))
def test_however_full_its_queue_is_a_new_size_and_a_cursor_find_room(
    bench: Bench, held: int
) -> None:
    image = bytes(n & 0xFF for n in range(64 * 64 * 4))
    bench.card.on_changed = lambda display: bench.card.set_cursor(display, image, 0, 0)
    bench.model.faults.append(Fault(Misdeed.HOLD, type=TRANSFER, times=held))
    assert bench.draw(picture(1), *(Area(n, 0, 1, 1) for n in range(held)))
    bench.model.connect(0, 72, 56)
    bench.deliver()
    bench.model.release()
    bench.deliver()
    bench.pass_time(1)
    bench.card.move_cursor(0, 0, 0, True)
    bench.deliver()
    assert bench.card.size(0) == (72, 56)
    assert bench.model.pictures.cursors[0].image == image
    assert bench.card.counters.resets == 0


@pytest.mark.parametrize("misdeed", [Misdeed.HANG, Misdeed.JUMP, Misdeed.VANISH])
def test_a_start_that_fails_says_so(misdeed: Misdeed) -> None:
    bench = Bench()
    bench.model.faults.append(Fault(misdeed, 5))
    with pytest.raises(DeviceError):
        bench.card.start()
    assert not bench.slot.config.bus_master


def test_a_device_that_is_not_there_is_gone() -> None:
    bench = Bench()
    bench.model.lost = True
    with pytest.raises(Gone):
        bench.card.start()


def test_a_device_with_too_short_a_queue_is_refused() -> None:
    card = VirtioGpu()
    card.queues[0] = DeviceQueue(16)
    function = Slot(card, bar=model.BAR, arena=ARENA).open()
    with pytest.raises(DeviceError, match="8 requests"):
        Card(function, FakeClock(), InterruptKind.MSIX, 3)


def test_a_device_without_the_features_is_refused() -> None:
    bench = Bench()
    bench.model.features = 0
    with pytest.raises(DeviceError, match="feature"):
        bench.card.start()


def test_a_device_that_would_reach_memory_past_the_iommu_is_refused() -> None:
    bench = Bench()
    bench.model.features &= ~model.ACCESS_PLATFORM
    with pytest.raises(DeviceError, match="IOMMU"):
        bench.card.start()
    assert not bench.slot.config.bus_master


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("offset", "length"), [(model.SIZE, 0), (0xFFFF_FFFC, 0x10), (0xFFFF_FFFC, 0), (2, 0x40)]
)
def test_a_device_whose_structures_lie_outside_its_registers_is_refused(
    kind: int, offset: int, length: int
) -> None:
    bench = Bench()
    config = bench.slot.config
    (at,) = (
        it.offset
        for it in capabilities(config)
        if it.id == 0x09 and config.read8(it.offset + 3) == kind
    )
    config._raw[at + 8 : at + 16] = struct.pack("<II", offset, length)
    with pytest.raises(DeviceError):
        Card(bench.function, bench.clock, bench.kind, 3).start()
    assert not config.bus_master


FAULTS = st.lists(
    st.builds(
        Fault,
        misdeed=st.sampled_from([m for m in Misdeed if m is not Misdeed.VANISH]),
        value=st.sampled_from([0, 1, 2, 24, 63, 64, 0x1100, 0x1101, 0x1200, 0xFFFF_FFFF]),
        times=st.integers(1, 3),
        type=st.sampled_from([0, TRANSFER, FLUSH, INFO, GET_EDID, CREATE, UNREF]),
    ),
    max_size=3,
)
STEPS: list[Callable[[Bench, int], object]] = [
    lambda bench, n: bench.card.size(0) != (0, 0) and bench.draw(bytes(80 * 60 * 4)),
    lambda bench, n: bench.model.connect(0, 32 + n % 48, 16 + n % 44),
    lambda bench, n: bench.card.set_cursor(0, bytes([n & 0xFF]) * (64 * 64 * 4), 0, 0),
    lambda bench, n: bench.card.move_cursor(0, n, n, bool(n & 1)),
    lambda bench, n: bench.model.release(),
    lambda bench, n: bench.pass_time(1),
    lambda bench, n: bench.card.clear(0),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FAULTS, st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 500)), max_size=12))
def test_whatever_the_device_does_its_driver_goes_on(
    faults: list[Fault], steps: list[tuple[Callable[[Bench, int], object], int]]
) -> None:
    bench = Bench()
    bench.card.start()
    bench.deliver()
    bench.model.faults += [replace(fault) for fault in faults]
    for step, number in steps:
        step(bench, number)
        bench.deliver()
    bench.model.faults.clear()
    bench.model.release()
    bench.pass_time(6)
    assert bench.card.state in (State.RUNNING, State.FAILED)
    if bench.card.state is State.RUNNING:
        bench.model.connect(0, 48, 40)
        bench.pass_time(1)
        assert bench.card.size(0) == (48, 40)
        last = picture(9, 48, 40)
        assert bench.draw(last)
        bench.pass_time(1)
        assert bench.seen() == last
    bench.card.stop()
