"""inputd's desk: terminals, what they are told, and what a successor knows."""

from __future__ import annotations

import os
import random
import struct
import sys

import pytest
from asked import Asked, errno_of
from fuzzing import rounds
from input_rig import (
    BUTTON,
    KEY,
    MOUSE,
    PAD_BUTTON,
    RELATIVE,
    SCROLL,
    TEXT,
    Input,
    pack,
    press,
    release,
    unpack,
)

from daemons.inputd.consumer import MOST
from daemons.inputd.devices import Devices, open_devices
from daemons.inputd.news import News
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.orbital import PRESSED
from redbear_host.abi.scancodes import Key
from redbear_host.daemon import SeatGrant
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Caller, Unheard
from redbear_host.scheme.scheme import ROOT


@pytest.fixture
def desk():
    return Input()


def test_a_key_comes_out_with_its_character_byte_for_byte(desk):
    consumer, producer = desk.open("consumer"), desk.producer()
    desk.write(producer, bytes.fromhex("01" + "00" * 15 + "1e01" + "00" * 6))
    data = desk.scheme.read(consumer, 24, 0, 0, Asked())
    assert data.hex() == "0100000000000000" + "6100000000000000" + "1e01000000000000"
    desk.write(producer, pack(release(Key.A)))
    assert desk.read(consumer) == [release(Key.A, ord("a"))]


def test_only_the_active_terminal_hears(desk):
    first, second = desk.open("consumer"), desk.open("consumer")
    desk.feed(press(Key.A), (BUTTON, 1, 0))
    assert errno_of(desk.read, second) == e.EWOULDBLOCK
    desk.feed(press(Key.LEFT_SUPER), press(Key.F3), press(Key.B))
    # The first sees everything come up that it saw go down.
    assert desk.read(first) == [
        press(Key.A, ord("a")),
        (BUTTON, 1, 0),
        press(Key.LEFT_SUPER),
        release(Key.A, ord("a")),
        release(Key.LEFT_SUPER),
        (BUTTON, 0, 0),
    ]
    assert desk.read(second) == [press(Key.B, ord("b"))]
    desk.feed(release(Key.F3), release(Key.A), release(Key.LEFT_SUPER), (BUTTON, 0, 0))
    assert errno_of(desk.read, second) == e.EWOULDBLOCK, "it saw none of them go down"


def test_function_keys_with_super_are_the_clients_where_there_is_no_such_terminal(desk):
    consumer = desk.open("consumer")
    desk.feed(press(Key.RIGHT_SUPER), press(Key.F12), release(Key.F12))
    assert desk.read(consumer)[1:] == [press(Key.F12), release(Key.F12)]


def test_numbers_of_terminals_begin_with_two_and_are_used_again(desk):
    consumers = [desk.open("consumer") for _ in range(3)]
    desk.scheme.on_close(consumers[1])
    desk.open("consumer")
    assert sorted(desk.desk.consumers) == [2, 3, 4]
    assert desk.text("vt") == "2\n"
    for _ in range(60 - 1):
        desk.open("consumer")
    assert errno_of(desk.open, "consumer") == e.ENOSPC


def test_when_the_active_terminal_goes_the_highest_is_next(desk):
    first = desk.open("consumer")
    desk.open("consumer"), desk.open("consumer")
    desk.scheme.on_close(first)
    assert desk.desk.active == 4


def test_the_boot_log_has_terminal_one_once(desk):
    boot = desk.open("consumer_bootlog")
    assert desk.desk.active == 1
    assert errno_of(desk.open, "consumer_bootlog") == e.EEXIST
    desk.scheme.on_close(boot)
    desk.open("consumer_bootlog")


def test_modifiers_count_over_all_producers_and_go_with_theirs(desk):
    consumer, one, two = desk.open("consumer"), desk.producer(), desk.producer()
    desk.write(one, pack(press(Key.LEFT_SHIFT)))
    desk.write(two, pack(press(Key.A), press(Key.LEFT_SHIFT), (BUTTON, 4, 0)))
    desk.read(consumer)
    desk.scheme.on_close(two)
    assert desk.read(consumer) == [release(Key.A, ord("A")), (BUTTON, 0, 0)]
    desk.feed(press(Key.B))
    assert desk.read(consumer) == [press(Key.B, ord("B"))], "the other shift is still down"
    desk.scheme.on_close(one)
    assert desk.read(consumer) == [release(Key.LEFT_SHIFT)]


