"""What a model rings when its device interrupts.

Models know no operating system, so whoever builds one says what a bell is: an eventfd where a loop
waits for it, or `CountingBell` where a test looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias


class Bell(Protocol):
    """Something that can be rung, and whose descriptor is then readable until it is hushed."""

    @property
    def fd(self) -> int: ...

    def ring(self) -> None: ...

    def hush(self) -> None:
        """Forget earlier rings."""
        ...


NewBell: TypeAlias = Callable[[], Bell]


class CountingBell:
    """A bell for tests without descriptors: it counts."""

    def __init__(self) -> None:
        self.rings = 0

    @property
    def fd(self) -> int:
        """No descriptor: -1."""
        return -1

    def ring(self) -> None:
        """Count one more."""
        self.rings += 1

    def hush(self) -> None:
        """Start over at 0."""
        self.rings = 0
