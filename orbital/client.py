"""Whose a window is, and what of it is the scheme's: its memory, its number, who has it open."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from orbital.memory import Memory
from orbital.picture import Picture
from orbital.window import Window

MAX_NAME: Final = 64  # characters that are kept of a program's name: all are written down


class Owner(NamedTuple):
    """A program, as the door that it came by knows it."""

    pid: int
    uid: int
    gid: int


class Client:
    """One window of somebody's."""

    __slots__ = (
        "drawn_at",
        "handles",
        "memory",
        "name",
        "number",
        "owner",
        "picture",
        "rgba",
        "window",
    )

    def __init__(
        self, number: int, owner: Owner, name: str, window: Window, memory: Memory, rgba: bool
    ) -> None:
        self.number: Final = number  # unique for as long as the instance is up
        self.owner: Final = owner
        self.name: Final = name[:MAX_NAME]  # of the program, if it gave one
        self.window: Final = window
        self.rgba = rgba
        self.handles: Final[set[int]] = set()  # by which it is open
        self.drawn_at = 0  # when the scheme last changed its pixels, in nanoseconds of the epoch
        self.take(memory)

    def take(self, memory: Memory) -> None:
        """Use other memory from now on."""
        self.memory = memory
        self.picture = Picture(memory.memory, memory.width, memory.height, self.rgba)

    def describe(self) -> dict[str, Any]:
        """Return what a successor has to know of it."""
        window = self.window
        floating = window.floating
        return {
            "number": self.number,
            "owner": list(self.owner),
            "name": self.name,
            "rgba": self.rgba,
            "flags": int(window.flags),
            "place": [window.place.x, window.place.y],
            "size": [window.width, window.height],
            "title": window.title,
            "minimised": window.minimised,
            "floating": None if floating is None else list(floating),
            "pointer": [window.cursor_shown, window.grabs, window.relative],
        }
