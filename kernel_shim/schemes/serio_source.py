"""What the scheme `serio` asks of those that have bytes for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

KEYBOARD: Final = 0
MOUSE: Final = 1
PORTS: Final = 2

OnBytes: TypeAlias = Callable[[int, bytes], object]  # port, what it sent


class Source(Protocol):
    """A keyboard, a mouse, or both."""

    def start(self, on_bytes: OnBytes) -> None:
        """Say what comes from now on; started again, look for what is new."""
        ...

    def stop(self) -> None:
        """Say no more."""
        ...

    def send(self, port: int, byte: int) -> bool:
        """Tell the device behind a port something; False where none takes commands."""
        ...
