"""Keys and motion of QEMU's PS/2 devices, typed by QMP, as records of a consumer."""

from __future__ import annotations

import os
import statistics
import subprocess
import time

import pytest
from keyboard_rig import SHIFT, KeyboardRig, heard, silent

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.abi.orbital import PRESSED, EventCode
from redbear_host.abi.scancodes import Key

pytestmark = pytest.mark.timeout(120)

KEY, BUTTON, SCROLL = (int(c) for c in (EventCode.KEY, EventCode.BUTTON, EventCode.SCROLL))
RELATIVE = int(EventCode.MOUSE_RELATIVE)


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with KeyboardRig(tmp_path_factory.mktemp("keyboard")) as rig:
        yield rig


@pytest.fixture
def consumer(rig):
    fd = rig.consumer()
    yield fd
    os.close(fd)


def test_keys_typed_into_qemu_are_these_bytes(rig, consumer):
    rig.press("a")
    data = b"".join(os.read(consumer, 24) for _ in heard_twice(consumer))
    assert data.hex() == (
        "0100000000000000" "6100000000000000" "1e01000000000000"
        "0100000000000000" "6100000000000000" "1e00000000000000"
    )  # fmt: skip
    assert silent(consumer)


def heard_twice(fd):
    deadline = time.monotonic() + 10
    for _ in range(2):
        while silent(fd, 0.01):
            assert time.monotonic() < deadline
        yield


def test_the_same_bytes_come_to_a_libredox_program(rig, monkeypatch):
    monkeypatch.setenv("REDBEAR_RINGS", str(rig.log.parent.parent / "ring"))
    monkeypatch.setenv("REDBEAR_SCHEME", str(rig.mount))
    with client.open("/scheme/input/consumer", f.O_RDONLY) as consumer, client.deadline(10):
        rig.press("shift", "b")
        data = b""
        while len(data) < 4 * 24:
            data += consumer.read(24 * 4)
        assert data.hex() == (
            "0100000000000000" "0000000000000000" "2a01000000000000"
            "0100000000000000" "4200000000000000" "3001000000000000"
            "0100000000000000" "4200000000000000" "3000000000000000"
            "0100000000000000" "0000000000000000" "2a00000000000000"
        )  # fmt: skip
    client.forget()


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        (("up",), [Key.UP]),
        (("kp_8",), [Key.NUM_8]),
        (("kp_enter",), [Key.NUM_ENTER]),
        (("ctrl_r",), [Key.CTRL]),
        (("alt_r",), [Key.ALT_GR]),
        (("meta_l",), [Key.LEFT_SUPER]),
        (("less",), [Key.LESS]),
        (("f12",), [Key.F12]),
        (("volumeup",), [Key.VOLUME_UP]),
        (("audiomute",), [Key.MEDIA_MUTE]),
        (("delete",), [Key.DEL]),
        (("print",), [Key.PRTSC]),
    ],
)
def test_grey_keys_and_the_keypad(rig, consumer, keys, numbers):
    rig.press(*keys)
    found = heard(consumer, 2 * len(numbers))
    assert [(code, b) for code, _, b in found] == [
        *((KEY, number | PRESSED) for number in numbers),
        *((KEY, number) for number in numbers),
    ]


def test_the_mouse_moves_clicks_and_turns_its_wheel(rig, consumer):
    rig.machine.qmp.execute(
        "input-send-event",
        {
            "events": [
                {"type": "rel", "data": {"axis": axis, "value": way}}
                for axis, way in (("x", 5), ("y", -3))
            ]
        },
    )
    assert heard(consumer, 1) == [(RELATIVE, 5, -3)]
    for button, bit in (("left", 1), ("middle", 2), ("right", 4)):
        for down in (True, False):
            rig.event("btn", down=down, button=button)
            assert heard(consumer, 1) == [(BUTTON, bit * down, 0)]
    for button, way in (("wheel-up", 1), ("wheel-down", -1)):
        rig.event("btn", down=True, button=button)
        assert heard(consumer, 1) == [(SCROLL, 0, way)]
        rig.event("btn", down=False, button=button)
    assert silent(consumer)


