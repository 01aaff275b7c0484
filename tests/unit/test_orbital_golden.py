"""Small scenes, pixel for pixel as somebody once looked at them (tests/golden/orbital).

`python tests/unit/test_orbital_golden.py` draws all of them anew, to be looked at.  Letters are
left out of what is compared, because each FreeType sets them a little differently: titles are
compared by where there is ink.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from orbital_rig import GOLDEN, Memory, at, key, open_window, pixels_of
from PIL import Image, ImageChops, ImageFilter

from orbital.desktop import Desktop
from orbital.theme import Theme
from orbital.window import Window
from redbear_host.abi.orbital import WindowFlag as F
from redbear_host.abi.scancodes import Key

SIZE = (320, 240)
_NEAR = 24  # levels of a colour by which two rasters of one letter may differ, once smoothed


def desk(scale: int = 160, theme: Theme | None = None) -> Desktop:
    desktop = Desktop(theme or Theme(background_color=0xFF204060))
    desktop.add_output(Memory(*SIZE), scale=scale)
    at(desktop, 10**6, 10**6)
    return desktop


def stripes(window: Window, words: tuple[int, ...]) -> None:
    """Fill a window with stripes, by which scaling and offsets are seen."""
    memory, width = pixels_of(window), window.width
    for row in range(window.height):
        for column in range(width):
            word = words[(column // 4 + row // 4) % len(words)]
            start = (row * width + column) * 4
            memory[start : start + 4] = word.to_bytes(4, "little")


def decorations() -> Desktop:
    desktop = desk()
    open_window(desktop, "r", (20, 60, 150, 60), 0xFF802020)
    open_window(desktop, "u", (190, 60, 110, 60), 0xFF208020)
    open_window(desktop, "l", (20, 160, 80, 40), 0xFF202080)
    open_window(
        desktop, "", (130, 170, 150, 40), 0xFFC0C0C0, "a title that is much too long for it"
    )
    return desktop


def alpha() -> Desktop:
    desktop = desk()
    open_window(desktop, "l", (20, 20, 160, 120), 0xFFE0E0E0)
    window = open_window(desktop, "tl", (80, 60, 160, 120))
    stripes(window, (0x80008000, 0x00000000, 0xFF000080))
    open_window(desktop, "t", (120, 120, 150, 90), 0x60600000)
    return desktop


def cascade() -> Desktop:
    desktop = desk()
    for number in range(4):
        open_window(desktop, "r", (-1, -1, 140, 60), 0xFF303030 + number * 0x202020)
    return desktop


def choosing() -> Desktop:
    desktop = cascade()
    key(desktop, Key.LEFT_SUPER)
    key(desktop, Key.TAB)
    return desktop


def help_shown() -> Desktop:
    desktop = Desktop()
    desktop.add_output(Memory(360, 300))
    key(desktop, Key.LEFT_SUPER)
    return desktop


def scaled() -> Desktop:
    desktop = desk(240)
    stripes(open_window(desktop, "", (10, 40, 80, 60)), (0xFFFF0000, 0xFFFFFFFF))
    stripes(open_window(desktop, "s", (110, 40, 120, 90)), (0xFF0000FF, 0xFFFFFFFF))
    open_window(desktop, "l", (10, 120, 60, 30), 0xFF00FF00)
    at(desktop, 100, 130)
    return desktop


def cursors() -> Desktop:
    desktop = desk(320)
    window = open_window(desktop, "rl", (20, 20, 80, 60), 0xFFE0E0E0)
    at(desktop, 103, 83)
    desktop.focus(window)
    return desktop


def arrow() -> Desktop:
    desktop = desk()
    open_window(desktop, "l", (20, 20, 80, 60), 0xFFE0E0E0)
    at(desktop, 60, 40)
    return desktop


def damage() -> Desktop:
    desktop = desk()
    key(desktop, Key.LEFT_SUPER)
    key(desktop, Key.F10)
    key(desktop, Key.LEFT_SUPER, down=False)
    window = open_window(desktop, "l", (20, 20, 160, 120), 0xFFE0E0E0)
    desktop.draw()
    desktop.draw()
    desktop.put(window, 120, 90)
    return desktop


SCENES: dict[str, Callable[[], Desktop]] = {
    "decorations": decorations,
    "alpha": alpha,
    "cascade": cascade,
    "choosing": choosing,
    "help": help_shown,
    "scaled": scaled,
    "cursors": cursors,
    "arrow": arrow,
    "damage": damage,
}


def drawn(desktop: Desktop) -> Image.Image:
    """What the output shows after one frame."""
    desktop.draw()
    output = next(iter(desktop.layout)).output
    assert isinstance(output, Memory)
    return Image.frombuffer("RGB", output.size, output.picture(), "raw", "BGRX", 0, 1)


def far(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of a colour once letters are smoothed away."""
    smooth = ImageFilter.BoxBlur(3)
    difference = ImageChops.difference(one.filter(smooth), other.filter(smooth))
    return max(high for _, high in difference.getextrema())


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_looks_as_it_did(name: str) -> None:
    with Image.open(GOLDEN / f"{name}.png") as file:
        golden = file.convert("RGB")
    picture = drawn(SCENES[name]())
    assert picture.size == golden.size
    assert far(picture, golden) <= _NEAR


