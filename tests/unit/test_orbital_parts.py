"""The desktop without what it may lack, and what is above all windows."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
from orbital_rig import Memory, at, events, key, open_window, whole

from orbital import pixels, text
from orbital.art import CURSORS, coverage
from orbital.desktop import Desktop
from orbital.pixels import Image, Mask, premultiplied
from orbital.rect import Rect
from redbear_host.abi.scancodes import Key
from redbear_host.errors import ConfigError


def test_without_pixman_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    pixels._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    try:
        with pytest.raises(ConfigError) as raised:
            pixels.require()
    finally:
        pixels._library.cache_clear()
    assert raised.value.hint == "apt install libpixman-1-0"


def test_without_pillow_titles_are_missing_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    text._font.cache_clear()
    text.line.cache_clear()
    try:
        desktop, screen = Desktop(), Memory(200, 150)
        desktop.add_output(screen)
        open_window(desktop, "", (20, 50, 120, 60))
        key(desktop, Key.LEFT_SUPER)
        desktop.draw()
        assert screen.picture() == whole(desktop, cursor=True)
    finally:
        text._font.cache_clear()
        text.line.cache_clear()


def test_a_desktop_without_titles_does_not_wait_for_pillow() -> None:
    script = (
        "import sys; from orbital.desktop import Desktop; Desktop().draw();"
        "print([name for name in ('PIL', 'asyncio', 'socket') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout == "[]\n"


def test_read_only_memory_and_odd_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="bytes for"):
        Image(2, 2, bytes(16))
    with pytest.raises(ValueError, match="rows of 10 bytes"):
        Image(2, 2, bytearray(64), 10)
    with pytest.raises(ValueError, match="rows of 4 bytes"):
        Image(2, 2, bytearray(64), 4)
    with pytest.raises(ValueError, match="a picture of 0 by 2"):
        Mask(0, 2, bytearray(64), 4)


def test_blending_is_that_of_premultiplied_alpha() -> None:
    image, source = Image.new(2, 1), Image.new(2, 1)
    image.fill(Rect(0, 0, 2, 1), 0xFF0000FF)
    source.fill(Rect(0, 0, 1, 1), premultiplied(0x80FF0000))
    image.over(source, 0, 0, Rect(0, 0, 2, 1))
    assert memoryview(image.copied()).cast("I").tolist() == [0xFF80007F, 0xFF0000FF]
    image.copy(source, 0, 0, Rect(1, 0, 1, 1))
    assert memoryview(image.copied()).cast("I").tolist() == [0xFF80007F, 0x80800000]
    image.fill(Rect(-5, -5, 100, 100), 7)
    assert memoryview(image.copied()).cast("I").tolist() == [7, 7]


@pytest.mark.parametrize("shape", CURSORS)
def test_the_outlines_of_cursors_fit_what_they_are_drawn_in(shape: int) -> None:
    outline = CURSORS[shape].outline
    width, height = (int(max(corner[axis] for corner in outline)) + 2 for axis in (0, 1))
    drawn = coverage(outline, width, height, 160)
    assert max(drawn) == 255
    edge = [*drawn[:width], *drawn[-width:], *drawn[::width], *drawn[width - 1 :: width]]
    assert max(edge) == 0, "there is room for a rim"


def test_what_a_frame_costs_is_shown_when_asked() -> None:
    ticks = iter(range(1000))
    desktop, screen = Desktop(now=lambda: next(ticks) / 1000), Memory(200, 100, cursor=(64, 64))
    desktop.add_output(screen)
    desktop.draw()
    before = screen.picture()
    for scancode in (Key.LEFT_SUPER, Key.F12):
        key(desktop, scancode)
    key(desktop, Key.LEFT_SUPER, down=False)
    desktop.draw()
    desktop.repaint()
    desktop.draw()
    assert screen.picture() != before
    assert screen.picture() == whole(desktop)


def test_new_windows_open_where_the_pointer_is() -> None:
    desktop = Desktop()
    desktop.add_output(Memory(400, 300, name="one"))
    desktop.add_output(Memory(400, 300, name="two"))
    assert open_window(desktop).place.right <= 400
    at(desktop, 600, 100)
    assert open_window(desktop).place.x >= 400


def test_a_window_on_the_second_screen_is_told_of_that_one() -> None:
    desktop = Desktop()
    desktop.add_output(Memory(200, 100, name="one"))
    desktop.add_output(Memory(400, 300, name="two"), scale=320)
    window = open_window(desktop, "s", (210, 40, 40, 30))
    assert events(window)[:3] == [("SCALE", 320, 160), ("RESIZE", 80, 60), ("SCREEN", 400, 300)]