def test_super_and_a_function_key_switch_and_the_text_vt_tells(rig, consumer):
    other = rig.consumer()
    try:
        rig.press("meta_l", "f3")
        assert [r[2] for r in heard(consumer, 2)] == [Key.LEFT_SUPER | PRESSED, Key.LEFT_SUPER]
        assert (rig.mount / "input/vt").read_text() == "3\n"
        rig.press("z")
        assert heard(other, 2)[0] == (KEY, ord("z"), Key.Z | PRESSED)
        assert silent(consumer)
        (rig.mount / "input/vt").write_text("2\n")
        rig.press("y")
        assert heard(consumer, 2)[0] == (KEY, ord("y"), Key.Y | PRESSED)
        assert silent(other)
    finally:
        os.close(other)


def test_plain_programs_read_it(rig):
    reader = subprocess.Popen(
        ["timeout", "10", "hexdump", "-v", "-C", "-n", "48", "input/consumer"],
        cwd=rig.mount,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 10
    while "vt number=2" not in (rig.mount / "input/status").read_text():
        assert time.monotonic() < deadline
    rig.press("q")
    out = reader.communicate(timeout=15)[0]
    assert reader.returncode == 0
    assert "71 00 00 00 00 00 00 00" in out
    assert "10 01 00 00 00 00 00 00" in out


def test_many_keys_come_in_order_and_none_is_lost(rig, consumer):
    for _ in range(20):
        rig.press("q")
        rig.press("w")
        found = heard(consumer, 4)
        assert [b for _, _, b in found] == [
            *(Key.Q | PRESSED, Key.Q),
            *(Key.W | PRESSED, Key.W),
        ]


def test_it_goes_on_when_either_daemon_is_killed_under_a_held_key(rig, consumer):
    rig.key("shift", True)
    assert heard(consumer, 1) == [(KEY, 0, SHIFT | PRESSED)]
    took = rig.kill(rig.inputd)
    assert heard(consumer, 1) == [(KEY, 0, SHIFT)], "nobody knows whether it is still down"
    rig.key("shift", False)
    rig.press("c")
    assert heard(consumer, 2) == [(KEY, ord("c"), Key.C | PRESSED), (KEY, ord("c"), Key.C)]
    rig.key("d", True)
    assert heard(consumer, 1) == [(KEY, ord("d"), Key.D | PRESSED)]
    resets = rig.log_of("ps2d").count("the mouse has a wheel")
    took_ps2d = rig.kill(rig.ps2d)
    assert heard(consumer, 1) == [(KEY, ord("d"), Key.D)], "its producer has gone"
    rig.key("d", False)
    rig.await_log("ps2d", "the mouse has a wheel", resets + 1)
    rig.press("e")
    assert heard(consumer, 2)[0] == (KEY, ord("e"), Key.E | PRESSED)
    rig.event("btn", down=True, button="wheel-up")
    assert heard(consumer, 1) == [(SCROLL, 0, 1)]
    print(f"inputd back after {took * 1000:.0f} ms, ps2d after {took_ps2d * 1000:.0f} ms")
    assert max(took, took_ps2d) < 5


def test_serio_dies_and_the_mouse_keeps_its_wheel(rig, consumer):
    resets = rig.log_of("ps2d").count("the mouse has a wheel")
    rig.kill(rig.running)
    rig.await_log("ps2d", "the mouse has a wheel", resets + 1)
    rig.event("btn", down=True, button="wheel-down")
    assert heard(consumer, 1) == [(SCROLL, 0, -1)]
    rig.press("f")
    assert heard(consumer, 2)[0] == (KEY, ord("f"), Key.F | PRESSED)


def test_how_long_a_key_takes_from_qemu_to_a_consumer(rig, consumer):
    times = []
    for number in range(60):
        began = time.perf_counter()
        rig.key("x", number % 2 == 0)
        heard(consumer, 1)
        times.append(time.perf_counter() - began)
    times.sort()
    median, worst = statistics.median(times), times[int(len(times) * 0.95)]
    print(f"QMP to consumer: median {median * 1000:.2f} ms, 95 % {worst * 1000:.2f} ms")
    assert median < 2, times  # a few milliseconds where nobody else is at work
