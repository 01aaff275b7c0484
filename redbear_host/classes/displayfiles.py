"""The names of a display scheme, and the text in its files."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

from redbear_host.abi import flags as f
from redbear_host.classes.screen import DisplayAdapter
from redbear_host.classes.terminals import VT_MOST, Terminal

_SCREEN: Final = re.compile(r"(\d{1,5})(?:\.(\d{1,2}))?", re.ASCII)
_V2: Final = re.compile(r"v2/(\d{1,5})", re.ASCII)
_EDID: Final = re.compile(r"edid\.(\d{1,2})", re.ASCII)
_SIZE: Final = re.compile(r"(?:(\d{1,2}) +)?(\d{1,5})x(\d{1,5})", re.ASCII)


class Kind(Enum):
    """What can be opened; the number is an inode's."""

    FOLDER = 1
    SIZE = 2
    MODES = 3
    EDID = 4
    ACTIVE = 5
    TERMINAL = 6  # v2/VT
    SCREEN = 7  # VT[.SCREEN]


LISTED: Final = {
    "size": Kind.SIZE,
    "modes": Kind.MODES,
    "edid": Kind.EDID,
    "active": Kind.ACTIVE,
}
WRITABLE: Final = frozenset({Kind.SIZE, Kind.ACTIVE, Kind.TERMINAL, Kind.SCREEN})


class Name(NamedTuple):
    """A path below the scheme's root, understood."""

    kind: Kind
    display: int = 0
    vt: int = 0


def parse(path: str, displays: int) -> Name | None:
    """Understand a path; None for one that is none."""
    if not path:
        return Name(Kind.FOLDER)
    if path in LISTED:
        return Name(LISTED[path])
    if (found := _SCREEN.fullmatch(path)) is not None:
        name = Name(Kind.SCREEN, int(found[2] or 0), int(found[1]))
    elif (found := _V2.fullmatch(path)) is not None:
        name = Name(Kind.TERMINAL, 0, int(found[1]))
    elif (found := _EDID.fullmatch(path)) is not None:
        return Name(Kind.EDID, int(found[1])) if int(found[1]) < displays else None
    else:
        return None
    return name if 0 < name.vt <= VT_MOST and name.display < displays else None


class OpenDisplay:
    """An open handle."""

    __slots__ = ("flags", "name", "path", "redox", "seen", "terminal", "text", "used")

    def __init__(self, name: Name, path: str, flags: int) -> None:
        self.name: Final = name
        self.path: Final = path
        self.flags: Final = flags
        self.used: Final = not flags & f.O_STAT
        self.redox = False  # opened at the ring door: Redox's rules hold
        self.terminal: Terminal | None = None
        self.seen = 0  # which state of the displays its reader knows
        self.text = b""

    @property
    def reads(self) -> bool:
        """It may be read."""
        return self.used and bool(self.flags & f.O_RDONLY)

    @property
    def writes(self) -> bool:
        """It may be written."""
        return self.used and bool(self.flags & f.O_WRONLY)


def sizes(adapter: DisplayAdapter) -> bytes:
    """Write `DISPLAY WIDTHxHEIGHT` lines; 0x0 where nothing is connected."""
    lines = (
        f"{n} {width}x{height}\n"
        for n in range(adapter.displays)
        for width, height in [adapter.size(n)]
    )
    return "".join(lines).encode()


def modes(adapter: DisplayAdapter) -> bytes:
    """Write `DISPLAY WIDTHxHEIGHT [HERTZ] [preferred]` lines."""
    lines = []
    for display in range(adapter.displays):
        for mode in adapter.modes(display):
            words = [str(display), f"{mode.width}x{mode.height}"]
            if mode.refresh:
                words.append(f"{mode.refresh / 1000:.3f}")
            if mode.preferred:
                words.append("preferred")
            lines.append(" ".join(words) + "\n")
    return "".join(lines).encode()


def parse_size(text: str) -> tuple[int, int, int] | None:
    """Read `[DISPLAY] WIDTHxHEIGHT`; None for anything else."""
    found = _SIZE.fullmatch(text.strip())
    return None if found is None else (int(found[1] or 0), int(found[2]), int(found[3]))