def test_buttons_are_whole_over_all_producers(desk):
    consumer, one, two = desk.open("consumer"), desk.producer(), desk.producer()
    desk.write(one, pack((BUTTON, 1, 0)))
    desk.write(two, pack((BUTTON, 4, 0)))
    desk.write(one, pack((BUTTON, 0, 0)))
    assert desk.read(consumer) == [(BUTTON, 1, 0), (BUTTON, 5, 0), (BUTTON, 4, 0)]


def test_a_character_that_a_producer_knows_is_kept_and_needs_no_key(desk):
    consumer = desk.open("consumer")
    desk.feed(press(Key.A, ord("ä")), release(Key.A), press(0, ord("€")), release(0, ord("€")))
    assert desk.read(consumer) == [
        press(Key.A, ord("ä")),
        release(Key.A, ord("ä")),
        press(0, ord("€")),
        release(0, ord("€")),
    ]


def test_motion_is_merged_and_keys_are_not(desk):
    consumer = desk.open("consumer")
    desk.feed((MOUSE, 1, 2), (MOUSE, 3, 4), (RELATIVE, 1, -1), (RELATIVE, 5, 5), (SCROLL, 0, 1))
    desk.feed((SCROLL, 0, 1), press(Key.A), press(Key.A), (SCROLL, 0, -1))
    assert desk.read(consumer) == [
        (MOUSE, 3, 4),
        (RELATIVE, 6, 4),
        (SCROLL, 0, 2),
        press(Key.A, ord("a")),
        press(Key.A, ord("a")),
        (SCROLL, 0, -1),
    ]


def test_who_does_not_read_misses_presses_but_no_release(desk):
    consumer = desk.open("consumer")
    desk.feed(press(Key.A), (BUTTON, 2, 0))
    for _ in range(2 * MOST):
        desk.feed(press(Key.B), release(Key.B))
    desk.feed((BUTTON, 0, 0), release(Key.A))
    found = desk.read(consumer)
    assert len(found) <= MOST + 3
    assert found[-1] == release(Key.A, ord("a"))
    pressed = [r for r in found if r[0] == KEY and r[2] & PRESSED]
    released = [r for r in found if r[0] == KEY and not r[2] & PRESSED]
    assert len(pressed) == len(released)
    assert [r for r in found if r[0] == BUTTON][-1] == (BUTTON, 0, 0)
    assert "dropped=" in desk.text("status")
    assert "dropped=0" not in desk.text("status")


def test_a_better_display_takes_over_and_each_consumer_hears_it_once(desk):
    consumer = desk.open("consumer")
    assert errno_of(desk.scheme.fpath, consumer) == e.ENODEV
    desk.desk.serve_display("display.vesa")
    assert desk.scheme.fpath(consumer) == "/scheme/display.vesa/2"
    assert errno_of(desk.read, consumer) == e.EWOULDBLOCK, "the first display replaces none"
    driver = desk.open("handle/display.virtio-gpu")
    assert desk.posted.take() == [(consumer, f.EVENT_READ)]
    assert desk.scheme.fevent(consumer, f.EVENT_READ) == f.EVENT_READ
    assert errno_of(desk.read, consumer) == e.ESTALE
    assert errno_of(desk.read, consumer) == e.EWOULDBLOCK
    assert desk.scheme.fpath(consumer) == "/scheme/display.virtio-gpu/2"
    desk.open("handle_early/display.bga")
    assert desk.scheme.fpath(consumer) == "/scheme/display.virtio-gpu/2"
    desk.scheme.on_close(driver)
    assert errno_of(desk.read, consumer) == e.ESTALE
    assert desk.scheme.fpath(consumer) == "/scheme/display.bga/2"


