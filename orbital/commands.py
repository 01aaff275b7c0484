"""What a window's owner writes to it: short texts, a kind and its arguments between commas.

```
A,0|1                       a read without events waits (0) or returns at once (1)
T,TITLE                     the title, which may hold commas
P,X,Y                       its place; a field that is empty or no number keeps what it was
S,WIDTH,HEIGHT              its size, likewise: from now on there is other memory to map
F,FLAGS,0|1                 takes flags away or sets them
M,C|G|R,0|1                 the pointer: is shown over it, stays in it, tells movements
D  D,M  D,L|R|T|B           moves it, or one of its edges, with the pointer until a button is let go
Y,X,Y,WIDTH,HEIGHT[,…]      these rectangles of it have changed
```

A newline at the end is not looked at: a shell's `echo` writes one.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias

from orbital.paths import read_flags
from orbital.rect import Rect
from redbear_host.abi.orbital import WindowFlag

KINDS: Final = b"ATPSFMDY"  # the first byte of each
RECTS_MOST: Final = 1024  # of one `Y`

_INT: Final = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)
_SWITCH: Final = {"0": False, "1": True}


class Async(NamedTuple):
    """Whether a read without events returns at once."""

    on: bool


class Title(NamedTuple):
    """Another title."""

    text: str


class Place(NamedTuple):
    """Another place; None: as it is."""

    x: int | None
    y: int | None


class Size(NamedTuple):
    """Another size; None: as it is."""

    width: int | None
    height: int | None


class Flags(NamedTuple):
    """Flags to set, or to take away."""

    flags: WindowFlag
    on: bool


class Pointer(NamedTuple):
    """How the pointer behaves: `C` shown, `G` grabbed, `R` relative."""

    kind: str
    on: bool


class Drag(NamedTuple):
    """Begin to move it (`M`), or one edge of it (`L`, `R`, `T`, `B`)."""

    edge: str


class Changed(NamedTuple):
    """Rectangles of its picture that have changed."""

    rects: tuple[Rect, ...]


Command: TypeAlias = Async | Title | Place | Size | Flags | Pointer | Drag | Changed


def looks_like_one(data: bytes | memoryview) -> bool:
    """Tell whether bytes may be a command: how those begin no picture is likely to."""
    return len(data) > 0 and data[0] in KINDS and (len(data) == 1 or data[1] in b",\n")


def parse(data: bytes) -> Command:
    """Read a command; `ValueError` for what is none."""
    text = data.decode().removesuffix("\n")  # UnicodeDecodeError is a ValueError
    kind, _, rest = text.partition(",")
    fields = rest.split(",")
    match kind:
        case "A":
            return Async(_switch(rest))
        case "T":
            return Title(rest)
        case "P" if len(fields) == 2:
            return Place(_number(fields[0]), _number(fields[1]))
        case "S" if len(fields) == 2:
            return Size(_length(fields[0]), _length(fields[1]))
        case "F" if len(fields) == 2:
            return Flags(read_flags(fields[0]), _switch(fields[1]))
        case "M" if len(fields) == 2 and fields[0] in ("C", "G", "R"):
            return Pointer(fields[0], _switch(fields[1]))
        case "D" if rest in ("", "0", "M", "L", "R", "T", "B"):
            # orbclient 0.4 writes `D,0` to begin a move.
            return Drag(rest if rest not in ("", "0") else "M")
        case "Y":
            return Changed(_rects(fields))
    raise ValueError(f"no command: {text[:40]!r}")


def _switch(text: str) -> bool:
    if text not in _SWITCH:
        raise ValueError(f"neither 0 nor 1: {text[:40]!r}")
    return _SWITCH[text]


def _number(text: str) -> int | None:
    return int(text) if _INT.fullmatch(text) else None


def _length(text: str) -> int | None:
    found = _number(text)
    return found if found is not None and found >= 0 else None


def _rects(fields: list[str]) -> tuple[Rect, ...]:
    if len(fields) % 4 or len(fields) > 4 * RECTS_MOST:
        raise ValueError(f"{len(fields)} numbers are no rectangles")
    numbers = [_number(field) for field in fields]
    if None in numbers:
        raise ValueError("a rectangle is four numbers")
    known = [number for number in numbers if number is not None]
    return tuple(Rect(*known[at : at + 4]) for at in range(0, len(known), 4))
