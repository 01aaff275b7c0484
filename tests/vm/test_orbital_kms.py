"""Orbital on three cards of Linux's, with keyboard and tablet, as QEMU sees and moves them.

`--device gpu --device bochs --device qxl --device keyboard --device tablet --device slot`.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import pytest
from guest_machine import WITHIN, wait_for
from kms_desk import card_of
from kms_user import ACTIVE, KDGETMODE, KDGKBMODE, asked, eventually, same_as_golden
from monitor import Monitor

from redbear_host.abi.orbital import EventCode, OrbitalEvent

pytestmark = pytest.mark.timeout(300)

KINDS = ("gpu", "bochs", "qxl")
SIZES = {"gpu": (1280, 800), "bochs": (1280, 800), "qxl": (1024, 768)}
RED, BLUE, GREEN = 0xFFC02010, 0xFF2040C0, 0xFF20A040
VT_ACTIVATE = 0x5606


class Shim:
    """The instance, in a process of its own."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp())
        self.schemes = self.folder / "scheme"
        command = [sys.executable, Path(__file__).with_name("seat_child.py"), self.folder]
        self.errors = (self.folder / "errors").open("w+b")
        self.process = subprocess.Popen(
            [*command, *map(card_of, KINDS)], stdout=subprocess.PIPE, stderr=self.errors
        )
        assert self.process.stdout.readline() == b"ready\n", self.log()

    def log(self):
        logs = [self.folder / "errors", *(self.folder / "run" / "log").glob("*.log")]
        return "\n".join(f"{log.name}: {log.read_text()}" for log in logs)

    def pid(self, name):
        said = json.loads((self.folder / "run" / "state.json").read_text())
        return next(one["pid"] for one in said["daemons"] if one["name"] == name)

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()
        self.errors.close()


class Window:
    """A plain program's window, of one colour."""

    def __init__(self, shim, x, y, width, height, colour, title):
        self.width, self.height = width, height
        path = shim.schemes / "orbital" / "a" / f"{x}/{y}/{width}/{height}/{title}"
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.draw(colour)

    def draw(self, colour):
        picture = struct.pack("<I", colour) * (self.width * self.height)
        while picture:
            picture = picture[os.write(self.fd, picture) :]

    def events(self):
        found = []
        while data := os.read(self.fd, 24 * 16):
            found += [OrbitalEvent.load(data, at) for at in range(0, len(data), 24)]
        return found

    def close(self):
        os.close(self.fd)


def on_terminal(request, number=0):
    fd = os.open("/dev/tty0", os.O_RDWR | os.O_NOCTTY)
    try:
        return fcntl.ioctl(fd, request, number)
    finally:
        os.close(fd)


@pytest.fixture(scope="module")
def monitor():
    monitor = Monitor()
    yield monitor
    monitor.close()


@pytest.fixture
def shim():
    assert ACTIVE.read_text() == "tty1\n"
    shim = Shim()
    yield shim
    shim.close()
    assert ACTIVE.read_text() == "tty1\n"


def point(monitor, x, y):
    """Put the pointer on a pixel of all screens together."""
    total = sum(width for width, _ in SIZES.values())
    high = max(height for _, height in SIZES.values())
    monitor.point(-(-x * 32767 // (total - 1)), -(-y * 32767 // (high - 1)))


def pixel(monitor, kind, x, y):
    return monitor.screen(kind).pixel(x, y) | 0xFF000000


def test_orbital_on_linuxs_cards(shim, monitor):
    terminal = ACTIVE.read_text().strip()
    assert terminal != "tty1"
    point(monitor, 1000, 700)
    one = Window(shim, 100, 100, 300, 200, RED, "One")
    two = Window(shim, 300, 180, 320, 240, BLUE, "Two")
    other = Window(shim, 1280 + 200, 150, 200, 100, GREEN, "Other")
    third = Window(shim, 2560 + 200, 150, 200, 100, RED, "Third")
    for kind in KINDS:  # windows of several clients; each card is a display of its own
        same_as_golden(monitor, kind, f"{kind}-windows")

    # Dragged by its title, typed into.
    point(monitor, 180, 88)
    monitor.button(True)
    for step in range(1, 6):
        point(monitor, 180 + step * 20, 88 + step * 40)
    monitor.button(False)
    eventually(lambda: pixel(monitor, "gpu", 101, 101) != RED)
    point(monitor, 1000, 700)
    same_as_golden(monitor, "gpu", "gpu-dragged")
    one.events()
    for window in (two, other, third):
        window.events()
    monitor.tap("h")
    monitor.tap("i")
    typed = []

    def heard():
        typed.extend(event for event in one.events() if event.code == EventCode.TEXT_INPUT)
        return len(typed) >= 2

    eventually(heard)
    assert [chr(event.a) for event in typed] == ["h", "i"]
    assert not [e for e in two.events() if e.code in (EventCode.KEY, EventCode.TEXT_INPUT)]

    # To another terminal and back: it is text there, and what is typed stays there.
    on_terminal(VT_ACTIVATE, 1)
    eventually(lambda: ACTIVE.read_text() == "tty1\n")
    eventually(lambda: pixel(monitor, "gpu", 301, 301) != RED)
    tty = os.open("/dev/tty1", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    termios.tcflush(tty, termios.TCIFLUSH)  # what was typed there before, while nobody read it
    monitor.tap("x")
    monitor.tap("ret")
    assert select.select([tty], [], [], WITHIN)[0]
    assert os.read(tty, 16) == b"x\n"
    os.close(tty)
    on_terminal(VT_ACTIVATE, int(terminal.removeprefix("tty")))
    same_as_golden(monitor, "gpu", "gpu-dragged")
    assert not [e for e in one.events() if e.code == EventCode.TEXT_INPUT]

    # Orbital is killed: the console has the cards for a moment, and then it is all there again.
    killed = shim.pid("orbital")
    fd = os.open(ACTIVE, os.O_RDONLY)
    os.read(fd, 16)
    poll = select.poll()
    poll.register(fd, select.POLLPRI | select.POLLERR)
    os.kill(killed, signal.SIGKILL)
    assert poll.poll(WITHIN * 1000)
    os.close(fd)
    eventually(lambda: shim.pid("orbital") not in (killed, None) or None)
    same_as_golden(monitor, "gpu", "gpu-dragged")
    same_as_golden(monitor, "bochs", "bochs-windows")
    for window in (one, two, other, third):
        window.close()


def test_the_console_comes_back_when_shim_and_orbital_are_killed(monitor, shim):
    terminal = ACTIVE.read_text().strip()
    assert asked(terminal, KDGETMODE) == 1
    assert asked(terminal, KDGKBMODE) == 4
    before = monitor.screen("gpu")
    orbital = shim.pid("orbital")
    os.kill(shim.process.pid, signal.SIGKILL)
    os.kill(orbital, signal.SIGKILL)
    wait_for(lambda: ACTIVE.read_text() == "tty1\n")
    wait_for(lambda: asked(terminal, KDGETMODE) == 0)
    wait_for(lambda: asked(terminal, KDGKBMODE) == asked("tty1", KDGKBMODE) == 3)
    eventually(lambda: monitor.screen("gpu").rgb != before.rgb)
    wait_for(lambda: not (shim.folder / "run" / "state.json").exists())
