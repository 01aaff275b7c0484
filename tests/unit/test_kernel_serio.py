"""The scheme `serio` and what it makes of Linux's input events."""

from __future__ import annotations

import pytest
from asked import Asked, Posted, errno_of, opened

from kernel_shim.schemes.serio import SerioScheme
from kernel_shim.schemes.serio_evdev import EV_KEY, EV_REL, EV_SYN, MousePackets, scancode
from kernel_shim.schemes.serio_i8042 import DATA, I8042, STATUS
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.scheme.loop import Loop


class Typed:
    """A source that a test types on."""

    def __init__(self):
        self.on_bytes = None
        self.starts = 0

    def start(self, on_bytes):
        self.on_bytes = on_bytes
        self.starts += 1

    def stop(self):
        self.on_bytes = None


@pytest.fixture
def source():
    return Typed()


@pytest.fixture
def serio(source):
    scheme = SerioScheme()
    scheme.add(source)
    return scheme


def read(scheme, handle, size=100):
    return bytes(scheme.read(handle, size, 0, 0, Asked()))


def test_bytes_go_to_whoever_reads_first(serio, source):
    assert source.on_bytes is None, "nobody listens, so nothing is read"
    first, second, mouse = (opened(serio, port, f.O_RDONLY) for port in ("0", "0", "1"))
    posted = Posted(serio)
    source.on_bytes(0, b"\x1e\x9e")
    assert sorted(posted.take()) == [(first, f.EVENT_READ), (second, f.EVENT_READ)]
    assert serio.fevent(second, f.EVENT_READ | f.EVENT_WRITE) == f.EVENT_READ
    assert read(serio, second, 1) == b"\x1e"
    assert read(serio, first) == b"\x9e"
    for handle in (first, second, mouse):
        assert errno_of(read, serio, handle) == e.EWOULDBLOCK
        serio.on_close(handle)
    assert source.on_bytes is None


def test_what_nobody_reads_is_bounded_and_what_nobody_opened_is_gone(serio, source):
    handle = opened(serio, "1", f.O_RDONLY)
    for number in range(300):
        source.on_bytes(1, bytes((number % 256,)) * 30)
    assert len(read(serio, handle, 10_000)) == 4096
    source.on_bytes(1, b"old")
    serio.on_close(handle)
    assert errno_of(read, serio, opened(serio, "1", f.O_RDONLY)) == e.EWOULDBLOCK


def test_names_and_who_may(serio, source):
    assert serio.fpath(opened(serio, "0", f.O_RDONLY)) == "serio:0"
    assert errno_of(opened, serio, "0", f.O_RDONLY, 1000) == e.EPERM
    assert errno_of(opened, serio, "2", f.O_RDONLY) == e.ENOENT
    assert errno_of(opened, serio, "0", f.O_DIRECTORY) == e.ENOTDIR
    starts = source.starts
    look = opened(serio, "0", f.O_STAT, 1000)
    assert source.starts == starts
    assert errno_of(read, serio, look) == e.EBADF
    folder = opened(serio, "", f.O_DIRECTORY)
    assert [entry.name for entry in serio.getdents(folder, Asked())] == ["0", "1"]
    assert errno_of(read, serio, folder) == e.EISDIR
    handle = opened(serio, "0", f.O_RDONLY)
    assert errno_of(serio.write, handle, memoryview(b"x"), 0, 0, Asked()) == e.EBADF
    assert errno_of(serio.openat, handle, "1", f.O_RDONLY, 0, Asked()) == e.EACCES


@pytest.mark.parametrize(
    ("code", "down", "up"),
    [
        (1, "01", "81"),  # Esc
        (30, "1e", "9e"),  # A
        (83, "53", "d3"),  # keypad .
        (86, "56", "d6"),  # the key beside left shift
        (88, "58", "d8"),  # F12
        (96, "e01c", "e09c"),  # keypad Enter
        (103, "e048", "e0c8"),  # up
        (111, "e053", "e0d3"),  # Delete
        (119, "e11d45e19dc5", ""),  # Pause
        (125, "e05b", "e0db"),  # left Meta
        (240, "", ""),  # KEY_UNKNOWN
    ],
)
def test_scan_codes_of_set_1(code, down, up):
    assert scancode(code, 1).hex() == down
    assert scancode(code, 2).hex() == down, "a repeat is one more press"
    assert scancode(code, 0).hex() == up


def report(mouse, *events):
    out = b"".join(mouse.take(*event) for event in events)
    return (out + mouse.take(EV_SYN, 0, 0)).hex(" ")


def test_mouse_packets():
    mouse = MousePackets()
    assert report(mouse, (EV_REL, 0, 5), (EV_REL, 1, -3)) == "08 05 03"
    assert report(mouse, (EV_REL, 0, -1), (EV_REL, 1, 1)) == "38 ff ff"
    assert report(mouse, (EV_KEY, 0x110, 1)) == "09 00 00"
    assert report(mouse, (EV_KEY, 0x111, 1), (EV_REL, 0, 1)) == "0b 01 00"
    assert report(mouse, (EV_KEY, 0x110, 0), (EV_KEY, 0x112, 1)) == "0e 00 00"
    assert report(mouse) == ""
    assert report(mouse, (EV_REL, 8, 1)) == "", "a wheel is none of a three-byte mouse"


def test_a_mouse_that_is_thrown_says_so_in_several_packets():
    assert report(MousePackets(), (EV_REL, 0, 300)) == "08 ff 00 08 2d 00"
    assert report(MousePackets(), (EV_REL, 1, 300)) == "28 00 00 28 00 d4"
    assert len(report(MousePackets(), (EV_REL, 0, 1 << 30)).split()) == 3 * 64


class Controller:
    """Ports 0x60 and 0x64 of a controller that holds these (status, byte) pairs."""

    size = 1 << 16

    def __init__(self):
        self.held = []
        self.written = []

    def read8(self, port):
        if port == STATUS:
            return self.held[0][0] | 1 if self.held else 0
        return self.held.pop(0)[1] if port == DATA else 0xFF

    def write8(self, port, value):
        self.written.append((port, value))


def test_the_controllers_bytes_are_told_apart_and_old_ones_dropped():
    controller, heard = Controller(), []
    controller.held = [(0, 0xAA), (0x20, 0xFA)]
    source = I8042(Loop(), controller, [])
    assert controller.held == []
    assert controller.written == [(0x64, 0x60), (0x60, 0x47), (0x64, 0xD4), (0x60, 0xF4)]
    controller.held = [(0, 1)]
    source.start(lambda port, data: heard.append((port, data)))
    assert heard == []
    controller.held = [(0, 0x1E), (0x20, 8), (0, 0x9E), (0x20, 1), (0x20, 2)]
    source._on_interrupt()
    assert heard == [(0, b"\x1e\x9e"), (1, b"\x08\x01\x02")]


def test_a_controller_that_never_empties_holds_nobody_up():
    controller = Controller()
    source = I8042(Loop(), controller, [])
    controller.held = [(0, 0)] * 10_000
    source._on_interrupt()
    assert len(controller.held) == 10_000 - 256


def test_a_byte_whose_interrupt_was_lost_is_found_by_looking():
    loop, controller, heard = Loop(), Controller(), []
    source = I8042(loop, controller, [])
    source.start(lambda port, data: heard.append((port, data)))
    controller.held = [(0, 0x1E)]
    end = loop.now() + 10
    while not heard and loop.now() < end:
        loop.run_round()
    assert heard == [(0, b"\x1e")]
    source.stop()
