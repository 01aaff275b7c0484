"""What is open of the scheme `input`."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from daemons.inputd.consumer import Consumer
from daemons.inputd.displays import DisplayHandle
from daemons.inputd.source import Source


class Folder(NamedTuple):
    """A directory: the root (empty), `handle` or `handle_early`."""

    name: str


class Looked(NamedTuple):
    """A file that was opened with O_STAT: it can only be described."""

    path: str


class Control(NamedTuple):
    """`control`."""


class Text:
    """One of our text files, as it was when it was opened."""

    def __init__(self, name: str, flags: int, text: bytes) -> None:
        self.name: Final = name
        self.flags: Final = flags
        self.text: Final = text


Handle: TypeAlias = Folder | Looked | Control | Text | Source | Consumer | DisplayHandle
