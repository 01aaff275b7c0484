"""When the next picture may be drawn: when the last is on the screen, and no sooner than it helps.

A card with vertical blanks says when a flip is done, once a period.  Virtual cards say so at once:
there a timer keeps the period.  The first picture after a while waits for nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from redbear_host.scheme.loop import Loop, Timer

log = logging.getLogger(__name__)

_LOST_S: Final = 1.0  # after which a flip is taken for done: its event was lost


class Pace:
    """The rhythm of one screen; `period` is in seconds."""

    def __init__(self, loop: Loop, name: str, on_free: Callable[[], object]) -> None:
        """`on_free` is called when it is no longer `busy`, but never from within a call to this."""
        self.period = 1 / 60
        self.busy = False  # a picture is on its way, or it is too early for the next
        self._loop: Final = loop
        self._name: Final = name
        self._on_free: Final = on_free
        self._flight: Timer | None = None  # of a flip whose end was not told yet
        self._pause: Timer | None = None
        self._complained = False
        self._free_at = 0.0  # when it last became free, or would have on a screen

    def take_off(self) -> None:
        """Hear that a flip has begun."""
        self.busy = True
        self._flight = self._loop.at(self._loop.now() + _LOST_S, self._on_lost)

    def land(self) -> None:
        """Hear from the card that the flip is done; harmless if none had begun."""
        if self._flight is not None:
            self._flight.cancel()
            self._flight = None
            self.shown()

    def shown(self) -> None:
        """Hear that a picture is on the screen."""
        now = self._loop.now()
        if now - self._free_at < self.period / 2:
            self.busy = True
            self._free_at += self.period
            self._pause = self._loop.at(self._free_at, self._free)
        else:
            self._free_at = now
            if self.busy:  # else nobody was refused anything
                self._loop.soon(self._free)

    def reset(self) -> None:
        """Forget what was on its way."""
        for timer in (self._flight, self._pause):
            if timer is not None:
                timer.cancel()
        self._flight = self._pause = None
        self.busy = False

    def _on_lost(self) -> None:
        if not self._complained:
            log.warning("%s: the card has not said that a picture is shown", self._name)
            self._complained = True
        self._flight = None
        self.shown()

    def _free(self) -> None:
        if self._flight is None:  # else another has begun since `reset`
            self._pause = None
            self.busy = False
            self._on_free()
