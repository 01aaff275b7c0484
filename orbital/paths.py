"""What is opened: the names of the scheme `orbital`, in both dialects.

```
FLAGS/X/Y/WIDTH/HEIGHT/TITLE     Redox's; without flags it begins with X, as `-1/-1/640/480/Clock`
NAME/WIDTH/HEIGHT/TITLE          a program's name instead of flags, and the window stands by itself
99.N                             the size of display N
own/ID                           a window again, for the program that opened it
own/ID.bgra                      the same one's pixels, to be mapped, read and written in place
own/last  own/last.bgra          links to those of the window that the program opened last
```

A title may hold slashes where a path is opened in one step, at the ring door; Linux walks a path
name by name, and there a title is one name.  Numbers that are missing or no numbers are 0, as Redox
has it, in the first dialect only.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

from redbear_host.abi.orbital import LETTERS, WindowFlag

LAST: Final = -1
RGBA: Final = ".rgba"  # how the title of a window ends whose pixels are written as R, G, B, A

_FLAGS: Final = re.compile(f"[{''.join(LETTERS)}]*")
_INT: Final = re.compile(r"[+-]?[0-9]{1,12}", re.ASCII)
_UNSIGNED: Final = re.compile(r"\+?[0-9]{1,12}", re.ASCII)
_SIZE: Final = re.compile(r"99\.([0-9]{1,9})", re.ASCII)
_OWN: Final = re.compile(r"own/(last|[0-9]{1,18})(\.bgra)?", re.ASCII)
_I32: Final = range(-(1 << 31), 1 << 31)
_U32: Final = range(1 << 32)


class WindowPath(NamedTuple):
    """A window that somebody wants."""

    flags: WindowFlag
    x: int  # both below 0: wherever there is room
    y: int
    width: int
    height: int
    title: str
    name: str = ""  # of the program, in the second dialect

    @property
    def rgba(self) -> bool:
        """Whether its pixels are written as R, G, B, A."""
        return self.title.endswith(RGBA)


class SizePath(NamedTuple):
    """The size of a display."""

    display: int


class OwnPath(NamedTuple):
    """A window again, or its pixels."""

    window: int  # LAST: the one that whoever asks has opened last
    pixels: bool


class Look(Enum):
    """What a name is for who walks a path."""

    FOLDER = 0
    FILE = 1


def parse(path: str) -> WindowPath | SizePath | OwnPath:
    """Read a path that is opened; `ValueError` for what is none."""
    size = _SIZE.fullmatch(path)
    if size is not None:
        return SizePath(int(size[1]))
    own = _OWN.fullmatch(path)
    if own is not None:
        return OwnPath(LAST if own[1] == "last" else int(own[1]), own[2] is not None)
    fields = path.split("/")
    if not path:
        raise ValueError("the root is no window")
    if _is_named(fields):
        return _named(fields)
    if path[0] in "-0123456789":
        fields.insert(0, "")
    flags, x, y, width, height, title = (
        *fields[:5],
        *[""] * (5 - len(fields)),
        "/".join(fields[5:]),
    )
    return WindowPath(
        read_flags(flags),
        _number(x, _I32),
        _number(y, _I32),
        _number(width, _U32),
        _number(height, _U32),
        title,
    )


def _is_named(fields: list[str]) -> bool:
    """Tell the second dialect from the first."""
    first = fields[0]
    if first[:1] in tuple("-0123456789"):
        return False
    if first and not _FLAGS.fullmatch(first):
        return True
    if len(fields) < 4 or not all(map(_UNSIGNED.fullmatch, fields[1:3])):
        return False
    return len(fields) == 4 or not _INT.fullmatch(fields[3])


def _named(fields: list[str]) -> WindowPath:
    name, width, height = (*fields[:3], "", "")[:3]
    if not (_UNSIGNED.fullmatch(width) and _UNSIGNED.fullmatch(height)):
        raise ValueError("a window's size is missing: NAME/WIDTH/HEIGHT/TITLE")
    title = "/".join(fields[3:]) or name
    sizes = _number(width, _U32), _number(height, _U32)
    return WindowPath(WindowFlag(0), -1, -1, *sizes, title, name)


def look(path: str) -> Look | None:
    """Say what a path is to who walks along it; None: there is nothing of that name.

    A name made of flags is taken for flags as long as it can be: `r/10/20/42` is a folder here, and
    a window with the title 42 where it is opened in one step.
    """
    fields = path.split("/")
    count = len(fields)
    if path in ("", "own"):
        return Look.FOLDER
    if _SIZE.fullmatch(path) or _OWN.fullmatch(path):
        return Look.FILE
    first = fields[0]
    if first[0] in "-0123456789":
        return _at(count, 5)
    if not _FLAGS.fullmatch(first):
        if not all(map(_UNSIGNED.fullmatch, fields[1:3])):
            return None
        return _at(count, 4)
    if count == 4 and not _INT.fullmatch(fields[3]) and _is_named(fields):
        return Look.FILE
    return _at(count, 6)


def _at(count: int, whole: int) -> Look | None:
    """Say what is at a depth, where a title is at the depth `whole`."""
    if count > whole:
        return None
    return Look.FILE if count == whole else Look.FOLDER


def read_flags(letters: str) -> WindowFlag:
    """Read flags by their letters; those that mean nothing are ignored."""
    flags = WindowFlag(0)
    for letter in set(letters):  # a command may bring sixty thousand
        flags |= LETTERS.get(letter, WindowFlag(0))
    return flags


def write_flags(flags: WindowFlag) -> str:
    """Write flags as fpath shows them: in front wins over behind, and `s` is not told."""
    if flags & WindowFlag.FRONT:
        flags &= ~WindowFlag.BACK
    return "".join(letter for letter, flag in LETTERS.items() if flags & flag and letter != "s")


def canonical(flags: WindowFlag, x: int, y: int, width: int, height: int, title: str) -> str:
    """Return what fpath says of a window: without the scheme's name, as Redox has it."""
    return f"{write_flags(flags)}/{x}/{y}/{width}/{height}/{title}"


def _number(text: str, allowed: range) -> int:
    """Read a number as Redox does: 0 for what is none, or has no room."""
    value = int(text) if _INT.fullmatch(text) else 0
    return value if value in allowed else 0