@pytest.mark.parametrize("name", ["alpha", "scaled", "cursors", "arrow"])
def test_what_has_no_letters_is_the_same_to_the_last_bit(name: str) -> None:
    with Image.open(GOLDEN / f"{name}.png") as file:
        golden = file.convert("RGB")
    picture = drawn(SCENES[name]())
    boxes = {
        "alpha": (20, 20, 120, 92),
        "scaled": (0, 60, 320, 240),
        "cursors": (0, 0, 320, 240),
        "arrow": (0, 0, 320, 240),
    }
    assert picture.crop(boxes[name]).tobytes() == golden.crop(boxes[name]).tobytes()


def test_a_theme_changes_what_is_drawn() -> None:
    pictures = {"window_close": _png((16, 16), (0, 255, 0, 255)), "cursor": b"no picture"}
    theme = Theme(background_color=0xFF010203, bar_highlight_color=0xFFFF0000, pictures=pictures)
    desktop = desk(theme=theme)
    open_window(desktop, "l", (0, 0, 10, 10))
    window = open_window(desktop, "", (50, 60, 100, 50))
    picture = drawn(desktop)
    assert picture.getpixel((310, 10)) == (1, 2, 3)
    assert picture.getpixel((52, 34)) == (255, 0, 0)
    assert picture.getpixel((window.place.right - 8, 46)) == (0, 255, 0)


def test_one_bad_setting_costs_only_that_setting() -> None:
    def read(path: str) -> bytes:
        if path != "/ui/good.png":
            raise FileNotFoundError(2, "no such file", path)
        return b"picture"

    theme = Theme.parse(
        """
        background_color = { data = 0xFF112233 }
        bar_color = "red"
        text_color = { data = 0x1FFFFFFFF }
        cursor = "/ui/good.png"
        window_max = "/ui/missing.png"
        window_close = 7
        wallpaper = "x"
        """,
        read,
    )
    assert theme.background_color == 0xFF112233
    assert theme.bar_color == Theme().bar_color
    assert theme.pictures == {"cursor": b"picture"}
    assert [one.split(": ")[1] for one in theme.complaints] == [
        "bar_color",
        "text_color",
        "window_max",
        "window_close",
        "there is no setting 'wallpaper'",
    ]
    assert Theme.parse("x = = 1", read).complaints


def test_flags_that_hide_or_show_a_frame_are_seen_at_once() -> None:
    desktop = desk()
    window = open_window(desktop, "", (50, 60, 100, 50), 0xFFFFFFFF)
    before = drawn(desktop)
    desktop.set_flags(window, F.BORDERLESS, True)
    assert before.getpixel((60, 40)) != (0x20, 0x40, 0x60)
    assert drawn(desktop).getpixel((60, 40)) == (0x20, 0x40, 0x60)


def _png(size: tuple[int, int], colour: tuple[int, int, int, int]) -> bytes:
    import io

    file = io.BytesIO()
    Image.new("RGBA", size, colour).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for scene in sys.argv[1:] or SCENES:
        drawn(SCENES[scene]()).save(GOLDEN / f"{scene}.png", optimize=True)
