"""vncd's updates: what a viewer shows is what was drawn, in every format and encoding."""

from __future__ import annotations

import random

import pytest
from rfb_reader import NATIVE, Picture

from daemons.vncd.cursor import Cursor
from daemons.vncd.messages import Encoding, Outcome, Reason
from daemons.vncd.painter import Painter
from daemons.vncd.pixels import PixelFormat
from daemons.vncd.screen import SIDE, Screen
from redbear_host.classes.screen import Area

FORMATS = {
    "native": NATIVE,
    "rgbx": (32, 24, 0, 1, 255, 255, 255, 0, 8, 16),
    "high bytes": (32, 24, 0, 1, 255, 255, 255, 24, 16, 8),
    "big endian": (32, 24, 1, 1, 255, 255, 255, 16, 8, 0),
    "big endian, high bytes": (32, 24, 1, 1, 255, 255, 255, 24, 16, 8),
    "depth 32": (32, 32, 0, 1, 255, 255, 255, 16, 8, 0),
    "ten bits": (32, 30, 0, 1, 1023, 1023, 1023, 20, 10, 0),
    "565": (16, 16, 0, 1, 31, 63, 31, 11, 5, 0),
    "565 big endian": (16, 16, 1, 1, 31, 63, 31, 11, 5, 0),
    "332": (8, 8, 0, 1, 7, 7, 3, 5, 2, 0),
    "222": (8, 6, 0, 1, 3, 3, 3, 4, 2, 0),
}
COMPRESSED = [Encoding.RAW, Encoding.ZLIB, Encoding.ZRLE]


def drawn(width, height, seed):
    """Make a picture: noise, and areas of one colour; bytes blue, green, red, any."""
    dice = random.Random(seed)
    out = bytearray(dice.randbytes(width * height * 4))
    for _ in range(4):
        colour = dice.randbytes(3) + b"\x55"
        x, y = dice.randrange(width), dice.randrange(height)
        w, h = dice.randint(1, width - x), dice.randint(1, height - y)
        for row in range(y, y + h):
            out[(row * width + x) * 4 : (row * width + x + w) * 4] = colour * w
    return bytes(out)


