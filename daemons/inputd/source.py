"""Where events come from: a producer's handle, or one of Linux's devices."""

from __future__ import annotations

from typing import Final


class Source:
    """One producer and what is held down on it."""

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.keys: Final[set[int]] = set()
        self.characters: Final[set[int]] = set()  # KEYs without a key
        self.buttons = 0
        self.pad_buttons: Final[set[int]] = set()  # id | button << 32
        self.events = 0
        self.refused = 0  # records that no input device sends
