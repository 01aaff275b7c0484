"""virtio_gpud's driver on QEMU's model, by all its interrupts, and with viewers that want more."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import qemu_rig

from daemons.virtio_gpud.driver import Card
from redbear_host.classes.screen import Area
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind
from redbear_host.lab.machine import Machine

WITHIN = 20.0
SIDE = 64


class Rig:
    """A started card, and a loop that drives it by interrupts and ticks."""

    def __init__(self, machine: Machine, kind: InterruptKind) -> None:
        self.machine, self.kind = machine, kind
        self.function = qemu_rig.opened(machine.functions[0])
        vectors = min(3, getattr(self.function.interrupts, kind))
        self.fds = self.function.enable_interrupts(kind, vectors)
        self.card = Card(self.function, SystemClock(), kind, vectors)
        self.changed: list[int] = []
        self.card.on_changed = self.changed.append
        self.card.start()
        self.interrupts = 0

    def turn(self) -> None:
        for fd in select.select(self.fds, [], [], 0.02)[0]:
            with suppress(BlockingIOError):
                os.eventfd_read(fd)
            self.interrupts += 1
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

    def draw(self, colour: int, output: int = 0) -> None:
        """Fill a display with one colour."""
        width, height = self.card.size(output)
        pixels = memoryview(struct.pack("<I", colour) * (width * height))
        areas = [Area(0, 0, width, height)]
        self.until(lambda: self.card.update(output, pixels, width * 4, areas))

    def settle(self) -> None:
        self.until(lambda: not self.card._commands.in_flight)

    def shot(self, folder: Path, output: int = 0) -> tuple[int, int, bytes]:
        """Return what QEMU shows: width, height, three bytes a pixel."""
        self.settle()
        path = folder / "shot.ppm"
        arguments = {"filename": str(path), "device": "gpu0", "head": output}
        self.machine.qmp.execute("screendump", arguments)
        _, size, _, rgb = path.read_bytes().split(b"\n", 3)
        width, height = map(int, size.split())
        return width, height, rgb


@contextmanager
def started(
    *more: str, options: str = "", kind: InterruptKind = InterruptKind.MSIX
) -> Iterator[Rig]:
    modern = "disable-legacy=on,iommu_platform=on"
    device = f"virtio-gpu-pci,id=gpu0,addr=4,{modern},romfile=,xres=320,yres=200{options}"
    with qemu_rig.machine([*more, "-device", device]) as machine:
        rig = Rig(machine, kind)
        try:
            yield rig
            rig.card.stop()
        finally:
            rig.function.close()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (InterruptKind.MSIX, ""),
        (InterruptKind.MSIX, ",vectors=2"),
        (InterruptKind.MSIX, ",vectors=1"),
        (InterruptKind.INTX, ",vectors=0"),
        (InterruptKind.INTX, ",edid=off"),
    ],
)
def test_it_draws_by_every_kind_of_interrupt(
    tmp_path: Path, kind: InterruptKind, options: str
) -> None:
    with started(kind=kind, options=options) as rig:
        assert rig.card.size(0) == (320, 200)
        for colour in (0x123456, 0xFFFFFF, 0x00FF00):
            rig.draw(colour)
            pixel = colour.to_bytes(3, "big")
            assert rig.shot(tmp_path) == (320, 200, pixel * (320 * 200))
        assert rig.interrupts > 0
        assert rig.card._commands.errors == 0


class Viewer:
    """As much of an RFB client as it takes to want another size (the community's RFB, 7.4.10)."""

    def __init__(self, path: Path) -> None:
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(WITHIN)
        self.line.connect(str(path))
        self.take(12)
        self.line.sendall(b"RFB 003.008\n")
        self.take(self.take(1)[0])
        self.line.sendall(b"\x01")  # nobody asks who we are
        self.take(4)
        self.line.sendall(b"\x01")
        head = self.take(24)
        self.size = struct.unpack_from(">HH", head)
        self.take(struct.unpack_from(">I", head, 20)[0])
        # Raw, cursor with alpha (-314), extended desktop size (-308)
        self.line.sendall(struct.pack(">BxH3i", 2, 3, 0, -314, -308))

    def take(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self.line.recv(size - len(found))
            assert more, "the viewer was hung up on"
            found += more
        return found

    def want(self, width: int, height: int) -> None:
        """Ask for a desktop of another size."""
        screen = struct.pack(">IHHHHI", 0, 0, 0, width, height, 0)
        self.line.sendall(struct.pack(">BxHHBx", 251, width, height, 1) + screen)

    def cursor(self) -> tuple[int, int, int, int, bytes]:
        """Wait for a cursor; return width, height, hot spot and words."""
        self.line.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, *self.size))
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            assert self.take(1) == b"\0"
            (count,) = struct.unpack(">xH", self.take(3))
            for _ in range(count):
                x, y, width, height, kind = struct.unpack(">HHHHi", self.take(12))
                if kind == -314:
                    self.take(4)
                    return width, height, x, y, self.take(width * height * 4)
                if kind == -308:
                    self.take(3 + 16 * self.take(1)[0])
                else:
                    self.take(width * height * 4)
            self.line.sendall(struct.pack(">BBHHHH", 3, 1, 0, 0, *self.size))
        raise AssertionError("no cursor")

    def close(self) -> None:
        self.line.close()


def test_a_viewer_that_wants_another_size_gets_it(tmp_path: Path) -> None:
    door = tmp_path / "vnc"
    with started("-vnc", f"unix:{door}") as rig:
        rig.draw(0x0000FF)
        viewer = Viewer(door)
        try:
            rig.changed.clear()
            viewer.want(640, 400)
            rig.until(lambda: rig.card.size(0) == (640, 400))
            rig.settle()
            assert 0 in rig.changed
            assert rig.card.modes(0)[0][:2] == (640, 400)
            rig.draw(0xAA5500)
            assert rig.shot(tmp_path) == (640, 400, b"\xaa\x55\x00" * (640 * 400))
        finally:
            viewer.close()


def test_a_viewer_sees_the_cursor_that_was_set(tmp_path: Path) -> None:
    door = tmp_path / "vnc"
    image = bytes(n * 7 & 0xFF for n in range(SIDE * SIDE * 4))
    with started("-vnc", f"unix:{door}") as rig:
        rig.draw(0x0000FF)
        rig.card.set_cursor(0, image, 5, 7)
        rig.card.move_cursor(0, 100, 50, True)
        rig.settle()
        viewer = Viewer(door)
        try:
            assert viewer.cursor() == (SIDE, SIDE, 5, 7, image)
        finally:
            viewer.close()
        assert rig.card._commands.errors == 0


def test_each_output_has_its_picture(tmp_path: Path) -> None:
    with started(options=",max_outputs=2") as rig:
        assert rig.card.displays == 2
        assert rig.card.size(1) == (0, 0)
        assert rig.card.modes(1) == []
        rig.draw(0x334455)
        assert rig.shot(tmp_path) == (320, 200, b"\x33\x44\x55" * (320 * 200))


def test_a_successor_resets_the_card_in_the_middle_of_its_work(tmp_path: Path) -> None:
    with started() as rig:
        rig.draw(0x111111)
        rig.function._held.close()  # type: ignore[attr-defined]
        rig.machine.functions[0].quiesce()
        successor = Rig(rig.machine, rig.kind)
        rig.function = successor.function
        rig.card = successor.card
        assert successor.shot(tmp_path) == (320, 200, bytes(320 * 200 * 3))
        successor.draw(0x777777)
        assert successor.shot(tmp_path) == (320, 200, b"\x77" * (320 * 200 * 3))