def test_display_drivers_hear_which_terminal_is_active(desk):
    early = desk.open("handle_early/display.vesa")
    assert errno_of(desk.scheme.read, early, 16, 0, 0, Asked()) == e.EWOULDBLOCK
    desk.open("consumer"), desk.open("consumer")
    driver = desk.open("handle/display.virtio-gpu")
    control = desk.open("control", f.O_WRONLY)
    desk.write(control, struct.pack("<QQ", 1, 3))
    assert bytes(desk.scheme.read(driver, 100, 0, 0, Asked())) == struct.pack("<QQQQ", 0, 2, 0, 3)
    assert bytes(desk.scheme.read(early, 16, 0, 0, Asked())) == struct.pack("<QQ", 0, 2)
    assert errno_of(desk.scheme.read, early, 15, 0, 0, Asked()) == e.EINVAL


def test_control_takes_whole_events_of_two_kinds(desk):
    control, consumer = desk.open("control", f.O_WRONLY), desk.open("consumer")
    for bad, errno in (
        (b"", e.EINVAL),
        (bytes(15), e.EINVAL),
        (struct.pack("<QQ", 3, 0), e.EINVAL),
        (struct.pack("<QQ", 1, 9), e.ENOENT),
        (struct.pack("<QQ", 2, 7), e.EINVAL),
    ):
        assert errno_of(desk.write, control, bad) == errno
    desk.write(control, struct.pack("<QQ", 2, 3))
    desk.feed(press(Key.Q))
    assert desk.read(consumer) == [press(Key.Q, ord("a"))], "azerty is Redox's number 3"


def test_texts_are_for_shells(desk):
    desk.open("consumer"), desk.open("consumer")
    for name, text, shown in (("keymap", b"de\n", "de\n"), ("vt", b"3\n", "3\n")):
        desk.write(desk.open(name, f.O_WRONLY), text)
        assert desk.text(name) == shown
    desk.write(desk.open("grab", f.O_WRONLY), b"0")
    assert desk.devices.released
    assert desk.text("grab") == "0\n"
    for name, text in (("keymap", b"klingon"), ("vt", b"x"), ("grab", b"2")):
        assert errno_of(desk.write, desk.open(name, f.O_WRONLY), text) == e.EINVAL
    assert errno_of(desk.write, desk.open("vt", f.O_WRONLY), b"9") == e.ENOENT


def test_who_may(desk):
    for path in ("producer", "consumer", "consumer_bootlog", "control", "handle/display.x"):
        assert errno_of(desk.open, path, f.O_RDWR, 1000) == e.EACCES
        desk.open(path, f.O_STAT, 1000)
    assert not desk.desk.consumers, "a look opens nothing"
    for name in ("keymap", "vt", "grab", "status"):
        desk.open(name, f.O_RDONLY, 1000)
        assert errno_of(desk.open, name, f.O_WRONLY, 1000) == e.EACCES
    assert errno_of(desk.open, "keyboard", f.O_RDONLY) == e.EINVAL
    assert errno_of(desk.open, "keyboard", f.O_STAT) == e.ENOENT
    assert errno_of(desk.open, "handle/a/b", f.O_RDONLY) == e.EINVAL
    assert errno_of(desk.open, "producer", f.O_DIRECTORY) == e.ENOTDIR


def test_a_producer_writes_whole_records_or_none(desk):
    consumer, producer = desk.open("consumer"), desk.producer()
    assert errno_of(desk.write, producer, pack(press(Key.A)) + b"x") == e.EINVAL
    assert errno_of(desk.read, consumer) == e.EWOULDBLOCK
    assert errno_of(desk.read, producer) == e.EBADF
    assert errno_of(desk.write, consumer, pack(press(Key.A))) == e.EBADF
    desk.feed(press(Key.A))
    assert errno_of(desk.read, consumer, 23) == e.EINVAL
    assert len(desk.read(consumer, 47)) == 1


def test_what_no_input_device_says_is_counted_and_dropped(desk):
    consumer, producer = desk.open("consumer"), desk.producer()
    bad = [(code, 1, 1) for code in (0, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 17, 22, -1)]
    bad += [(KEY, 0xD800, 0x11E), (KEY, -1, 0x11E), (KEY, 0x110000, 0x11E), (KEY, 0, 0x100)]
    bad += [(TEXT, 0, 0)]
    desk.write(producer, pack(*bad))
    assert errno_of(desk.read, consumer) == e.EWOULDBLOCK
    assert f"events={len(bad)} refused={len(bad)} " in desk.text("status")


