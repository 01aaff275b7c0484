"""ps2d's driver: scan codes, packets, and devices that come, go and stay silent."""

from __future__ import annotations

import random

import pytest
from fuzzing import rounds
from ps2_devices import Devices

from daemons.ps2d import regs
from daemons.ps2d.driver import KEYBOARD, MOUSE
from kernel_shim.schemes.serio_evdev import scancode
from redbear_host.abi.orbital import PRESSED, EventCode
from redbear_host.abi.scancodes import Key

KEY, RELATIVE, BUTTON, SCROLL = 1, 11, 3, 4


def press(key):
    return (KEY, 0, key | PRESSED)


def release(key):
    return (KEY, 0, key)


@pytest.fixture
def devices():
    devices = Devices()
    devices.start()
    return devices


def test_both_are_reset_and_the_wheel_is_found(devices):
    assert devices.sent[KEYBOARD] == [0xFF, 0xF4]
    assert devices.sent[MOUSE] == [
        *(0xFF, 0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF2, 0xF3, 100, 0xF4),
    ]
    assert devices.says(MOUSE, "08 00 00 01") == [(SCROLL, 0, -1)]
    assert devices.says(MOUSE, "08 00 00 ff") == [(SCROLL, 0, 1)]


def test_a_mouse_without_a_wheel_sends_three_bytes():
    devices = Devices(wheel=False)
    devices.start()
    assert devices.says(MOUSE, "08 05 03") == [(RELATIVE, 5, -3)]
    assert devices.says(MOUSE, "3f ff fe") == [(RELATIVE, -1, 2), (BUTTON, 7, 0)]
    assert devices.says(MOUSE, "0a 00 00") == [(BUTTON, 4, 0)]
    assert devices.says(MOUSE, "c8 ff ff 08 00 00") == [(BUTTON, 0, 0)], "an overflow says nothing"


@pytest.mark.parametrize(
    ("data", "events"),
    [
        ("1e 9e", [press(Key.A), release(Key.A)]),
        ("1e 1e 9e", [press(Key.A), press(Key.A), release(Key.A)]),
        ("e0 48 e0 c8", [press(Key.UP), release(Key.UP)]),
        ("48 c8", [press(Key.NUM_8), release(Key.NUM_8)]),
        ("e0 2a e0 37 e0 b7 e0 aa", [press(Key.PRTSC), release(Key.PRTSC)]),
        ("2a aa", [press(Key.LEFT_SHIFT), release(Key.LEFT_SHIFT)]),
        ("e1 1d 45 e1 9d c5 1e", [press(Key.A)]),
        ("1d e0 1d 9d e0 9d", [press(Key.CTRL), press(Key.CTRL), release(Key.CTRL)]),
        ("e0 38 e0 b8", [press(Key.ALT_GR), release(Key.ALT_GR)]),
        ("9e e0 46 e0 c6", []),
        ("1e 30 00", [press(Key.A), press(Key.B), release(Key.A), release(Key.B)]),
    ],
)
def test_set_1(devices, data, events):
    assert devices.says(KEYBOARD, data) == events


@pytest.mark.parametrize(
    ("data", "events"),
    [
        ("1c f0 1c", [press(Key.A), release(Key.A)]),
        ("e0 75 e0 f0 75", [press(Key.UP), release(Key.UP)]),
        ("e1 14 77 e1 f0 14 f0 77 1c", [press(Key.A)]),
        ("83 f0 83", [press(Key.F7), release(Key.F7)]),
        (
            "7c f0 7c e0 5a",
            [press(Key.NUM_ASTERISK), release(Key.NUM_ASTERISK), press(Key.NUM_ENTER)],
        ),
        ("90 f0 90", []),
    ],
)
def test_set_2(data, events):
    devices = Devices(2)
    devices.start()
    assert devices.sent[KEYBOARD] == [0xFF, 0xF0, 2, 0xF4]
    assert devices.says(KEYBOARD, data) == events


# Set 2 as the Keyboard Scan Code Specification lists it for the rows of letters.
QWERTY = bytes.fromhex("15 1d 24 2d 2c 35 3c 43 44 4d")
ASDF = bytes.fromhex("1c 1b 23 2b 34 33 3b 42 4b")
ZXCV = bytes.fromhex("1a 22 21 2a 32 31 3a")


def test_the_translation_is_the_controllers():
    for row, first in ((QWERTY, Key.Q), (ASDF, Key.A), (ZXCV, Key.Z)):
        assert [regs.TRANSLATION[code] for code in row] == list(range(first, first + len(row)))


