"""vesad's driver on a card of lists: modes, two buffers, what a successor takes over."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from daemons.vesad.driver import Card, Wishes
from redbear_host.classes.screen import Area
from redbear_host.errors import DeviceError, Gone

MIB = 1 << 20


class Vga:
    """The registers and the memory of a Bochs display."""

    def __init__(self, room=16 * MIB, version=0xB0C5):
        self.size = 0x1000
        self.address = "0000:00:04.0"
        self.ids = SimpleNamespace(class_code=0x030000)
        self.words = [version, 0, 0, 0, 0, 0, 0, 0, 0, 0, room >> 16]
        self.frame = bytearray(room)
        self.flips = []
        self.unblanked = 0
        self.pulled = False
        self.widest = 1 << 16  # pixels of a row: what is more is cut

    def bar(self, index):
        assert index == 2
        return self

    def memory(self, index):
        assert index == 0
        return SimpleNamespace(size=len(self.frame), write=self.put, clear=self.zero)

    def put(self, offset, data):
        assert offset + len(data) <= len(self.frame)
        self.frame[offset : offset + len(data)] = data

    def zero(self, offset, size):
        self.frame[offset : offset + size] = bytes(size)

    def read8(self, offset):
        return 0xFF if offset < 0x400 else 0

    def write8(self, offset, value):
        self.unblanked += (offset, value) == (0x400, 0x20)

    def read16(self, offset):
        return 0xFFFF if self.pulled else self.words[(offset - 0x500) // 2]

    def write16(self, offset, value):
        index = (offset - 0x500) // 2
        if index in (1, 2, 3):
            assert not self.words[4] & 1, "a mode was changed while it was enabled"
        if index == 9 and value != self.words[9]:
            self.flips.append(value)
        self.words[index] = min(value, self.widest) if index in (1, 6) else value

    @property
    def seen(self):
        width, height, start = self.words[1], self.words[2], self.words[9]
        return bytes(self.frame[start * width * 4 : (start + height) * width * 4])


def draw(card, pixels, *areas):
    width, height = card.size(0)
    whole = areas or (Area(0, 0, width, height),)
    return card.update(0, memoryview(pixels), width * 4, whole)


@pytest.mark.parametrize("size", [0x10, 0x400, 0x514])
def test_a_card_with_too_few_registers_is_refused(size):
    vga = Vga()
    vga.size = size
    with pytest.raises(DeviceError, match="bytes"):
        Card(vga, Wishes())


def test_a_mode_that_the_card_does_not_take_leaves_the_one_before(caplog):
    vga = Vga()
    vga.widest = 1200
    card = Card(vga, Wishes())
    card.start()
    changed = []
    card.on_changed = changed.append
    card.set_mode(0, 1280, 720)
    assert "does not take 1280x720" in caplog.text
    assert card.size(0) == (1024, 768)
    assert vga.words[1:5] == [1024, 768, 32, 0xC1]
    assert changed == [0]  # its picture is to be drawn again
    pixels = bytes(range(256)) * (1024 * 768 * 4 // 256)
    assert draw(card, pixels)
    assert vga.seen == pixels


def test_a_card_that_leaves_while_a_mode_is_set_has_left():
    vga = Vga()
    card = Card(vga, Wishes())
    card.start()
    vga.pulled = True
    card.set_mode(0, 640, 480)
    assert card.left
    assert card.size(0) == (0, 0)
    assert draw(card, b"")


def test_a_card_that_takes_no_mode_at_all_says_so():
    vga = Vga()
    vga.widest = 16
    with pytest.raises(DeviceError, match="1024x768"):
        Card(vga, Wishes()).start()


def test_without_a_description_it_begins_with_a_usual_size():
    vga = Vga()
    card = Card(vga, Wishes())
    card.start()
    assert card.size(0) == (1024, 768)
    assert vga.words[1:5] == [1024, 768, 32, 0xC1]
    assert vga.words[6:8] == [1024, 1536]
    assert vga.unblanked == 1
    assert card.edid(0) == b""


@pytest.mark.parametrize(("mode", "expected"), [("800x600", (800, 600)), ("7x7", (1024, 768))])
def test_a_mode_that_was_wished_for_comes_first(mode, expected):
    card = Card(Vga(), Wishes(mode=mode))
    card.start()
    assert card.size(0) == expected
    assert card.modes(0)[0].preferred


def test_modes_are_those_that_there_is_memory_for():
    found = Card(Vga(4 * MIB), Wishes()).modes(0)
    assert found
    assert all(mode.width * mode.height * 4 <= 4 * MIB and not mode.width % 8 for mode in found)
    with pytest.raises(DeviceError, match="too few"):
        Card(Vga(1 << 16), Wishes())


@pytest.mark.parametrize(("room", "buffers"), [(16 * MIB, 2), (16 * MIB, 1), (4 * MIB, 2)])
def test_whatever_is_drawn_is_what_is_seen_in_whole_pictures(room, buffers):
    vga = Vga(room)
    card = Card(vga, Wishes(mode="640x480", buffers=buffers))
    card.start()
    chance = random.Random(room + buffers)
    pixels = bytearray(640 * 480 * 4)
    for _ in range(60):
        areas = []
        for _ in range(chance.randint(1, 4)):
            x, y = chance.randrange(640), chance.randrange(480)
            area = Area(x, y, chance.randint(1, 640 - x), chance.randint(1, 480 - y))
            for row in range(area.y, area.y + area.height):
                at = (row * 640 + area.x) * 4
                pixels[at : at + area.width * 4] = bytes([chance.randrange(256)]) * (area.width * 4)
            areas.append(area)
        assert draw(card, pixels, *areas)
        assert vga.seen == pixels
    assert len(vga.flips) == (60 if buffers == 2 else 0)


def test_a_successor_takes_the_card_over_as_it_is():
    vga = Vga()
    card = Card(vga, Wishes(mode="640x480"))
    card.start()
    first = random.Random(1).randbytes(640 * 480 * 4)
    draw(card, first)
    successor = Card(vga, Wishes())
    successor.start(inherited=True)
    assert successor.size(0) == (640, 480)
    assert vga.seen == first
    second = random.Random(2).randbytes(640 * 480 * 4)
    for area in (Area(5, 5, 10, 10), Area(0, 0, 640, 480), Area(1, 1, 1, 1)):
        draw(successor, second, area)
    assert vga.seen == second


@pytest.mark.parametrize(
    ("register", "value"), [(1, 641), (3, 16), (4, 0), (6, 1024), (8, 3), (9, 100), (9, 960)]
)
def test_a_card_in_a_state_that_is_not_ours_is_set_up_anew(register, value):
    vga = Vga()
    card = Card(vga, Wishes(mode="640x480"))
    card.start()
    vga.words[register] = value
    successor = Card(vga, Wishes())
    successor.start(inherited=True)
    assert successor.size(0) == (1024, 768)


def test_what_is_no_such_card_is_refused():
    with pytest.raises(Gone):
        Card(Vga(version=0xFFFF), Wishes())
    with pytest.raises(DeviceError, match="0xb0c0"):
        Card(Vga(version=0xB0C0), Wishes())


def test_a_card_that_has_left_takes_what_nobody_sees():
    card = Card(Vga(), Wishes())
    card.start()
    card.gone()
    assert card.size(0) == (0, 0)
    assert card.update(0, memoryview(b""), 4, [])
    card.clear(0)
    card.stop()
