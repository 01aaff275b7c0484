"""What a window's owner writes: each command, and what is none."""

from __future__ import annotations

import pytest

from orbital import commands as c
from orbital.rect import Rect
from redbear_host.abi.orbital import WindowFlag as F


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"A,1", c.Async(True)),
        (b"A,0\n", c.Async(False)),
        (b"T,a, b\n", c.Title("a, b")),
        (b"T,", c.Title("")),
        (b"P,-5,7", c.Place(-5, 7)),
        (b"P,,7", c.Place(None, 7)),
        (b"P,x,y", c.Place(None, None)),
        (b"S,640,480", c.Size(640, 480)),
        (b"S,,480", c.Size(None, 480)),
        (b"S,-1,480", c.Size(None, 480)),
        (b"F,rm,1", c.Flags(F.RESIZABLE | F.MAXIMIZED, True)),
        (b"M,C,0", c.Pointer("C", False)),
        (b"M,G,1", c.Pointer("G", True)),
        (b"M,R,1", c.Pointer("R", True)),
        (b"D", c.Drag("M")),
        (b"D,0", c.Drag("M")),
        (b"D,L", c.Drag("L")),
        (b"Y,1,2,3,4", c.Changed((Rect(1, 2, 3, 4),))),
        (b"Y,1,2,3,4,5,6,7,8", c.Changed((Rect(1, 2, 3, 4), Rect(5, 6, 7, 8)))),
    ],
)
def test_a_command_is_read(text, found):
    assert c.looks_like_one(text)
    assert c.parse(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"\n", b"A", b"A,2", b"P,1", b"P,1,2,3", b"S", b"F,r", b"M,X,1", b"D,X", b"Y"),
        *(b"Y,1,2,3", b"Y,a,2,3,4", b"N,D", b"Q", b"hello", b"\xff\xff", b"Y" + b",1" * 4100),
    ],
)
def test_anything_else_is_none(text):
    with pytest.raises(ValueError, match=r"."):
        c.parse(text)
