"""Terminal, launcher, background, clock and viewers, as somebody who sits there sees them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from desk_rig import desk
from PIL import Image, ImageChops

from orbital.pixels import Image as Picture
from orbital.programs.letters import Letters
from orbital.programs.paint import BACK, TEXT
from orbital.rect import Rect
from redbear_host.abi.orbital import PRESSED, EventCode

pytestmark = pytest.mark.timeout(120)

CTRL = 0x1D


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with desk(tmp_path_factory.mktemp("desk"), size="800x600") as it:
        yield it


def drawn(text: str) -> Image.Image:
    """Draw what a line of a terminal looks like."""
    letters = Letters(14)
    memory = bytearray(len(text) * letters.width * letters.height * 4)
    picture = Picture(len(text) * letters.width, letters.height, memory)
    picture.fill(Rect(0, 0, picture.width, picture.height), BACK)
    for column, letter in enumerate(text):
        mask = letters.mask(letter)
        if mask is not None:
            place = Rect(column * letters.width, 0, mask.width, letters.height)
            picture.write(mask, 0, 0, place, TEXT)
    size = picture.width, picture.height
    picture.close()
    return Image.frombytes("RGB", size, bytes(memory), "raw", "BGRX")


def shows(here, number: int, row: int, text: str) -> bool:
    """Tell whether a window of letters has a text at the beginning of a row."""
    wanted = drawn(text)
    top = row * wanted.height
    seen = here.shot(f"window/{number}.png").crop((0, top, wanted.width, top + wanted.height))
    return ImageChops.difference(seen, wanted).getbbox() is None


def control(here, letter: str) -> None:
    code = {"c": 0x2E, "d": 0x20}[letter]
    here.input(*((EventCode.KEY, 0, it) for it in (CTRL | PRESSED, code | PRESSED, code, CTRL)))


def test_a_shell_in_a_window_does_what_is_typed(here, tmp_path):
    with here.program("orbterm", "--", "sh", cwd=tmp_path) as term:
        number, *_ = here.window("sh")
        here.wait(lambda: shows(here, number, 0, "#"))
        here.type("echo Hello > said; echo 'a~b'\n")
        here.wait(lambda: (tmp_path / "said").exists())
        here.wait(lambda: shows(here, number, 1, "a~b"))
        assert (tmp_path / "said").read_text() == "Hello\n"
        here.type("sleep 100\n")
        here.wait(lambda: shows(here, number, 2, "# sleep 100"))
        control(here, "c")
        here.type("stty size > size\n")
        here.wait(lambda: (tmp_path / "size").exists() and (tmp_path / "size").read_text())
        assert (tmp_path / "size").read_text() == "24 80\n"
        here.type("exit 3\n")
        assert term.wait(10) == 3


def test_vi_edits_a_file(here, tmp_path):
    file = tmp_path / "letter"
    # A vt100 is asked nothing: what is typed while vi waits for xterm's answers is lost.
    vi = ("env", "TERM=vt100", "vi", file.name)
    with here.program("orbterm", "--", *vi, cwd=tmp_path) as term:
        number, *_ = here.window("env")
        here.wait(lambda: shows(here, number, 23, '"letter" [New'))
        here.type("iDear Orbital,\nit works.\x1b")
        here.wait(lambda: shows(here, number, 1, "it works"))
        here.type(":wq\n")
        assert term.wait(10) == 0
    assert file.read_text() == "Dear Orbital,\nit works.\n"


def test_a_terminal_takes_the_size_that_its_window_is_given(here, tmp_path):
    with here.program("orbterm", "--size", "40x10", "--", "sh", cwd=tmp_path):
        number, _, _, width, height = here.window("sh")
        letters = Letters(14)
        assert (width, height) == (40 * letters.width, 10 * letters.height)
        here.wait(lambda: shows(here, number, 0, "#"))
        # Super and M: as large as there is room.
        here.input(*((EventCode.KEY, 0, it) for it in (0x5B | PRESSED, 0x32 | PRESSED)))
        here.input(*((EventCode.KEY, 0, it) for it in (0x32, 0x5B)))
        here.wait(lambda: here.window("sh")[3] > width)
        _, _, _, width, height = here.window("sh")
        here.type("stty size > size\n")
        here.wait(lambda: (tmp_path / "size").exists() and (tmp_path / "size").read_text())
        rows, columns = map(int, (tmp_path / "size").read_text().split())
        assert (columns, rows) == (width // letters.width, height // letters.height)


def test_a_terminal_where_there_is_no_pty_says_so(here):
    environment = {**here.environment, "REDBEAR_SCHEME": "/nowhere"}
    code = "from orbital.programs.orbterm import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 3
    assert "there is no terminal at /nowhere/pty" in done.stderr
    assert "hint: is redbear-host up?" in done.stderr
    environment = {**here.environment, "ORBITAL_DISPLAY": "/scheme/nosuch"}
    code = "from orbital.programs.clock import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 3
    assert "hint: windows are at $ORBITAL_DISPLAY" in done.stderr


def test_a_background_is_as_large_as_its_display_and_behind_all(here, tmp_path):
    path = tmp_path / "wall.png"
    Image.new("RGB", (8, 6), (10, 120, 30)).save(path)
    with here.program("background", path, "--mode", "fill"):
        here.wait(lambda: here.shot().getpixel((1, 1)) == (10, 120, 30))
        with here.program("clock", "--form", "12:34:56"):
            here.window("Clock")
            lines = here.wait(lambda: len(here.lines()) == 2 and here.lines())
            assert lines[1].split()[1:3] == ["800x600", "0,0"]
        assert here.shot().getpixel((799, 599)) == (10, 120, 30)


def test_the_launcher_starts_programs_and_shows_windows(here, tmp_path):
    settings = tmp_path / "launcher.toml"
    code = "from orbital.programs.clock import main; raise SystemExit(main())"
    settings.write_text(f"[programs]\nclock = '''{sys.executable} -c \"{code}\"'''\n")
    with here.program("launcher", "--settings", settings):
        here.wait(lambda: any(" 0,552 " in line for line in here.lines()))
        here.wait(lambda: here.shot().getpixel((700, 590)) != (0, 0, 0))
        click(here, 60, 575)
        number, *_ = here.window("Clock")
        # Its place on the bar: a click puts it away, another brings it back.
        here.wait(lambda: brightness(here, (140, 556, 330, 596)) > 0)
        click(here, 250, 575)
        here.wait(lambda: any("minimised Clock" in line for line in here.lines()))
        here.wait(lambda: brightness(here, (140, 556, 330, 596)) > 0)
        click(here, 250, 575)
        here.wait(lambda: any("focused Clock" in line for line in here.lines()))
        (here.up.mount / "orbital.ctl/control").write_text(f"close {number}\n")
        here.wait(lambda: not any("Clock" in line for line in here.lines()))


def click(here, x: int, y: int) -> None:
    place = x * 65536 // 800, y * 65536 // 600
    here.input((EventCode.MOUSE, *place), (EventCode.BUTTON, 1, 0), (EventCode.BUTTON, 0, 0))


def brightness(here, box) -> int:
    """Return how much brighter the brightest pixel is than a bar without anything on it."""
    return max(high for _, high in here.shot().crop(box).getextrema()) - 0x40


def test_pictures_are_shown_one_after_the_other(here, tmp_path):
    files = []
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        files.append(tmp_path / f"{name}.png")
        Image.new("RGB", (200, 150), colour).save(files[-1])
    with here.program("images", *files):
        number, *_, width, height = here.window("red.png")
        assert (width, height) == (200, 150)
        name = f"window/{number}.png"
        here.wait(lambda: here.shot(name).getcolors() == [(200 * 150, (255, 0, 0))])
        here.type(" ")
        here.window("blue.png")
        here.wait(lambda: here.shot(name).getcolors() == [(200 * 150, (0, 0, 255))])


def test_a_file_is_shown_and_scrolled(here, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"line {n}\n" for n in range(100)))
    with here.program("files", path):
        number, *_ = here.window("lines.txt")
        here.wait(lambda: shows(here, number, 0, "line 0 "))
        here.input((EventCode.KEY, 0, 0x4F | PRESSED), (EventCode.KEY, 0, 0x4F))
        here.wait(lambda: shows(here, number, 28, "line 99 "))
