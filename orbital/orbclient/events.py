"""What can happen to a window, by kinds; `decode` makes them of the scheme's records."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeAlias

from redbear_host.abi.orbital import PRESSED, SCALE_ONE, EventCode

RECORD: Final = 24  # bytes of an OrbitalEvent


class Key(NamedTuple):
    """A key went down or up."""

    character: str  # by the keymap, without regard to TextInput; empty for a key without one
    scancode: int
    pressed: bool


class TextInput(NamedTuple):
    """Somebody has typed a character."""

    character: str


class Mouse(NamedTuple):
    """The pointer is at a pixel of the window, or beside it while a button is held."""

    x: int
    y: int


class MouseRelative(NamedTuple):
    """The pointer was moved, in a window that asked to be told so."""

    dx: int
    dy: int


class Button(NamedTuple):
    """The buttons that are held now."""

    left: bool
    middle: bool
    right: bool


class Scroll(NamedTuple):
    """The wheel was turned: notches, up and right are positive."""

    x: int
    y: int


class Quit(NamedTuple):
    """The window is to be closed."""


class Focus(NamedTuple):
    """The window got the keyboard, or lost it."""

    focused: bool


class Move(NamedTuple):
    """The window is at another place of the desktop."""

    x: int
    y: int


class Resize(NamedTuple):
    """The window should take another size: call `Window.resize`, and draw."""

    width: int
    height: int


class Screen(NamedTuple):
    """The display has another size."""

    width: int
    height: int


class Scale(NamedTuple):
    """The display's scale, to a window that draws itself by it."""

    factor: float


class Clipboard(NamedTuple):
    """Somebody asks to copy (1), cut (2) or paste (3)."""

    kind: int
    size: int


class ClipboardUpdate(NamedTuple):
    """Something else is in the clipboard."""


class Hover(NamedTuple):
    """The pointer came into the window, or left it."""

    entered: bool


class Unknown(NamedTuple):
    """Anything else, as it came."""

    code: int
    a: int
    b: int


Event: TypeAlias = (
    Key
    | TextInput
    | Mouse
    | MouseRelative
    | Button
    | Scroll
    | Quit
    | Focus
    | Move
    | Resize
    | Screen
    | Scale
    | Clipboard
    | ClipboardUpdate
    | Hover
    | Unknown
)


def _character(code: int) -> str:
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else ""


_KINDS: Final[dict[int, Callable[[int, int], Event]]] = {
    EventCode.KEY: lambda a, b: Key(_character(a), b & 0xFF, bool(b & PRESSED)),
    EventCode.TEXT_INPUT: lambda a, b: TextInput(_character(a)),
    EventCode.MOUSE: Mouse,
    EventCode.MOUSE_RELATIVE: MouseRelative,
    EventCode.BUTTON: lambda a, b: Button(bool(a & 1), bool(a & 2), bool(a & 4)),
    EventCode.SCROLL: Scroll,
    EventCode.QUIT: lambda a, b: Quit(),
    EventCode.FOCUS: lambda a, b: Focus(bool(a)),
    EventCode.MOVE: Move,
    EventCode.RESIZE: Resize,
    EventCode.SCREEN: Screen,
    EventCode.SCALE: lambda a, b: Scale(a / (b or SCALE_ONE)),
    EventCode.CLIPBOARD: Clipboard,
    EventCode.CLIPBOARD_UPDATE: lambda a, b: ClipboardUpdate(),
    EventCode.HOVER: lambda a, b: Hover(bool(a)),
}


def decode(records: bytes) -> Iterator[Event]:
    """Yield the events of whole records; what is behind the last whole one is left out."""
    whole = len(records) - len(records) % RECORD
    for code, a, b in struct.iter_unpack("<qqq", records[:whole]):
        kind = _KINDS.get(code)
        yield Unknown(code, a, b) if kind is None else kind(a, b)
