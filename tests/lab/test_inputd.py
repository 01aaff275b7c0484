"""inputd under `up`: at both doors, with clients that are hostile, slow or killed."""

from __future__ import annotations

import errno
import json
import os
import random
import select
import struct
import subprocess
import threading
import time

import pytest
from background import in_thread
from base_rig import NOBODY, base_instance
from fuzzing import rounds
from up_rig import redbear

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.abi.orbital import PRESSED, EventCode
from redbear_host.abi.scancodes import Key

pytestmark = pytest.mark.timeout(120)

EVENT = struct.Struct("<qqq")
STALE = os.strerror(errno.ESTALE)
KEY, MOUSE, BUTTON = (int(c) for c in (EventCode.KEY, EventCode.MOUSE, EventCode.BUTTON))


@pytest.fixture(scope="module")
def up():
    with base_instance() as up:
        yield up


@pytest.fixture
def rings(up, monkeypatch):
    monkeypatch.setenv("REDBEAR_RINGS", str(up.run_dir / "ring"))
    monkeypatch.setenv("REDBEAR_SCHEME", str(up.mount))
    yield
    client.forget()


@pytest.fixture
def consumer(up):
    fd = os.open(up.mount / "input/consumer", os.O_RDONLY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


@pytest.fixture
def producer(up):
    fd = os.open(up.mount / "input/producer", os.O_WRONLY)
    yield fd
    os.close(fd)


def press(key):
    return EVENT.pack(KEY, 0, key | PRESSED)


def release(key):
    return EVENT.pack(KEY, 0, key)


def heard(fd, count=1):
    data = b""
    while len(data) < count * EVENT.size:
        assert select.select([fd], [], [], 10)[0], data.hex(" ", 8)
        data += os.read(fd, count * EVENT.size - len(data))
    return list(EVENT.iter_unpack(data))


def test_it_costs_nothing_until_somebody_wants_it():
    with base_instance() as up:
        assert up.daemon("inputd")["state"] == "waiting"
        assert up.daemon("inputd")["pid"] is None
        assert not [d for d in up.status["daemons"] if d["name"] == "ps2d"], (
            "it has to be asked for"
        )
        assert b"keymap" in subprocess.check_output(["cat", up.mount / "input/status"])
        assert up.daemon("inputd")["state"] == "ready"


def test_records_pass_whole_and_a_reader_waits(up, consumer, producer):
    with pytest.raises(BlockingIOError):
        os.read(consumer, 24)
    assert not select.select([consumer], [], [], 0)[0]
    threading.Timer(0.1, os.write, (producer, press(Key.H) + release(Key.H))).start()
    assert select.select([consumer], [], [], 10)[0]
    assert heard(consumer, 2) == [(KEY, ord("h"), Key.H | PRESSED), (KEY, ord("h"), Key.H)]
    for size in (1, 23):
        with pytest.raises(OSError, match="Invalid argument"):
            os.read(consumer, size)


def test_what_ring_clients_write_linux_programs_read_and_the_other_way(
    up, consumer, producer, rings
):
    with client.open("/scheme/input/producer", f.O_WRONLY) as ours, client.deadline(10):
        assert ours.write(press(Key.K) + release(Key.K)) == 48
        assert heard(consumer, 2)[0] == (KEY, ord("k"), Key.K | PRESSED)
        with client.open("/scheme/input/consumer") as other:
            (up.mount / "input/vt").write_text("3\n")
            os.write(producer, press(Key.L))
            assert other.read(100) == EVENT.pack(KEY, ord("l"), Key.L | PRESSED)
            os.write(producer, release(Key.L))
            assert other.read(24) == EVENT.pack(KEY, ord("l"), Key.L)
        assert (up.mount / "input/vt").read_text() == "2\n"


def test_displays_have_handles_and_the_consumer_hears_of_a_better_one(up, consumer, rings):
    with (
        client.open("/scheme/input/handle_early/display.vesa") as vesa,
        client.open("/scheme/input/consumer") as mine,
        client.deadline(10),
    ):
        assert mine.fpath() == "/scheme/display.vesa/3"
        assert vesa.read(16) == struct.pack("<QQ", 0, 2)
        with client.open("/scheme/input/control", f.O_WRONLY) as control:
            control.write(struct.pack("<QQ", 1, 3))
        assert vesa.read(16) == struct.pack("<QQ", 0, 3)
        with client.open("/scheme/input/handle/display.virtio-gpu") as better:
            with pytest.raises(OSError, match=STALE):
                mine.read(24)
            assert mine.fpath() == "/scheme/display.virtio-gpu/3"
            assert better.read(16) == struct.pack("<QQ", 0, 3)
    with pytest.raises(OSError, match=STALE):  # this one as well, once
        os.read(consumer, 24)


def test_nobody_but_root_hears_or_types(up, consumer):
    for name in ("consumer", "consumer_bootlog", "producer", "control", "handle/display.x"):
        done = subprocess.run(
            ["dd", f"if={up.mount}/input/{name}", "count=1"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            **NOBODY,
        )
        assert "Permission denied" in done.stderr, name
    done = subprocess.run(
        ["sh", "-c", f"echo de > {up.mount}/input/keymap"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        **NOBODY,
    )
    assert "Permission denied" in done.stderr
    assert "keymap" in subprocess.check_output(
        ["cat", up.mount / "input/status"], text=True, timeout=20, **NOBODY
    )


def test_the_commands_list_switch_and_choose(up, consumer, producer):
    other = os.open(up.mount / "input/consumer", os.O_RDONLY)
    try:
        told = redbear("input", "list", "--mount", up.mount)
        assert told.returncode == 0, told.stderr
        assert "keymap us" in told.stdout
        assert redbear("input", "vt", "3", "--mount", up.mount).returncode == 0
        found = json.loads(redbear("input", "list", "--json", "--mount", up.mount).stdout)
        assert [(vt["number"], vt["active"]) for vt in found["terminals"]] == [
            (2, False),
            (3, True),
        ]
        assert found["terminals"][0]["pid"] == os.getpid()
        assert found["grab"] is True
    finally:
        os.close(other)
    assert redbear("input", "keymap", "azerty", "--mount", up.mount).returncode == 0
    try:
        os.write(producer, press(Key.Q) + release(Key.Q))
        assert heard(consumer, 2)[0][1] == ord("a")
        listed = redbear("input", "keymap", "--mount", up.mount).stdout
        assert "* azerty" in listed
        assert "  us" in listed
    finally:
        assert redbear("input", "keymap", "us", "--mount", up.mount).returncode == 0
    for words, why in (
        (("keymap", "asert"), "there is no keymap 'asert'"),
        (("vt", "9"), "there is no vt '9'"),
    ):
        refused = redbear("input", *words, "--mount", up.mount)
        assert refused.returncode == 2
        assert why in refused.stderr
        assert "hint:" in refused.stderr
    assert redbear("input", "grab", "off", "--mount", up.mount).returncode == 0
    assert (up.mount / "input/grab").read_text() == "0\n"
    assert redbear("input", "grab", "--mount", up.mount).returncode == 0


def test_a_reader_goes_on_when_inputd_is_killed(up, consumer, producer):
    other = os.open(up.mount / "input/consumer", os.O_RDONLY)
    try:
        (up.mount / "input/keymap").write_text("de")
        os.write(producer, press(Key.A))
        assert heard(consumer) == [(KEY, ord("a"), Key.A | PRESSED)]
        waiting = in_thread(lambda: os.read(other, 24))
        (up.mount / "input/vt").write_text("3")
        heard(consumer)
        os.write(producer, press(Key.Z))
        assert waiting() == EVENT.pack(KEY, ord("y"), Key.Z | PRESSED)
        waiting = in_thread(lambda: os.read(other, 24))
        took = up.kill("inputd")
        assert waiting() == EVENT.pack(KEY, 0, Key.Z), "it may have come up meanwhile"
        os.write(producer, press(Key.Y))
        assert heard(other) == [(KEY, ord("z"), Key.Y | PRESSED)], "terminal and keymap are kept"
        assert not select.select([consumer], [], [], 0.1)[0]
        print(f"inputd was back after {took * 1000:.0f} ms")
    finally:
        os.close(other)
        (up.mount / "input/keymap").write_text("us")
    os.write(producer, release(Key.Y))


def test_no_button_hangs_when_inputd_is_killed_before_its_release_was_read(up, consumer, producer):
    os.write(producer, EVENT.pack(BUTTON, 5, 0) + press(Key.S))
    assert heard(consumer, 2) == [(BUTTON, 5, 0), (KEY, ord("s"), Key.S | PRESSED)]
    os.write(producer, release(Key.S) + EVENT.pack(BUTTON, 1, 0))
    up.kill("inputd")
    assert heard(consumer, 2) == [(KEY, 0, Key.S), (BUTTON, 0, 0)]
    os.write(producer, EVENT.pack(BUTTON, 0, 0) + press(Key.T) + release(Key.T))
    assert heard(consumer, 2) == [(KEY, ord("t"), Key.T | PRESSED), (KEY, ord("t"), Key.T)]


@pytest.mark.fuzz
def test_producers_that_write_garbage_hurt_nobody(up, consumer, producer):
    chance = random.Random(5)
    before = up.daemon("inputd")["restarts"]
    bad = os.open(up.mount / "input/producer", os.O_WRONLY)
    try:
        left = rounds(200_000)
        while left > 0:
            count = min(left, 2048)
            left -= count
            records = bytearray(chance.randbytes(24 * count))
            for at in range(0, len(records), 24):  # most of them look like events
                if chance.random() < 0.9:
                    records[at : at + 8] = struct.pack("<q", chance.randrange(24))
                if chance.random() < 0.5:
                    records[at + 8 : at + 24] = struct.pack("<qq", 0, chance.randrange(512))
            assert os.write(bad, records) == len(records)
            for part in (1, 23, 25):
                with pytest.raises(OSError, match="Invalid argument"):
                    os.write(bad, records[:part])
    finally:
        os.close(bad)
    held = set()
    while select.select([consumer], [], [], 0.2)[0]:
        for code, a, b in EVENT.iter_unpack(os.read(consumer, 24 * 1000)):
            if code == MOUSE:
                assert 0 <= a <= 65535 >= b >= 0
            if code == KEY:
                (held.add if b & PRESSED else held.discard)(b & 0xFF or (a,))
    assert not held
    assert up.daemon("inputd")["restarts"] == before
    (up.mount / "input/vt").write_text("2")
    os.write(producer, press(Key.O) + release(Key.O))
    assert heard(consumer, 2)[0][2] == Key.O | PRESSED


def test_a_consumer_that_never_reads_does_not_hold_others_up(up, producer):
    lazy = os.open(up.mount / "input/consumer", os.O_RDONLY)
    try:
        began = time.monotonic()
        for _ in range(400):
            os.write(producer, (press(Key.A) + release(Key.A)) * 10)
        assert time.monotonic() - began < 20
        (vt,) = json.loads(redbear("input", "list", "--json", "--mount", up.mount).stdout)[
            "terminals"
        ]
        assert vt["waiting"] <= 1100
        assert vt["dropped"] > 1000
    finally:
        os.close(lazy)


def test_orbital_wakes_it_without_any_screen():
    with base_instance() as up:
        assert up.daemon("inputd")["state"] == "waiting"
        os.listdir(up.mount / "orbital")
        deadline = time.monotonic() + 20
        while "vt number=2 active=1" not in (up.mount / "input/status").read_text():
            assert time.monotonic() < deadline, up.log("orbital")
            time.sleep(0.05)
