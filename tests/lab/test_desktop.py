"""A whole desktop, used as a person would: by a VNC viewer, and looked at in a browser."""

from __future__ import annotations

import time

import pytest
from chromium_rig import Chromium
from desk_rig import Desk
from PIL import Image, ImageChops
from vnc_rig import desk

pytestmark = pytest.mark.timeout(180)

WIDTH, HEIGHT = 800, 600
SETTINGS = f"""
[daemon.vncd]
port = 0
web_port = 0
width = {WIDTH}
height = {HEIGHT}
"""


@pytest.fixture(scope="module")
def viewer():
    with desk(SETTINGS, sits=False) as found:
        yield found


def wall(folder):
    path = folder / "wall.png"
    Image.linear_gradient("L").convert("RGB").resize((WIDTH, HEIGHT)).save(path)
    return path


def test_vi_in_orbterm_is_typed_into_through_vnc(viewer, tmp_path):
    here = Desk(viewer.up)
    letter = tmp_path / "letter"
    with here.program("orbterm", "--", "vi", letter.name, cwd=tmp_path) as term:
        number, *_ = here.window("vi")
        here.wait(lambda: blue_tildes(here, number) == 22)
        viewer.vncdo("type", "iWindows (of bears), 100% real; by VNC!", "key", "enter")
        viewer.vncdo("type", "second line", "key", "esc", "type", ":wq", "key", "enter")
        assert term.wait(20) == 0
    assert letter.read_text() == "Windows (of bears), 100% real; by VNC!\nsecond line\n"


def blue_tildes(here, number):
    """Count vi's rows without text: a tilde in blue at the left of each."""
    seen = here.shot(f"window/{number}.png").crop((0, 0, 8, 408))
    rows = (seen.crop((0, top, 8, top + 17)).getcolors() for top in range(0, 408, 17))
    return sum(any(blue > 150 > red for _, (red, _, blue) in row) for row in rows)


def test_a_browser_shows_the_desktop_that_a_viewer_and_a_screenshot_show(viewer, tmp_path):
    here = Desk(viewer.up)
    with (
        here.program("background", wall(tmp_path), "--mode", "fill"),
        here.program("orbterm", "--size", "40x10", "--", "sh", "-c", "echo Hello; sleep 1000"),
        here.program("clock", "--form", "12:34:56"),
        Chromium(tmp_path / "chromium", WIDTH, HEIGHT) as browser,
    ):
        here.window("Clock")
        here.window("sh")
        here.wait(lambda: here.shot().getpixel((WIDTH // 2, HEIGHT - 2))[0] > 240)
        # Viewers draw the pointer themselves: it is put into the corner, which is left out.
        corner_left_out = (40, 40, WIDTH, HEIGHT)
        viewer.vncdo("move", 5, 5)
        seen = settled(here)
        # A program may draw on just then.
        here.wait(
            lambda: alike(viewer.captured(tmp_path, "move", 5, 5), here.shot(), corner_left_out)
        )
        browser.visit(viewer.ways["url"])
        here.wait(lambda: alike(browser.picture(), here.shot(), corner_left_out))
        assert len(seen.getcolors(1 << 20)) > 200  # a gradient, letters, windows


def settled(here):
    """Wait until looks are the same for half a second; return what is seen."""
    before, since = here.shot(), time.monotonic()
    while time.monotonic() < since + 0.5:
        after = here.shot()
        if ImageChops.difference(before, after).getbbox() is not None:
            before, since = after, time.monotonic()
    return before


def alike(one, other, box):
    difference = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).crop(box)
    return difference.getbbox() is None
