"""How programs spell what they open."""

from __future__ import annotations

import errno

import pytest

from redbear_host.client import paths
from redbear_host.client.arena import Arena
from redbear_host.client.paths import Place

SPELLINGS = {
    "/scheme/rand": ("rand", ""),
    "/scheme/rand/": ("rand", ""),
    "/scheme/tcp/1.2.3.4/80": ("tcp", "1.2.3.4/80"),
    "//scheme//time/4": ("time", "4"),
    "/scheme/rand:": ("rand", ""),
    "/scheme/disk.x:1p0": ("disk.x", "1p0"),
    "/scheme/time:4/gettime": ("time", "4/gettime"),
    "/scheme/chan:a:b": ("chan", "a:b"),
    "/scheme/time/./4/../1": ("time", "1"),
    "/scheme/time/../rand": ("rand", ""),
    "/elsewhere/schemes/rand/x": ("rand", "x"),
    "/scheme": ("", ""),
    "/scheme/": ("", ""),
    "rand:": ("rand", ""),
    "time:4/gettime": ("time", "4/gettime"),
    "disk.pci-0000-00-04.0-nvme:1p0": ("disk.pci-0000-00-04.0-nvme", "1p0"),
    "chan:/a": ("chan", "a"),
    ":": ("", ""),
    ":rand": ("", "rand"),
    "/etc/passwd": ("file", "etc/passwd"),
    "/schemes/rand": ("file", "schemes/rand"),
    "/": ("file", ""),
    "/a:b/c": ("file", "a:b/c"),
    "here": ("file", "work/here"),
    "../here": ("file", "here"),
    "a/b:c": ("file", "work/a/b:c"),
}

REFUSED = {
    "": errno.ENOENT,
    "/scheme/a\0b": errno.EINVAL,
    "a\0b:": errno.EINVAL,
    "/scheme/:b/c": errno.EINVAL,
    "/scheme/..:b": errno.EINVAL,
    ".:x": errno.EINVAL,
    "..:x": errno.EINVAL,
    "/scheme/rand/" + "x" * 4096: errno.ENAMETOOLONG,
    "rand:" + "x" * 4092: errno.ENAMETOOLONG,
}


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDBEAR_SCHEME", "/elsewhere/schemes")
    monkeypatch.setattr(paths.os, "getcwd", lambda: "/work")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_leads_to_a_scheme_and_a_path_in_it(spelling: str) -> None:
    assert paths.parse(spelling) == Place(*SPELLINGS[spelling])


@pytest.mark.parametrize("spelling", REFUSED, ids=lambda s: repr(s[:20]))
def test_what_is_no_path_is_refused_with_the_right_number(spelling: str) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
        paths.parse(spelling)
    assert caught.value.errno == REFUSED[spelling]


def test_a_path_may_have_exactly_4096_bytes() -> None:
    assert paths.parse("rand:" + "x" * 4091).path == "x" * 4091


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a\0", ".", ".."])
def test_a_scheme_cannot_have_every_name(name: str) -> None:
    with pytest.raises(OSError, match="no name") as caught:
        paths.check_name(name)
    assert caught.value.errno == errno.EINVAL


def test_an_arena_hands_out_pages_that_do_not_overlap_and_grow_together_again() -> None:
    arena = Arena(4096, 4096 * 9)
    first, second, third = arena.take(1), arena.take(8192), arena.take(5 * 4096)
    assert (first, second, third) == (4096, 8192, 16384)
    assert arena.take(1) == -1
    arena.give(first, 1)
    arena.give(third, 5 * 4096)
    assert arena.take(6 * 4096) == -1  # there are six pages, not in one piece
    arena.give(second, 8192)
    assert arena.take(8 * 4096) == 4096
