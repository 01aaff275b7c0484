"""Frame buffers of Linux: what is understood of them, and pixels of other shapes."""

from __future__ import annotations

import struct

import pytest

from daemons.fbd.format import NOTHING, parse
from daemons.fbd.screen import Screen
from redbear_host.classes.screen import Area

XRGB = ((16, 8), (8, 8), (0, 8))
RGB565 = ((11, 5), (5, 6), (0, 5))
RGB555 = ((10, 5), (5, 5), (0, 5))


def told(
    bits=32, channels=XRGB, size=(8, 4), pitch=None, offset=(0, 0), kind=0, visual=2, length=None
):
    width, height = size
    pitch = pitch or width * bits // 8
    fields = [value for at, long in (*channels, (0, 0)) for value in (at, long, 0)]
    var = struct.pack("<8I12I", width, height, width, height + offset[1], *offset, bits, 0, *fields)
    fix = bytearray(80)
    fix[:8] = b"EFI VGA\0"
    full = (height + offset[1]) * pitch if length is None else length
    struct.pack_into("<I", fix, 24, full)
    struct.pack_into("<I", fix, 28, kind)
    struct.pack_into("<I", fix, 36, visual)
    struct.pack_into("<I", fix, 48, pitch)
    return var.ljust(160, b"\0"), bytes(fix)


def words(*pixels):
    return memoryview(struct.pack(f"<{len(pixels)}I", *pixels))


def test_the_usual_one_is_drawn_on_without_a_change():
    layout = parse(*told())
    assert (layout.name, layout.width, layout.height, layout.convert) == ("EFI VGA", 8, 4, None)


@pytest.mark.parametrize(
    ("bits", "channels", "expected"),
    [
        (32, ((0, 8), (8, 8), (16, 8)), "11 22 33 00 ff 00 80 00"),
        (24, XRGB, "33 22 11 80 00 ff"),
        (16, RGB565, (0x11 >> 3 << 11 | 0x22 >> 2 << 5 | 0x33 >> 3, 0xFF >> 3 << 11 | 0x80 >> 3)),
        (16, RGB555, (0x11 >> 3 << 10 | 0x22 >> 3 << 5 | 0x33 >> 3, 0xFF >> 3 << 10 | 0x80 >> 3)),
    ],
)
def test_pixels_of_other_shapes_are_converted(bits, channels, expected):
    layout = parse(*told(bits, channels))
    wanted = bytes.fromhex(expected) if isinstance(expected, str) else struct.pack("<2H", *expected)
    assert layout.convert is not None
    assert bytes(layout.convert(words(0x112233, 0xFFFF0080))) == wanted


@pytest.mark.parametrize(
    "more",
    [
        {"kind": 1}, {"visual": 3}, {"bits": 8, "channels": ((0, 8),) * 3}, {"size": (0, 4)},
        {"pitch": 8}, {"length": 100}, {"bits": 32, "channels": ((0, 10), (10, 10), (20, 10))},
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_on_is_refused(more):
    with pytest.raises(ValueError, match=r"\d"):
        parse(*told(**more))


def test_areas_go_where_they_belong_and_only_while_the_terminal_is_ours():
    layout = parse(*told(16, RGB565, pitch=20, offset=(1, 2), size=(8, 4)))
    assert layout.start == 42
    memory = bytearray(layout.length)
    screen = Screen(layout, memoryview(memory), active=False)
    changed, ready = [], []
    screen.on_changed, screen.on_ready = changed.append, ready.append
    pixels = words(*[0xFFFFFF] * 32)
    assert not screen.update(0, pixels, 32, [Area(0, 0, 8, 4)])
    assert not any(memory)
    screen.acquire()
    assert (changed, ready) == ([0], [0])
    assert screen.update(0, pixels, 32, [Area(2, 1, 3, 2)])
    expected = bytearray(layout.length)
    for row in (1, 2):
        at = 42 + row * 20 + 4
        expected[at : at + 6] = b"\xff" * 6
    assert memory == expected
    screen.release()
    assert not screen.update(0, pixels, 32, [Area(0, 0, 1, 1)])


def test_without_a_frame_buffer_there_is_a_display_without_a_monitor():
    screen = Screen(NOTHING, memoryview(bytearray()), active=False)
    assert screen.size(0) == (0, 0)
    assert screen.modes(0) == []
    screen.clear(0)
