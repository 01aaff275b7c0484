"""Pictures that come in pieces, from programs that write files."""

from __future__ import annotations

import random

import pytest
from PIL import Image

from orbital.picture import PIECE_LEAST, Picture
from orbital.png import encode
from orbital.rect import Rect

WIDTH, HEIGHT = 64, 48
SIZE = WIDTH * HEIGHT * 4


def picture(rgba=False, width=WIDTH, height=HEIGHT):
    memory = bytearray(width * height * 4)
    return memory, Picture(memory, width, height, rgba)


def written(into, data):
    return into.write(memoryview(data))


@pytest.mark.parametrize("piece", [1, 3, 100, 4096, 5000, SIZE - 1, SIZE])
@pytest.mark.parametrize("rgba", [False, True])
def test_pieces_of_any_length_make_one_picture(piece, rgba):
    data = random.Random(piece).randbytes(SIZE)
    memory, into = picture(rgba)
    rows = set()
    for at in range(0, SIZE, piece):
        for rect in written(into, data[at : at + piece]):
            rows |= set(range(rect.y, rect.bottom))
    pixels = [data[at : at + 4] for at in range(0, SIZE, 4)]
    turned = b"".join(bytes((b, g, r, a)) for r, g, b, a in pixels)
    assert bytes(memory) == (turned if rgba else data)
    assert rows == set(range(HEIGHT))


def test_behind_the_last_row_another_picture_begins():
    memory, into = picture()
    film = random.Random(1).randbytes(3 * SIZE)
    for at in range(0, len(film), 1000):
        written(into, film[at : at + 1000])
    assert bytes(memory) == film[2 * SIZE :]


@pytest.mark.parametrize("rgba", [False, True])
def test_a_long_piece_in_a_tiny_picture_is_written_once_and_not_thousands_of_times(rgba):
    film = random.Random(2).randbytes((1 << 20) + 6)
    memory, into = picture(rgba, 3, 1)
    again, in_pieces = picture(rgba, 3, 1)
    for at in range(0, len(film), 1000):
        written(in_pieces, film[at : at + 1000])
    assert len(written(into, film)) <= 3
    assert memory == again
    written(into, b"rest")  # goes on where the film has ended
    written(in_pieces, b"rest")
    assert memory == again


def test_only_the_rows_that_were_written_are_told():
    _, into = picture()
    assert written(into, bytes(WIDTH * 4)) == [Rect(0, 0, WIDTH, 1)]
    assert written(into, bytes(WIDTH * 4 + 4)) == [Rect(0, 1, WIDTH, 2)]
    assert into.put(WIDTH * 4 * 10 + 8, memoryview(bytes(4))) == Rect(0, 10, WIDTH, 1)


def test_what_is_as_long_as_the_picture_is_one_and_begins_at_the_top():
    memory, into = picture()
    written(into, b"\1" * 8192)
    written(into, b"\2" * SIZE)
    assert bytes(memory) == b"\2" * SIZE
    assert into.takes(memoryview(b"T" * SIZE), pieces=False)


@pytest.mark.parametrize(
    ("data", "whole", "pieces"),
    [
        (b"T,title", False, False),
        (b"hello", False, False),
        (b"\0" * PIECE_LEAST, False, True),
        (b"\0" * WIDTH * 4, False, True),
        (b"\0" * (WIDTH * 4 - 1), False, False),
        (b"T," + b"x" * 8000, False, False),
        (b"T," + b"x" * 70000, False, True),
        (b"", False, False),
    ],
)
def test_commands_and_pictures_are_told_apart(data, whole, pieces):
    _, into = picture(width=128, height=128)
    _, small = picture()
    view = memoryview(data)
    assert into.takes(view, pieces=False) is whole
    assert small.takes(view, pieces=True) is pieces


def test_what_goes_on_with_a_picture_is_never_a_command():
    _, into = picture()
    written(into, b"\0" * 4096)
    assert into.takes(memoryview(b"T,no title"), pieces=True)
    into.begin()
    assert not into.takes(memoryview(b"T,a title"), pieces=True)


def test_a_window_without_pixels_takes_none():
    _, into = picture(width=0, height=0)
    assert not into.takes(memoryview(b"\0" * 8192), pieces=True)


def test_a_png_holds_the_colours(tmp_path):
    rows = bytes((n * 7) & 0xFF for n in range(5 * 3 * 4))
    padded = b"".join(rows[at : at + 20] + b"xxxx" for at in range(0, 60, 20))
    file = tmp_path / "a.png"
    file.write_bytes(encode(padded, 5, 3, 24))
    with Image.open(file) as found:
        assert found.convert("RGB").tobytes("raw", "RGB") == b"".join(
            bytes((r, g, b)) for b, g, r, _ in zip(*[iter(rows)] * 4, strict=True)
        )