class Told:
    """A daemon's side of the shim."""

    def __init__(self, seat=None, schemes=()):
        self.seat, self.facts, self.said = seat, {"with": {name: {} for name in schemes}}, []
        self.say = self.said.append


class Resting(Devices):
    def __init__(self):
        self.rests = False

    def rest(self):
        self.rests = True

    def resume(self):
        self.rests = False


def test_what_the_shim_says_of_displays_and_of_the_screen(desk):
    consumer = desk.open("consumer")
    daemon, devices = Told(schemes=["display.vesa"]), Resting()
    news = News(desk.desk, devices, daemon)
    assert desk.scheme.fpath(consumer) == "/scheme/display.vesa/2"
    reader, writer = os.pipe()
    news.on_told({"with": "display.virtio-gpu", "facts": {}}, [reader, writer])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(reader)
    assert desk.scheme.fpath(consumer) == "/scheme/display.virtio-gpu/2"
    assert errno_of(desk.read, consumer) == e.ESTALE
    news.on_told({"without": "display.virtio-gpu"}, [])
    assert desk.scheme.fpath(consumer) == "/scheme/display.vesa/2"
    news.on_told({"seat": "release"}, [])
    assert devices.rests
    assert daemon.said == [{"seat": "released"}]
    news.on_told({"seat": "acquired"}, [])
    assert not devices.rests
    News(desk.desk, devices, Told(SeatGrant({}, 7, False)))
    assert devices.rests, "a successor begins while somebody else has the screen"


def test_without_the_package_devices_are_left_to_linux_and_the_log_says_how(
    desk, monkeypatch, caplog
):
    monkeypatch.delitem(sys.modules, "daemons.inputd.linux", raising=False)
    monkeypatch.setitem(sys.modules, "evdev", None)
    devices = open_devices("all", desk.desk, desk.state, Loop())
    assert type(devices) is Devices
    assert "pip install" in caplog.text
    caplog.clear()
    assert type(open_devices("", desk.desk, desk.state, Loop())) is Devices
    assert not caplog.text


def test_a_successor_gives_everybody_his_terminal_and_lets_go_of_keys():
    first = Input()
    first.open("consumer", pid=10)
    reader = first.open("consumer", pid=11)
    first.open("consumer", pid=12)
    first.write(first.open("vt", f.O_WRONLY), b"3")
    first.write(first.open("keymap", f.O_WRONLY), b"it")
    first.feed(press(Key.A), press(Key.B), release(Key.B))
    first.read(reader)
    second = first.again()
    assert second.state.keymap == 5
    stranger = second.open("consumer", pid=99)
    assert second.desk.active == 0, "the active one is still expected"
    last, mine = second.open("consumer", pid=12), second.open("consumer", pid=11)
    assert sorted(second.desk.consumers) == [3, 4, 5]
    assert second.desk.active == 3
    assert second.read(mine) == [release(Key.A)]
    for other in (stranger, last):
        assert errno_of(second.read, other) == e.EWOULDBLOCK
    second.desk.expect_no_more()
    assert second.open("consumer", pid=10)
    assert sorted(second.desk.consumers) == [2, 3, 4, 5]


def test_a_successor_releases_what_each_reader_has_read_as_held_and_nothing_else():
    first = Input()
    left, reader = first.open("consumer", pid=10), first.open("consumer", pid=11)
    first.feed(press(Key.X))
    first.read(left)
    first.write(first.open("vt", f.O_WRONLY), b"3")  # who has left has not read of his release yet
    first.feed(press(Key.A), press(Key.B), (BUTTON, 5, 0))
    first.read(reader)
    first.feed(release(Key.A), press(Key.C), (BUTTON, 4, 0))  # nobody reads these any more
    second = first.again()
    left, reader = second.open("consumer", pid=10), second.open("consumer", pid=11)
    assert second.read(left) == [release(Key.X)]
    assert second.read(reader) == [release(Key.A), release(Key.B), (BUTTON, 0, 0)]
    third = second.again()
    reader = third.open("consumer", pid=11)
    assert errno_of(third.read, reader) == e.EWOULDBLOCK, "he has read that they are up"


