"""inputd with Linux's own devices: made by uinput, and QEMU's, typed at by its monitor."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import time
import tty
from contextlib import ExitStack, suppress

import pytest
from evdev import AbsInfo, InputDevice, UInput, ecodes
from guest_machine import WITHIN, wait_for
from monitor import Monitor
from up_rig import Up, redbear

from redbear_host.abi.orbital import PRESSED, EventCode
from redbear_host.abi.scancodes import Key

pytestmark = pytest.mark.timeout(300)

EVENT = struct.Struct("<qqq")
KEY, MOUSE, BUTTON, SCROLL = (
    int(c) for c in (EventCode.KEY, EventCode.MOUSE, EventCode.BUTTON, EventCode.SCROLL)
)
RELATIVE, AXIS, PAD = (
    int(c)
    for c in (EventCode.MOUSE_RELATIVE, EventCode.CONTROLLER_AXIS, EventCode.CONTROLLER_BUTTON)
)
E = ecodes
VT_ACTIVATE, VT_WAITACTIVE = 0x5606, 0x5607  # linux/vt.h
RANGE = AbsInfo(value=0, min=0, max=32767, fuzz=0, flat=0, resolution=0)
STICK = AbsInfo(value=0, min=-128, max=127, fuzz=0, flat=0, resolution=0)
SHAPES = {
    "redbear keyboard": {E.EV_KEY: range(1, 128)},
    "redbear mouse": {
        E.EV_KEY: (E.BTN_LEFT, E.BTN_RIGHT, E.BTN_MIDDLE),
        E.EV_REL: (E.REL_X, E.REL_Y, E.REL_WHEEL, E.REL_WHEEL_HI_RES),
    },
    "redbear tablet": {
        E.EV_KEY: (E.BTN_LEFT,),
        E.EV_ABS: ((E.ABS_X, RANGE), (E.ABS_Y, RANGE)),
    },
    "redbear pad": {
        E.EV_KEY: (E.BTN_SOUTH, E.BTN_EAST),
        E.EV_ABS: ((E.ABS_X, STICK), (E.ABS_Y, STICK)),
    },
}
NAMED = [*SHAPES, "QEMU Virtio Keyboard", "QEMU Virtio Tablet"]


def make(name):
    device = UInput(SHAPES.get(name, SHAPES["redbear keyboard"]), name=name)
    wait_for(lambda: node(device) is not None)
    return device


def node(device):
    """Return the path of a device that uinput has made."""
    for path in sorted(os.listdir("/dev/input")):
        with suppress(OSError), open(f"/sys/class/input/{path}/device/name") as file:
            if file.read().strip() == device.name:
                return f"/dev/input/{path}"
    return None


def say(device, *events):
    for event in events:
        device.write(*event)
    device.syn()


@pytest.fixture(scope="module")
def made():
    for module in ("uinput", "evdev"):
        subprocess.run(["modprobe", module], check=True)
    with ExitStack() as stack:
        yield {name: stack.enter_context(make(name)) for name in [*SHAPES, "somebody else's"]}


class Patient(Up):
    """An instance that may take its time to start: nine interpreters, on an emulated processor."""

    patience = 200


@pytest.fixture(scope="module")
def up(made, tmp_path_factory):
    words = [word for name in NAMED for word in ("--input", name)]
    with Patient(tmp_path_factory.mktemp("inputd"), *words) as up:
        yield up


@pytest.fixture
def consumer(up):
    fd = os.open(up.mount / "input/consumer", os.O_RDONLY | os.O_NONBLOCK)
    wait_for(lambda: all(grabbed(up).values()))
    yield fd
    os.close(fd)


def listed(up):
    return json.loads(redbear("input", "list", "--json", "--mount", up.mount).stdout)


def grabbed(up):
    """Return the devices that inputd has, and whether they are grabbed."""
    text = (up.mount / "input/status").read_text()
    return {name: taken == "1" for taken, name in re.findall(r"grabbed=(\d) name=(.*)", text)}


def heard(fd, count=1):
    data = b""
    while len(data) < count * EVENT.size:
        assert select.select([fd], [], [], WITHIN)[0], data.hex(" ", 8)
        data += os.read(fd, count * EVENT.size - len(data))
    return list(EVENT.iter_unpack(data))


def silent(fd, within=0.2):
    return not select.select([fd], [], [], within)[0]


@pytest.fixture
def terminal(made):
    """Offer Linux's own console, which hears every keyboard that nobody has grabbed."""
    fd = os.open("/dev/tty1", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    for request in (VT_ACTIVATE, VT_WAITACTIVE):
        fcntl.ioctl(fd, request, 1)
    tty.setraw(fd)
    for value in (1, 0):
        say(made["somebody else's"], (E.EV_KEY, E.KEY_Z, value))
    said = b""
    while not said.endswith(b"z"):  # what was typed while nobody had it open comes first
        assert select.select([fd], [], [], WITHIN)[0], said
        said += os.read(fd, 1000)
    yield fd
    os.close(fd)


def test_all_that_was_named_is_taken_and_nothing_else(up, made, consumer):
    assert sorted(grabbed(up)) == sorted(NAMED)
    assert all(grabbed(up).values())
    assert listed(up)["devices"][0]["grabbed"] is True


def test_keys_with_characters_and_repeats(made, consumer):
    keyboard = made["redbear keyboard"]
    say(keyboard, (E.EV_KEY, E.KEY_LEFTSHIFT, 1))
    say(keyboard, (E.EV_KEY, E.KEY_A, 1))
    say(keyboard, (E.EV_KEY, E.KEY_A, 2))
    say(keyboard, (E.EV_KEY, E.KEY_A, 0), (E.EV_KEY, E.KEY_LEFTSHIFT, 0))
    say(keyboard, (E.EV_KEY, E.KEY_KP8, 1))
    say(keyboard, (E.EV_KEY, E.KEY_KP8, 0))
    assert heard(consumer, 7) == [
        (KEY, 0, Key.LEFT_SHIFT | PRESSED),
        (KEY, ord("A"), Key.A | PRESSED),
        (KEY, ord("A"), Key.A | PRESSED),
        (KEY, ord("A"), Key.A),
        (KEY, 0, Key.LEFT_SHIFT),
        (KEY, ord("8"), Key.NUM_8 | PRESSED),
        (KEY, ord("8"), Key.NUM_8),
    ]
    assert silent(consumer)


def test_a_mouse_a_tablet_and_a_game_controller(made, consumer):
    mouse, tablet, pad = (made[f"redbear {name}"] for name in ("mouse", "tablet", "pad"))
    say(mouse, (E.EV_REL, E.REL_X, 4), (E.EV_REL, E.REL_Y, -2))
    assert heard(consumer) == [(RELATIVE, 4, -2)]
    say(mouse, (E.EV_REL, E.REL_WHEEL, 1), (E.EV_REL, E.REL_WHEEL_HI_RES, 120))
    assert heard(consumer) == [(SCROLL, 0, 1)]
    say(mouse, (E.EV_KEY, E.BTN_RIGHT, 1))
    say(mouse, (E.EV_KEY, E.BTN_RIGHT, 0))
    assert heard(consumer, 2) == [(BUTTON, 4, 0), (BUTTON, 0, 0)]
    say(tablet, (E.EV_ABS, E.ABS_X, 16384), (E.EV_ABS, E.ABS_Y, 32767))
    assert heard(consumer) == [(MOUSE, 32768, 65535)]
    number = int(node(pad).rpartition("event")[2])
    say(pad, (E.EV_ABS, E.ABS_X, 127), (E.EV_KEY, E.BTN_SOUTH, 1))
    assert heard(consumer, 2) == [
        (AXIS, number, 32767),
        (PAD, number | E.BTN_SOUTH << 32, 1),
    ]
    say(pad, (E.EV_KEY, E.BTN_SOUTH, 0))
    assert heard(consumer) == [(PAD, number | E.BTN_SOUTH << 32, 0)]


def test_qemus_keyboard_and_tablet_typed_at_by_its_monitor(consumer):
    monitor = Monitor()
    try:
        key = {"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "f"}}}
        began = time.monotonic()
        monitor.ask("input-send-event", events=[key])
        assert heard(consumer) == [(KEY, ord("f"), Key.F | PRESSED)]
        print(f"monitor to consumer, in the guest: {(time.monotonic() - began) * 1000:.1f} ms")
        key["data"]["down"] = False
        monitor.ask("input-send-event", events=[key])
        assert heard(consumer) == [(KEY, ord("f"), Key.F)]
        move = [
            {"type": "abs", "data": {"axis": axis, "value": value}}
            for axis, value in (("x", 16384), ("y", 8192))
        ]
        monitor.ask("input-send-event", events=move)
        assert heard(consumer) == [(MOUSE, 16384 * 65535 // 32767, 8192 * 65535 // 32767)]
        for down in (True, False):
            button = {"type": "btn", "data": {"down": down, "button": "left"}}
            monitor.ask("input-send-event", events=[button])
            assert heard(consumer) == [(BUTTON, int(down), 0)]
    finally:
        monitor.close()


class Evtest:
    """The referee: what Linux tells everybody of a device."""

    def __init__(self, path):
        self.process = subprocess.Popen(
            ["evtest", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        self.said = b""
        self.until(b"(interrupt to exit)")
        while not self.quiet():  # it says more where somebody has grabbed the device
            self.said += os.read(self.process.stdout.fileno(), 65536)

    def until(self, text):
        deadline = time.monotonic() + WITHIN
        while text not in self.said:
            assert select.select([self.process.stdout], [], [], deadline - time.monotonic())[0]
            self.said += os.read(self.process.stdout.fileno(), 65536)

    def quiet(self):
        return silent(self.process.stdout.fileno())

    def close(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(WITHIN)
        self.process.stdout.close()


def test_evtest_hears_what_is_not_taken_and_nothing_of_what_is(made, up, terminal, consumer):
    taken, other = Evtest(node(made["redbear keyboard"])), Evtest(node(made["somebody else's"]))
    try:
        assert b"This device is grabbed by another process" in taken.said
        assert b"grabbed" not in other.said
        for device in ("redbear keyboard", "somebody else's"):
            for value in (1, 0):
                say(made[device], (E.EV_KEY, E.KEY_G, value))
        other.until(b"code 34 (KEY_G), value 0")
        assert heard(consumer, 2)[0] == (KEY, ord("g"), Key.G | PRESSED)
        assert silent(consumer), "nobody named the other keyboard"
        assert taken.quiet()
        wait_for(lambda: not silent(terminal))
        assert os.read(terminal, 100) == b"g", "of the keyboard that was not taken"
        (up.mount / "input/grab").write_text("0")
        say(made["redbear keyboard"], (E.EV_KEY, E.KEY_H, 1))
        say(made["redbear keyboard"], (E.EV_KEY, E.KEY_H, 0))
        taken.until(b"code 35 (KEY_H), value 1")
        wait_for(lambda: not silent(terminal))
        assert os.read(terminal, 100) == b"h"
        assert silent(consumer), "it was let go of"
    finally:
        (up.mount / "input/grab").write_text("1")
        taken.close()
        other.close()


def test_linux_has_its_keyboard_back_when_the_last_reader_has_gone(made, up, terminal):
    keyboard = made["redbear keyboard"]
    fd = os.open(up.mount / "input/consumer", os.O_RDONLY)
    wait_for(lambda: all(grabbed(up).values()))
    say(keyboard, (E.EV_KEY, E.KEY_B, 1))
    say(keyboard, (E.EV_KEY, E.KEY_B, 0))
    heard(fd, 2)
    assert silent(terminal), "a password would be for us alone"
    os.close(fd)
    wait_for(lambda: not any(grabbed(up).values()))
    say(keyboard, (E.EV_KEY, E.KEY_C, 1))
    say(keyboard, (E.EV_KEY, E.KEY_C, 0))
    wait_for(lambda: not silent(terminal))
    assert os.read(terminal, 100) == b"c"


def test_three_keys_held_for_a_second_let_go_of_everything(made, up, terminal, consumer):
    keyboard = made["redbear keyboard"]
    chord = (E.KEY_LEFTCTRL, E.KEY_LEFTALT, E.KEY_BACKSPACE)
    try:
        for value in (1, 0):
            for code in chord:
                say(keyboard, (E.EV_KEY, code, value))
        heard(consumer, 6)
        assert silent(consumer)
        assert all(grabbed(up).values()), "that was too short"
        for code in chord:
            say(keyboard, (E.EV_KEY, code, 1))
        assert [b & 0xFF for _, _, b in heard(consumer, 6)][:3] == [Key.CTRL, Key.ALT, Key.BKSP]
        wait_for(lambda: not any(grabbed(up).values()))
        for code in chord:
            say(keyboard, (E.EV_KEY, code, 0))
        say(keyboard, (E.EV_KEY, E.KEY_D, 1))
        say(keyboard, (E.EV_KEY, E.KEY_D, 0))
        wait_for(lambda: not silent(terminal))
        assert os.read(terminal, 100) == b"d"
        assert silent(consumer)
    finally:
        assert redbear("input", "grab", "--mount", up.mount).returncode == 0
    wait_for(lambda: all(grabbed(up).values()))


def test_a_grab_dies_with_inputd_and_comes_back_with_its_successor(made, up, consumer):
    keyboard = made["redbear keyboard"]
    say(keyboard, (E.EV_KEY, E.KEY_LEFTALT, 1))
    heard(consumer)
    before = up._written("inputd")
    rival = InputDevice(node(keyboard))
    try:
        with pytest.raises(OSError, match="busy"):
            rival.grab()
        os.kill(before["pid"], signal.SIGKILL)
        deadline = time.monotonic() + WITHIN
        while True:
            with suppress(OSError):
                rival.grab()
                break
            assert time.monotonic() < deadline, "the grab outlived inputd"
        assert heard(consumer) == [(KEY, 0, Key.ALT)], "nobody knows whether it is still down"
        rival.ungrab()
    finally:
        rival.close()
    say(keyboard, (E.EV_KEY, E.KEY_LEFTALT, 0))
    wait_for(lambda: all(grabbed(up).values()))
    assert up._written("inputd")["restarts"] == before["restarts"] + 1
    say(keyboard, (E.EV_KEY, E.KEY_E, 1))
    say(keyboard, (E.EV_KEY, E.KEY_E, 0))
    assert heard(consumer, 2)[0] == (KEY, ord("e"), Key.E | PRESSED)


def test_a_device_that_leaves_lets_go_and_is_taken_again_when_it_comes(made, up, consumer):
    say(made["redbear mouse"], (E.EV_KEY, E.BTN_LEFT, 1))
    assert heard(consumer) == [(BUTTON, 1, 0)]
    made["redbear mouse"].close()
    assert heard(consumer) == [(BUTTON, 0, 0)]
    wait_for(lambda: "redbear mouse" not in grabbed(up))
    made["redbear mouse"] = make("redbear mouse")
    wait_for(lambda: grabbed(up).get("redbear mouse", False))
    say(made["redbear mouse"], (E.EV_REL, E.REL_X, 1))
    assert heard(consumer) == [(RELATIVE, 1, 0)]
    wait_for(lambda: all(grabbed(up).values()))
