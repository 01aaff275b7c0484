"""The programs' parts: keys as xterm sends them, selections, letters, pictures, files as lines."""

from __future__ import annotations

import random

import pytest
from PIL import Image as Pictures

from orbital.orbclient import Key
from orbital.pixels import Image
from orbital.programs import files, launcher, pictures
from orbital.programs.colours import colour
from orbital.programs.emulator import Emulator
from orbital.programs.keyboard import Keyboard
from orbital.programs.letters import Letters
from orbital.programs.paint import BACK, TEXT
from orbital.programs.selection import Selection
from orbital.rect import Rect
from redbear_host.errors import ConfigError

CTRL, ALT, SHIFT = 0x1D, 0x38, 0x2A


def typed(*held: int, code: int, character: str = "", application: bool = False) -> bytes:
    keyboard = Keyboard()
    for modifier in held:
        assert keyboard.bytes_of(Key("", modifier, True), application) == b""
    return keyboard.bytes_of(Key(character, code, True), application)


@pytest.mark.parametrize(
    ("held", "code", "character", "sent"),
    [
        ((), 0x1C, "", b"\r"),
        ((), 0x0E, "", b"\x7f"),
        ((), 0x01, "", b"\x1b"),
        ((), 0x0F, "", b"\t"),
        ((SHIFT,), 0x0F, "", b"\x1b[Z"),
        ((), 0x48, "", b"\x1b[A"),
        ((CTRL,), 0x4D, "", b"\x1b[1;5C"),
        ((SHIFT, ALT), 0x4B, "", b"\x1b[1;4D"),
        ((), 0x47, "", b"\x1b[H"),
        ((), 0x3B, "", b"\x1bOP"),
        ((SHIFT,), 0x3B, "", b"\x1b[1;2P"),
        ((), 0x58, "", b"\x1b[24~"),
        ((CTRL,), 0x51, "", b"\x1b[6;5~"),
        ((), 0x53, "", b"\x1b[3~"),
        ((CTRL,), 0x2E, "c", b"\x03"),
        ((CTRL, SHIFT), 0x2E, "C", b"\x03"),
        ((CTRL,), 0x1A, "[", b"\x1b"),
        ((CTRL,), 0x39, " ", b"\0"),
        ((CTRL,), 0x02, "1", b""),
        ((CTRL,), 0x1E, "ä", b""),
        ((ALT,), 0x30, "b", b"\x1bb"),
        ((ALT, CTRL), 0x30, "b", b"\x1b\x02"),
        ((ALT,), 0x1C, "", b"\x1b\r"),
        ((), 0x1E, "a", b""),  # comes as TextInput
        ((), 0x3A, "", b""),
    ],
)
def test_a_key_sends_what_xterm_sends(held, code, character, sent):
    assert typed(*held, code=code, character=character) == sent


def test_full_screen_programs_get_their_arrows_their_way():
    assert typed(code=0x48, application=True) == b"\x1bOA"
    assert typed(CTRL, code=0x48, application=True) == b"\x1b[1;5A"
    assert typed(code=0x3E, application=True) == b"\x1bOS"


def test_what_is_let_go_or_was_held_elsewhere_counts_no_more():
    keyboard = Keyboard()
    keyboard.bytes_of(Key("", CTRL, True), False)
    keyboard.bytes_of(Key("", CTRL, False), False)
    assert keyboard.bytes_of(Key("c", 0x2E, True), False) == b""
    keyboard.bytes_of(Key("", CTRL, True), False)
    keyboard.release()
    assert keyboard.bytes_of(Key("c", 0x2E, True), False) == b""
    assert keyboard.bytes_of(Key("", 0x1C, False), False) == b""


def written(*lines: str) -> Emulator:
    screen = Emulator(10, 4, lambda said: None)
    screen.feed("\r\n".join(lines).encode())
    return screen


def test_a_selection_is_the_letters_between_two_cells_either_way():
    screen = written("first line", "second", "third")
    for begin, end in (((6, 0), (2, 2)), ((2, 2), (6, 0))):
        selection = Selection()
        selection.to(*begin)
        assert not selection.press(True)
        assert selection.to(*end)
        assert not selection.to(*end)
        assert selection.text(screen) == "line\nsecond\nthi"
        assert selection.holds(9, 0)
        assert selection.holds(0, 1)
        assert not selection.holds(5, 0)
        assert not selection.holds(3, 2)
        selection.press(False)
        assert not selection.to(5, 3)
        assert selection.clear()
        assert not selection.clear()
        assert selection.text(screen) == ""
        assert not selection.holds(9, 0)