def test_a_producer_holds_so_many_things_and_no_more(desk):
    consumer, producer = desk.open("consumer"), desk.producer()
    source = desk.desk.sources[-1]
    for at in range(1000):
        desk.write(producer, pack((KEY, 0x1000 + at, PRESSED), (PAD_BUTTON, at << 32, 1)))
        assert errno_of(desk.read, consumer) == (0 if at < 256 else e.EWOULDBLOCK)
    assert (len(source.characters), len(source.pad_buttons), source.refused) == (256, 256, 1488)
    desk.scheme.on_close(producer)
    assert len(desk.read(consumer)) == 512


def test_buttons_of_a_controller_come_up_for_who_reads_late_or_leaves(desk):
    consumer = desk.open("consumer")
    desk.open("consumer")
    desk.feed((PAD_BUTTON, 7, 1), (PAD_BUTTON, 8, 1))
    desk.feed(*((TEXT, ord("x"), 0) for _ in range(2 * MOST)))
    desk.feed((PAD_BUTTON, 7, 0), (PAD_BUTTON, 9, 0))
    desk.write(desk.open("vt", f.O_WRONLY), b"3")
    heard = [record for record in desk.read(consumer) if record[0] == PAD_BUTTON]
    assert heard == [(PAD_BUTTON, 7, 1), (PAD_BUTTON, 8, 1), (PAD_BUTTON, 7, 0), (PAD_BUTTON, 8, 0)]


def test_handles_of_one_process_are_known_apart_by_a_successor():
    first = Input()
    inodes = [first.scheme.fstat(first.open("consumer", pid=10)).st_ino for _ in range(3)]
    second = first.again()
    for inode in reversed(inodes):
        again = second.scheme.openat(
            ROOT, "consumer", f.O_RDONLY, 0, Unheard(Caller(10, 0, 0), inode)
        )
        assert second.scheme.fstat(again.handle).st_ino == inode
    assert second.desk.active == 2


def test_who_does_not_come_back_holds_nobody_up():
    first = Input()
    first.open("consumer", pid=10)
    second = first.again()
    second.open("consumer", pid=99)
    assert second.desk.active == 0
    second.desk.expect_no_more()
    assert second.desk.active == 3


@pytest.mark.fuzz
def test_random_records_and_opens_never_hurt():
    chance = random.Random(24)
    life = Input()
    consumers, producers = [life.open("consumer")], [life.producer()]
    seen = set()
    for _ in range(rounds(4000)):
        match chance.randrange(20):
            case 0 if len(consumers) < 20:
                consumers.append(life.open("consumer"))
            case 1 if len(consumers) > 1:
                life.scheme.on_close(consumers.pop(chance.randrange(len(consumers))))
            case 2 if len(producers) < 20:
                producers.append(life.producer())
            case 3 if len(producers) > 1:
                life.scheme.on_close(producers.pop(chance.randrange(len(producers))))
            case 4:
                consumer = chance.choice(consumers)
                if errno_of(life.read, consumer) == 0:
                    continue
            case 5:
                data = chance.randbytes(chance.randrange(100))
                errno = errno_of(life.write, chance.choice(producers), data)
                assert errno == (e.EINVAL if len(data) % 24 else 0)
            case _:
                record = (
                    chance.choice([*range(24), chance.randrange(-(1 << 63), 1 << 63)]),
                    chance.choice([0, 97, chance.randrange(-(1 << 63), 1 << 63)]),
                    chance.choice([chance.randrange(512), chance.randrange(-(1 << 63), 1 << 63)]),
                )
                life.write(chance.choice(producers), pack(record))
    for producer in producers:
        life.scheme.on_close(producer)
    life.scheme.on_close(life.producer())
    for consumer in consumers:
        held = set()
        while errno_of(life.scheme.fevent, consumer, 1) == 0 and len(
            life.scheme._handles[consumer]
        ):
            for code, a, b in life.read(consumer):
                seen.add(code)
                if code == KEY:
                    assert 0 <= b < 512
                    (held.add if b & PRESSED else held.discard)(
                        (b & 0xFF, a if not b & 0xFF else 0)
                    )
        assert not life.scheme._handles[consumer].held, "everything has come up again"
    assert unpack(b"") == []
    assert seen <= {1, 2, 3, 4, 11, 13, 20, 21}