def test_linux_keys_go_through_serio_and_come_out_as_what_inputd_makes_of_them():
    from daemons.inputd.linuxkeys import KEYS

    other = {116, 142, 164, 165, 166}  # keys that serio has by codes of its own, or not at all
    for code, key in KEYS.items():
        sent = scancode(code, 1)
        if not sent or code in other:
            continue
        devices = Devices()
        devices.start()
        assert devices.says(KEYBOARD, sent) == [press(key)], code


def test_a_lost_byte_costs_one_packet():
    devices = Devices(wheel=False)
    devices.start()
    devices.says(MOUSE, "08 05")
    devices.now += 0.2
    assert devices.says(MOUSE, "09 01 00") == [(RELATIVE, 1, 0), (BUTTON, 1, 0)]
    assert devices.says(MOUSE, "03 00 09 02 00") == [(RELATIVE, 2, 0)]


def test_a_device_that_is_plugged_in_is_set_up_again(devices):
    devices.says(KEYBOARD, "1e")
    devices.says(MOUSE, "09 00 00 00")
    for port in (KEYBOARD, MOUSE):
        devices.sent[port].clear()
    assert devices.says(KEYBOARD, "aa") == [release(Key.A)]
    assert devices.says(MOUSE, "aa 00") == [(BUTTON, 0, 0)]
    assert devices.sent[KEYBOARD] == [0xFF, 0xF4]
    assert devices.sent[MOUSE][-1] == 0xF4
    assert devices.says(MOUSE, "08 00 00 01") == [(SCROLL, 0, -1)]


def test_a_mouse_that_always_comes_is_left_alone(devices):
    devices.sent[MOUSE].clear()
    for _ in range(50):
        devices.says(MOUSE, "aa 00")
        devices.now += 0.2
    assert devices.sent[MOUSE].count(0xFF) <= 6


def test_who_takes_no_commands_is_listened_to_as_he_is():
    devices = Devices(deaf=True)
    devices.start()
    assert devices.says(MOUSE, "08 05 03") == [(RELATIVE, 5, -3)]
    assert devices.says(KEYBOARD, "1e") == [press(Key.A)]


def test_who_asks_again_gets_the_byte_again_and_who_always_asks_is_given_up():
    devices = Devices(stubborn=2)
    devices.start()
    assert devices.sent[KEYBOARD][:2] == [0xFF, 0xFF]
    assert devices.says(MOUSE, "08 00 00 01") == [(SCROLL, 0, -1)]
    devices = Devices(stubborn=1000)
    devices.start()
    assert devices.sent == ([0xFF] * 3, [0xFF] * 3)


def test_what_is_typed_at_somebody_elses_screen_is_not_told(devices):
    devices.says(KEYBOARD, "1e")
    devices.driver.rest()
    assert devices.told == [release(Key.A)]
    devices.told.clear()
    assert devices.says(KEYBOARD, "9e 30") == devices.says(MOUSE, "09 01 01 00") == []
    devices.driver.resume()
    assert devices.says(KEYBOARD, "b0 2e") == [release(Key.B), press(Key.C)]


def test_silence_ends_at_a_deadline():
    devices = Devices(silent=True)
    devices.driver.start(100.0)
    assert 100.0 < devices.driver.deadline <= 102.0
    devices.driver.tick(102.0)
    assert devices.driver.deadline > 3000
    assert devices.says(KEYBOARD, "1e") == [press(Key.A)]


@pytest.mark.fuzz
@pytest.mark.parametrize("scan_set", [1, 2])
def test_random_bytes_make_only_sound_events(scan_set):
    chance = random.Random(scan_set)
    devices = Devices(scan_set)
    devices.start()
    down = set()
    codes = {int(c) for c in (EventCode.KEY, EventCode.BUTTON, EventCode.SCROLL)} | {RELATIVE}
    for _ in range(rounds(3000, 100_000)):
        devices.now += chance.choice([0.0, 0.01, 1.0])
        port = chance.choice([KEYBOARD, MOUSE])
        for code, a, b in devices.says(port, chance.randbytes(chance.randrange(1, 5))):
            assert code in codes
            if code == KEY:
                key = Key(b & 0xFF)
                if b & PRESSED:
                    down.add(key)
                else:
                    assert key in down, "released, and was not pressed"
                    down.discard(key)
            elif code == RELATIVE:
                assert all(-256 <= way <= 256 for way in (a, b))
        assert len(devices.sent[port]) < 1 << 20
        devices.driver.tick(devices.now)
    devices.driver.take(KEYBOARD, b"\x00", devices.now + 20)
    devices.driver.take(KEYBOARD, b"\x00", devices.now + 20)
    for _, _, b in devices.told:
        down.discard(b & 0xFF)
    assert not down