def test_a_click_alone_selects_nothing():
    selection = Selection()
    selection.to(3, 1)
    selection.press(True)
    assert not selection.to(3, 1)
    selection.press(False)
    assert selection.text(written("abc", "defghi")) == ""


def test_letters_have_one_width_and_blanks_have_no_mask():
    letters = Letters(14)
    assert letters.mask(" ") is None
    assert letters.mask("\x07") is None
    assert letters.mask("") is None
    assert {letters.mask(c).width for c in "iMW.|"} == {letters.width}
    assert letters.mask("i").height == letters.height
    assert letters.mask("M", True) is not letters.mask("M")
    assert letters.mask("M") is letters.mask("M")


def test_colours_are_names_or_digits_and_else_the_usual_ones():
    assert colour("red", True) == 0xFFCD3131
    assert colour("00ff7f", False) == 0xFF00FF7F
    assert colour("default", True) == TEXT
    assert colour("default", False) == BACK
    assert colour("zzzzzz", True) == TEXT


# -- pictures --------------------------------------------------------------------------------------


def picture(width: int, height: int) -> Image:
    return Image(width, height, bytearray(b"\x10\x20\x30\xff" * width * height))


@pytest.mark.parametrize(
    ("size", "mode", "place"),
    [
        ((40, 20), "center", Rect(30, 15, 40, 20)),
        ((200, 20), "center", Rect(-50, 15, 200, 20)),
        ((40, 20), "fill", Rect(0, 0, 100, 50)),
        ((40, 10), "scale", Rect(0, 12, 100, 25)),
        ((10, 20), "scale", Rect(37, 0, 25, 50)),
        ((40, 10), "zoom", Rect(-50, 0, 200, 50)),
        ((10, 20), "zoom", Rect(0, -75, 100, 200)),
        ((1, 1000), "scale", Rect(49, 0, 1, 50)),
    ],
)
def test_a_picture_is_fitted_as_its_mode_says(size, mode, place):
    memory = bytearray(100 * 50 * 4)
    onto = Image(100, 50, memory)
    assert pictures.draw(onto, picture(*size), mode, 0xFF0000FF) == place
    inside = place & Rect(0, 0, 100, 50)
    middle = ((inside.y + inside.height // 2) * 100 + inside.x + inside.width // 2) * 4
    assert memory[middle : middle + 4] == b"\x10\x20\x30\xff"
    if not place.covers(Rect(0, 0, 1, 1)):
        assert memory[:4] == b"\xff\0\0\xff"


def test_a_file_is_read_as_windows_have_pixels(tmp_path):
    path = tmp_path / "half.png"
    Pictures.new("RGBA", (3, 2), (200, 100, 50, 128)).save(path)
    image = pictures.load(path)
    assert (image.width, image.height) == (3, 2)
    assert bytes(image._held)[:4] == bytes([25, 50, 100, 128])


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_what_is_no_picture_is_one_sentence(tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is no picture that Pillow can read"):
        pictures.load(path)
    with pytest.raises(ConfigError, match="there is no file"):
        pictures.load(tmp_path / "absent.png")


def test_damaged_pictures_are_pictures_or_one_sentence(tmp_path):
    path = tmp_path / "x.png"
    Pictures.new("RGB", (40, 30), (1, 2, 3)).save(path)
    whole, dice = path.read_bytes(), random.Random(3)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged[: dice.randrange(1, len(damaged) + 1)])
        try:
            pictures.load(path)
        except ConfigError:
            refused += 1
    assert 0 < refused <= 300


# -- files -----------------------------------------------------------------------------------------


def test_text_is_its_lines_and_other_things_are_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_text("one\n\ttwo\r\nthree")
    pages = files.read(path)
    assert [pages.line(n) for n in range(pages.count)] == ["one", "        two", "three"]
    path.write_bytes(bytes(range(20)))
    pages = files.read(path)
    assert pages.count == 2
    assert pages.line(0).startswith("00000000  00 01 02 03 04 05 06 07  08 09")
    assert pages.line(1) == f"00000010  10 11 12 13{'':12}  {'':23}  |....|"
    path.write_bytes(b"\xff\xfe no text")
    assert "|.. no text|" in files.read(path).line(0)
    path.write_bytes(b"")
    assert files.read(path).count == 1
    with pytest.raises(ConfigError, match="cannot be read"):
        files.read(tmp_path / "absent")


def test_the_launcher_offers_what_its_settings_say(tmp_path):
    settings = tmp_path / "launcher.toml"
    settings.write_text('[programs]\nshell = "orbterm -- bash -l"\n')
    assert launcher.offered(settings) == {"shell": ("orbterm", "--", "bash", "-l")}
    for bad in ("[programs", "programs = 3", "[programs]\nx = 1", '[programs]\nx = "\'"'):
        settings.write_text(bad)
        with pytest.raises(ConfigError, match=r"launcher\.toml"):
            launcher.offered(settings)


# -- terminals -------------------------------------------------------------------------------------


def lines(screen: Emulator) -> list[str]:
    return ["".join(cell.data for cell in screen.row(n)).rstrip() for n in range(screen.rows)]


def test_what_goes_out_at_the_top_can_be_looked_at_again():
    screen = written(*(str(n) for n in range(10)))
    assert lines(screen) == ["6", "7", "8", "9"]
    assert screen.cursor == (1, 3)
    assert screen.scroll(3)
    assert lines(screen) == ["3", "4", "5", "6"]
    assert screen.cursor is None
    screen.changed()
    screen.feed(b"\r\n10")  # what is looked at stays
    assert lines(screen) == ["3", "4", "5", "6"]
    assert screen.scroll(100)
    assert lines(screen)[0] == "0"
    assert not screen.scroll(1)
    assert screen.scroll(-100)
    assert lines(screen)[-1] == "10"
    assert screen.changed() == {0, 1, 2, 3}
    assert screen.changed() == set()


def test_a_terminal_answers_what_it_is_asked():
    said = []
    screen = Emulator(10, 4, said.append)
    screen.feed(b"ab\x1b[6n")
    assert said == [b"\x1b[1;3R"]
    screen.feed(b"\x1b[?1h\x1b[?2004h\x1b]2;A title\x07\x1b[?25l")
    assert screen.application_keys
    assert screen.bracketed_paste
    assert screen.title == "A title"
    assert screen.cursor is None


def test_a_sequence_that_cannot_be_borne_is_left_out_and_nothing_else():
    screen = Emulator(10, 4, lambda said: None)
    screen.feed(b"one\x1b[?4m two\x1b[31m!")
    assert lines(screen)[0] == "one two!"
    assert screen.faults == 1
    assert screen.row(0)[7].fg == "red"


def test_whatever_a_program_writes_it_is_some_screen():
    dice = random.Random(9)
    pieces = [
        *(
            b"\x1b[",
            b"\x1b[?",
            b"\x1b[>",
            b"\x1b]0;",
            b"\x1b(",
            b"\x1b#8",
            b"\x1bM",
            b"\x1bc",
            b"\x9b",
        ),
        *(bytes([letter]) for letter in b"mhlJKH@PLMrncdtSTgXABG;05\n\r\t\b\x07\x0e\x18"),
        *(b"9999999999", b"2004", "\u00e4\u6f22\U0001f642\u0301".encode(), b"!p", b" q", b"$"),
    ]
    screen, said = Emulator(20, 6, lambda data: None), 0
    while said < 100_000:
        piece = dice.choice(pieces) if dice.random() < 0.9 else dice.randbytes(3)
        screen.feed(piece)
        said += 1
        if dice.random() < 0.002:
            screen.resize(dice.randrange(1, 30), dice.randrange(1, 9))
        if dice.random() < 0.002:
            screen.scroll(dice.randrange(-20, 20))
        if said % 500 == 0:
            assert len(lines(screen)) == screen.rows
            assert screen.cursor is None or screen.cursor[1] < screen.rows
            assert all(0 <= row < screen.rows for row in screen.changed())
