"""What every output that is memory has in common: its size, and how often it takes a picture."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

from orbital.output import Buffer, Frame, Layer
from orbital.rect import Rect
from orbital.window import nothing
from redbear_host.scheme.loop import Loop


class Paced(ABC):
    """An output without a beat of its own: pictures come at most so many times a second.

    The first after a pause is taken at once, so that what somebody types is seen at once.
    """

    def __init__(self, name: str, loop: Loop, rate: int) -> None:
        self.on_ready: Callable[[], object] = nothing
        self.on_changed: Callable[[], object] = nothing
        self.frames = 0  # that were shown
        self.shown_at = 0  # when the last one was, on CLOCK_MONOTONIC, in nanoseconds
        self._name: Final = name
        self._loop: Final = loop
        self._pause: Final = 1 / rate
        self._next = 0.0  # when another picture may come
        self._waits = False  # somebody was told to wait

    @property
    def name(self) -> str:
        """What a configuration and its user call it."""
        return self._name

    def begin(self) -> Frame | None:
        """Return the memory, unless a picture is on its way, or it is too early for another."""
        if not self._free():
            self._waits = True
            return None
        if self._loop.now() < self._next:
            if not self._waits:
                self._waits = True
                self._loop.at(self._next, self.wake)
            return None
        return self._frame()

    def wake(self) -> None:
        """Tell who waits that it may begin; not before it is time."""
        if not self._waits or not self._free():
            return
        if self._loop.now() < self._next:
            self._loop.at(self._next, self.wake)
            return
        self._waits = False
        self.on_ready()

    def _began(self) -> None:
        """Note that a picture was handed over."""
        self._next = self._loop.now() + self._pause

    def _shown(self) -> None:
        """Note that it is seen."""
        self.frames += 1
        self.shown_at = time.monotonic_ns()

    @abstractmethod
    def _free(self) -> bool:
        """Tell whether the last picture has been taken over."""

    @abstractmethod
    def _frame(self) -> Frame | None:
        """Return the memory for the next picture; None while nobody sees it."""

    # -- planes, of which there are none -----------------------------------------------------------

    def lend(self, width: int, height: int) -> Buffer | None:
        """Have nothing to lend."""
        return None

    def take_back(self, buffer: Buffer) -> None:
        """Refuse: nothing was lent."""
        raise ValueError(f"{self._name} has lent nothing")

    def assign(self, layers: Sequence[Layer]) -> frozenset[int]:
        """Leave all to the compositor."""
        return frozenset()


def all_of(width: int, height: int) -> Rect:
    """Return the rectangle of a whole screen."""
    return Rect(0, 0, width, height)