def shown(data, width, height, pixel_format):
    """What a viewer of a format has to show for a picture."""
    maxima = pixel_format[4:7]

    def pixel(at):
        colours = data[at + 2], data[at + 1], data[at]
        return tuple((v * m + 127) // 255 for v, m in zip(colours, maxima, strict=True))

    return [[pixel((y * width + x) * 4) for x in range(width)] for y in range(height)]


def updates(painter, most=1000):
    """Everything the painter has for its viewer now."""
    pieces = []
    while painter.busy:
        pieces.append(painter.piece())
        assert len(pieces) < most
    return b"".join(pieces)


def all_of(screen):
    return Area(0, 0, screen.width, screen.height)


@pytest.mark.parametrize("encoding", COMPRESSED, ids=lambda one: one.name)
@pytest.mark.parametrize("name", FORMATS)
def test_a_viewer_shows_what_was_drawn(name, encoding):
    width, height = 100, 70  # no multiple of a tile
    screen = Screen(width, height)
    data = drawn(width, height, name)
    painter = Painter(screen, Cursor())
    painter.use_format(PixelFormat(*FORMATS[name]))
    painter.use_encodings([encoding])
    picture = Picture(width, height, FORMATS[name])
    screen.copy(memoryview(data), width * 4, [all_of(screen)])
    painter.ask(all_of(screen), incremental=False)
    picture.take(updates(painter))
    assert picture.rows == shown(data, width, height, FORMATS[name])


@pytest.mark.parametrize("encoding", COMPRESSED, ids=lambda one: one.name)
def test_what_changes_while_an_update_is_sent_is_not_lost(encoding):
    dice = random.Random(7)
    width, height = 150, 100
    screen = Screen(width, height)
    painter = Painter(screen, Cursor())
    painter.use_encodings([encoding])
    picture = Picture(width, height)
    now = bytearray(width * height * 4)
    sent = b""
    painter.ask(all_of(screen), incremental=False)
    for round_ in range(60):
        data = drawn(width, height, round_)
        x, y = dice.randrange(width), dice.randrange(height)
        area = Area(x, y, dice.randint(1, width - x), dice.randint(1, height - y))
        for row in range(area.y, area.y + area.height):
            at = slice((row * width + area.x) * 4, (row * width + area.x + area.width) * 4)
            now[at] = data[at]
        painter.changed(screen.copy(memoryview(data), width * 4, [area]))
        for _ in range(dice.randrange(3)):
            if painter.busy:
                sent += painter.piece()
        if not painter.busy or dice.random() < 0.2:
            painter.ask(all_of(screen), incremental=True)
    painter.ask(all_of(screen), incremental=True)
    sent += updates(painter)
    painter.ask(all_of(screen), incremental=True)
    sent += updates(painter)
    picture.take(sent)
    assert picture.rows == shown(bytes(now), width, height, NATIVE)


def test_only_tiles_that_look_different_are_sent():
    screen = Screen(640, 480)
    data = bytearray(drawn(640, 480, 1))
    painter = Painter(screen, Cursor())
    painter.use_encodings([Encoding.ZRLE])
    picture = Picture(640, 480)
    screen.copy(memoryview(data), 640 * 4, [all_of(screen)])
    painter.ask(all_of(screen), incremental=False)
    picture.take(updates(painter))
    assert picture.tiles == 10 * 8
    painter.ask(all_of(screen), incremental=True)
    painter.changed(screen.copy(memoryview(data), 640 * 4, [all_of(screen)]))  # as it was
    assert not painter.busy
    at = (100 * 640 + 130) * 4
    data[at] ^= 0xFF
    painter.changed(screen.copy(memoryview(data), 640 * 4, [all_of(screen)]))
    picture.take(updates(painter))
    assert picture.tiles == 10 * 8 + 1
    assert picture.rows == shown(data, 640, 480, NATIVE)


def test_nothing_is_sent_before_it_is_asked_for():
    screen = Screen(128, 128)
    painter = Painter(screen, Cursor())
    painter.changed(screen.all)
    assert not painter.busy
    painter.ask(Area(64, 64, 64, 64), incremental=True)
    picture = Picture(128, 128)
    picture.take(updates(painter))
    assert not painter.busy
    painter.ask(all_of(screen), incremental=True)
    assert painter.busy


def test_with_continuous_updates_nobody_asks():
    screen = Screen(64, 64)
    painter = Painter(screen, Cursor())
    painter.ask_steadily(all_of(screen))
    for _ in range(3):
        painter.changed(1)
        assert painter.busy
        updates(painter)
    painter.ask_steadily(None)
    painter.changed(1)
    assert not painter.busy


@pytest.mark.parametrize(
    "can", [[], [Encoding.DESKTOP_SIZE], [Encoding.EXTENDED_DESKTOP_SIZE]], ids=["no", "old", "new"]
)
@pytest.mark.parametrize("size", [(300, 200), (70, 60), (128, 300)])
def test_a_viewer_follows_the_size_as_far_as_he_can(can, size):
    dice = random.Random(5)
    screen = Screen(160, 130)
    data = drawn(160, 130, 3)
    screen.copy(memoryview(data), 160 * 4, [all_of(screen)])
    painter = Painter(screen, Cursor())
    painter.use_encodings([Encoding.ZRLE, *can])
    picture = Picture(160, 130)
    painter.ask(all_of(screen), incremental=False)
    sent = painter.piece()  # in the middle of an update
    screen.resize(*size)
    painter.resized(Reason.SERVER)
    data = drawn(*size, 4)
    painter.changed(screen.copy(memoryview(data), size[0] * 4, [all_of(screen)]))
    sent += updates(painter)
    for _ in range(3):
        painter.ask(Area(0, 0, picture.width, picture.height), incremental=bool(dice.randrange(2)))
        sent += updates(painter)
    picture.take(sent)
    for _ in range(2):
        painter.ask(Area(0, 0, picture.width, picture.height), incremental=True)
        picture.take(updates(painter))
    wanted = shown(data, *size, NATIVE)
    assert (picture.width, picture.height) == (size if can else (160, 130))
    wide, high = min(size[0], picture.width), min(size[1], picture.height)
    assert [row[:wide] for row in picture.rows[:high]] == [row[:wide] for row in wanted[:high]]
    beyond = [pixel for row in picture.rows[high:] for pixel in row]
    beyond += [pixel for row in picture.rows for pixel in row[wide:]]
    assert set(beyond) <= {(0, 0, 0)}


def test_a_wish_for_a_size_is_answered():
    screen = Screen(64, 64)
    painter = Painter(screen, Cursor())
    painter.use_encodings([Encoding.EXTENDED_DESKTOP_SIZE])
    painter.ask(all_of(screen), incremental=False)
    picture = Picture(64, 64)
    picture.take(updates(painter))
    painter.answered(Outcome.PROHIBITED)
    painter.ask(all_of(screen), incremental=True)
    picture.take(updates(painter))
    assert [one[:5] for one in picture.pseudo] == [(0, 0, 64, 64, -308), (1, 1, 64, 64, -308)]


def arrow():
    """A cursor: 10 by 10 white pixels, half of them half transparent; hot spot 2, 3."""
    image = bytearray(SIDE * SIDE * 4)
    for y in range(10):
        for x in range(10):
            at = (y * SIDE + x) * 4
            image[at : at + 4] = b"\xff\xff\xff\xff" if x < 5 else b"\x80\x80\x80\x80"
    return Cursor(bytes(image), 2, 3, 0, 0, False)


def test_the_cursor_is_drawn_for_who_does_not_draw_it():
    screen = Screen(100, 100)
    painter = Painter(screen, Cursor())
    painter.use_encodings([Encoding.RAW])
    picture = Picture(100, 100)
    cursor = arrow()
    for x, y in ((50, 60), (0, 0), (99, 99), (63, 64)):
        cursor = cursor._replace(x=x, y=y, visible=True)
        painter.show_cursor(cursor)
        painter.ask(all_of(screen), incremental=True)
        picture.take(updates(painter))
        white = {
            (i, j)
            for j, row in enumerate(picture.rows)
            for i, pixel in enumerate(row)
            if pixel == (255, 255, 255)
        }
        assert white == {
            (i, j)
            for i in range(max(0, x - 2), min(100, x + 3))
            for j in range(max(0, y - 3), min(100, y + 7))
        }
    painter.show_cursor(cursor._replace(visible=False))
    painter.ask(all_of(screen), incremental=True)
    picture.take(updates(painter))
    assert picture.rows == [[(0, 0, 0)] * 100] * 100


def test_who_draws_the_cursor_gets_its_picture_once():
    screen = Screen(100, 100)
    cursor = arrow()._replace(visible=True)
    painter = Painter(screen, cursor)
    painter.use_encodings([Encoding.RAW, Encoding.CURSOR, Encoding.ALPHA_CURSOR])
    picture = Picture(100, 100)
    painter.ask(all_of(screen), incremental=False)
    picture.take(updates(painter))
    (x, y, w, h, encoding, data), *others = picture.pseudo
    assert (x, y, w, h, encoding, others) == (2, 3, 64, 64, -314, [])
    assert data[:4] == b"\xff\xff\xff\xff"
    assert data[5 * 4 : 6 * 4] == b"\x80\x80\x80\x80"
    painter.ask(all_of(screen), incremental=True)
    painter.show_cursor(cursor._replace(x=40, y=40))  # moved by himself, or by another
    assert not painter.busy


def test_who_knows_no_alpha_gets_a_mask():
    screen = Screen(100, 100)
    painter = Painter(screen, arrow()._replace(visible=True))
    painter.use_encodings([Encoding.RAW, Encoding.CURSOR])
    picture = Picture(100, 100)
    painter.ask(all_of(screen), incremental=False)
    picture.take(updates(painter))
    ((x, y, w, h, encoding, data),) = picture.pseudo
    assert (x, y, w, h, encoding) == (2, 3, 64, 64, -239)
    pixels, mask = data[: 64 * 64 * 4], data[64 * 64 * 4 :]
    assert pixels[5 * 4 : 5 * 4 + 3] == b"\xff\xff\xff"  # no longer multiplied with alpha
    assert mask == (b"\xff\xc0" + bytes(6)) * 10 + bytes(8 * 54)
