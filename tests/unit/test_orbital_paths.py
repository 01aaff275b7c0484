"""Names of windows, in both dialects, as they are opened and as Linux walks along them."""

from __future__ import annotations

import pytest

from orbital import paths
from orbital.paths import (
    LAST,
    Look,
    OwnPath,
    SizePath,
    WindowPath,
    canonical,
    look,
    parse,
    read_flags,
    write_flags,
)
from redbear_host.abi.orbital import WindowFlag as F


def window(flags, x, y, width, height, title, name=""):
    return WindowPath(flags, x, y, width, height, title, name)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("al/10/20/640/480/A title", window(F.ASYNC | F.BORDERLESS, 10, 20, 640, 480, "A title")),
        ("r/-1/-1/640/480/x", window(F.RESIZABLE, -1, -1, 640, 480, "x")),
        ("-1/-1/640/480/x", window(F(0), -1, -1, 640, 480, "x")),
        ("10/20/640/480/x", window(F(0), 10, 20, 640, 480, "x")),
        ("10/20/640/480", window(F(0), 10, 20, 640, 480, "")),
        ("a/1/2/3/4/with/slashes", window(F.ASYNC, 1, 2, 3, 4, "with/slashes")),
        ("a", window(F.ASYNC, 0, 0, 0, 0, "")),
        ("a/x/y/w/h/t", window(F.ASYNC, 0, 0, 0, 0, "t")),
        ("a/1/2/-3/4/t", window(F.ASYNC, 1, 2, 0, 4, "t")),
        ("a/1/2/4294967295/4294967296/t", window(F.ASYNC, 1, 2, 4294967295, 0, "t")),
        ("a/9999999999/2/3/4/t", window(F.ASYNC, 0, 2, 3, 4, "t")),
        ("myapp/800/600/My Title", window(F(0), -1, -1, 800, 600, "My Title", "myapp")),
        ("myapp/800/600/a/b", window(F(0), -1, -1, 800, 600, "a/b", "myapp")),
        ("myapp/800/600", window(F(0), -1, -1, 800, 600, "myapp", "myapp")),
        ("almbut/800/600/Title", window(F(0), -1, -1, 800, 600, "Title", "almbut")),
        ("a/800/600/42", window(F(0), -1, -1, 800, 600, "42", "a")),
        ("a/800/600/x/y", window(F(0), -1, -1, 800, 600, "x/y", "a")),
        ("a/800/600/42/43", window(F.ASYNC, 800, 600, 42, 43, "")),
        ("99.0", SizePath(0)),
        ("99.17", SizePath(17)),
        ("own/7", OwnPath(7, False)),
        ("own/7.bgra", OwnPath(7, True)),
        ("own/last.bgra", OwnPath(LAST, True)),
    ],
)
def test_a_path_says_what_is_wanted(path, found):
    assert parse(path) == found


@pytest.mark.parametrize("path", ["", "myapp", "myapp/800", "myapp/-1/600/x", "own", "own/x/y"])
def test_what_names_no_size_is_no_window(path):
    with pytest.raises(ValueError, match="window"):
        parse(path)


def test_the_end_of_a_title_tells_the_order_of_bytes():
    assert parse("photo/2/2/image.rgba").rgba
    assert parse("a/1/2/3/4/image.rgba").rgba
    assert not parse("photo/2/2/image.bgra").rgba


FOLDER, FILE = Look.FOLDER, Look.FILE


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("al/10/20/640/480/Title", [FOLDER] * 5 + [FILE]),
        ("al/10/20/640/480/Title/more", [FOLDER] * 5 + [FILE, None]),
        ("10/20/640/480/Title", [FOLDER] * 4 + [FILE]),
        ("-1/-1/640/480/Title", [FOLDER] * 4 + [FILE]),
        ("myapp/800/600/Title", [FOLDER] * 3 + [FILE]),
        ("myapp/800/600/42", [FOLDER] * 3 + [FILE]),
        ("myapp/x", [FOLDER, None]),
        ("a/800/600/Title", [FOLDER] * 3 + [FILE]),
        ("a/800/600/42", [FOLDER] * 4),
        ("99.0", [FILE]),
        ("own/7.bgra", [FOLDER, FILE]),
        ("own/x", [FOLDER, None]),
    ],
)
def test_linux_walks_to_a_title_name_by_name(path, kinds):
    names = path.split("/")
    assert [look("/".join(names[:count])) for count in range(1, len(names) + 1)] == kinds
    assert look("") is FOLDER


def test_flags_are_printed_in_redox_order_and_s_is_not():
    everything = read_flags("sfbrutMmhla")
    assert write_flags(everything & ~F.FRONT) == "alhmMrtub"
    assert write_flags(everything) == "alhmMrtuf"
    assert write_flags(read_flags("xyz")) == ""


def test_flags_that_are_told_thousands_of_times_are_looked_up_once(monkeypatch):
    class Counted(dict):
        times = 0

        def get(self, letter, default):
            self.times += 1
            return super().get(letter, default)

    letters = Counted(paths.LETTERS)
    monkeypatch.setattr(paths, "LETTERS", letters)
    assert read_flags("alrxyz" * 10_000) == F.ASYNC | F.BORDERLESS | F.RESIZABLE
    assert letters.times == 6


def test_a_window_is_shown_as_it_can_be_opened_again():
    shown = canonical(F.ASYNC | F.RESIZABLE, -5, 7, 640, 480, "a/b")
    assert shown == "ar/-5/7/640/480/a/b"
    assert parse(shown) == window(F.ASYNC | F.RESIZABLE, -5, 7, 640, 480, "a/b")
