"""virtio_gpud and vesad on PCI functions of the guest, by vfio-pci: QEMU shows what they drew."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from guest_machine import WITHIN
from monitor import Monitor

from daemons.vesad.driver import Card as VesaCard
from daemons.vesad.driver import Wishes
from daemons.virtio_gpud.driver import Card as GpuCard
from kernel_shim import bind
from redbear_host.classes.screen import Area
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind, PciFunction
from redbear_host.hw.vfio import Claim, open_function
from redbear_host.hw.vfio.window import MappedWindow
from redbear_host.lab.spares import spare

pytestmark = pytest.mark.timeout(180)

ARENA = 32 << 20
SIZES = [(640, 480), (1024, 768)]


@contextmanager
def taken(name: str) -> Iterator[Claim]:
    record = bind.plan(spare(name).address)
    bind.bind(record)
    try:
        claim = Claim(spare(name).address, ARENA)
        try:
            yield claim
        finally:
            claim.release()
    finally:
        bind.restore(record)


def opened(claim: Claim) -> PciFunction:
    grant, fds = claim.grant()
    return open_function(grant, [os.dup(fd) for fd in fds])


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    found = Monitor()
    yield found
    found.close()


def words(width: int, height: int, seed: int) -> bytearray:
    """Make a picture of 0x00RRGGBB words in which every pixel tells its place, more or less."""
    made = bytearray()
    for y in range(height):
        row = bytearray(width * 4)
        row[0::4] = bytes((x * 3 + seed) & 0xFF for x in range(width))
        row[1::4] = bytes([(y * 5 + seed) & 0xFF]) * width
        row[2::4] = bytes((x ^ y) & 0xFF for x in range(width))
        made += row
    return made


def rgb(pixels: bytes | bytearray) -> bytes:
    made = bytearray(len(pixels) // 4 * 3)
    made[0::3], made[1::3], made[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
    return bytes(made)


def until_seen(monitor: Monitor, name: str, pixels: bytes | bytearray, size: object) -> None:
    wanted, deadline = rgb(pixels), time.monotonic() + WITHIN
    while True:
        seen = monitor.screen(name)
        if (seen.width, seen.height) == size and seen.rgb == wanted:
            return
        assert time.monotonic() < deadline, f"{name} shows {seen.width}x{seen.height}"


class Gpu:
    """A started card, and a loop that drives it as a daemon's."""

    def __init__(self, function: PciFunction, kind: InterruptKind) -> None:
        vectors = min(3, getattr(function.interrupts, kind))
        self.function, self.kind = function, kind
        self.fds = function.enable_interrupts(kind, vectors)
        self.interrupts = [0] * len(self.fds)
        self.card = GpuCard(function, SystemClock(), kind, vectors)
        self.ready: list[int] = []
        self.card.on_ready = self.ready.append
        self.card.start()

    def turn(self, patience: float = 0.05) -> None:
        for fd in select.select(self.fds, [], [], patience)[0]:
            with suppress(BlockingIOError):
                os.eventfd_read(fd)
            self.interrupts[self.fds.index(fd)] += 1
            self.card.on_interrupt(self.fds.index(fd))
            if self.kind is InterruptKind.INTX:
                self.function.unmask_intx()
        if time.monotonic() >= self.card.deadline:
            self.card.tick(time.monotonic())

    def until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN
        while not what():
            assert time.monotonic() < deadline, f"not within {WITHIN} s"
            self.turn()

    def draw(self, pixels: bytearray, *areas: Area) -> None:
        width, height = self.card.size(0)
        whole = areas or (Area(0, 0, width, height),)
        self.until(lambda: self.card.update(0, memoryview(pixels), width * 4, whole))


@pytest.mark.parametrize("kind", [InterruptKind.MSIX, InterruptKind.INTX])
def test_virtio_gpud_shows_what_was_drawn(monitor: Monitor, kind: InterruptKind) -> None:
    with taken("gpu") as claim:
        function = opened(claim)
        try:
            gpu = Gpu(function, kind)
            assert gpu.card.edid(0)[:8] == b"\0\xff\xff\xff\xff\xff\xff\0"
            for seed, size in enumerate(SIZES):
                gpu.card.set_mode(0, *size)
                pixels = words(*size, seed)
                gpu.draw(pixels)
                until_seen(monitor, "gpu", pixels, size)
                part = Area(37, 41, 100, 50)
                for y in range(part.y, part.y + part.height):
                    at = (y * size[0] + part.x) * 4
                    pixels[at : at + part.width * 4] = os.urandom(3) + b"\0" + bytes(396)
                gpu.draw(pixels, part)
                until_seen(monitor, "gpu", pixels, size)
            before = sum(gpu.interrupts)
            for turn in range(20):
                gpu.draw(pixels, Area(turn, turn, 64, 64))
            gpu.until(lambda: sum(gpu.interrupts) > before)
            assert gpu.card._commands.errors == 0
            assert gpu.card.counters.resets == 0
            gpu.card.stop()
        finally:
            function.close()


def test_vesad_shows_what_was_drawn_and_its_memory_holds_it(monitor: Monitor) -> None:
    with taken("bochs") as claim:
        function = opened(claim)
        try:
            card = VesaCard(function, Wishes())
            card.start()
            window = function.bar(0)
            assert isinstance(window, MappedWindow)
            for seed, (width, height) in enumerate(SIZES):
                card.set_mode(0, width, height)
                pixels = words(width, height, seed)
                for area in (Area(0, 0, width, height), Area(5, 7, 64, 64)):
                    for y in range(area.y, area.y + area.height):
                        at = (y * width + area.x) * 4
                        pixels[at : at + 4] = b"\x80\x81\x82\0"
                    assert card.update(0, memoryview(pixels), width * 4, [area])
                    until_seen(monitor, "bochs", pixels, (width, height))
                base = card._seen * width * height * 4
                found = b"".join(
                    window.read32(base + at).to_bytes(4, "little") for at in range(0, 64 * 1024, 4)
                )
                assert found == pixels[: 64 * 1024]
            card.stop()
        finally:
            function.close()


def test_a_card_that_was_killed_in_its_work_is_taken_over(monitor: Monitor) -> None:
    size = (640, 480)
    pixels = words(*size, 5)
    with taken("bochs") as claim:
        function = opened(claim)
        card = VesaCard(function, Wishes())
        card.start()
        card.set_mode(0, *size)
        card.update(0, memoryview(pixels), size[0] * 4, [Area(0, 0, *size)])
        function.close()
        claim.quiesce()
        function = opened(claim)
        try:
            until_seen(monitor, "bochs", pixels, size)
            card = VesaCard(function, Wishes())
            card.start(inherited=True)
            assert card.size(0) == size
            until_seen(monitor, "bochs", pixels, size)
            card.stop()
        finally:
            function.close()
