"""An INTx line: up until its device is quiet, and perhaps for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

VAIN_MOST: Final = 64  # interrupts in a row for which there was nothing to do
REST_S: Final = 0.001  # between two of them after that

_log = logging.getLogger(__name__)


class Timers(Protocol):
    """What a `Loop` has of a clock."""

    def now(self) -> float: ...

    def at(self, when: float, callback: Callable[[], object]) -> object: ...


class IntxLine:
    """Runs a handler, and unmasks the line when it has run: only then can the device be quiet.

    A device whose line is stuck would have us, and Linux, do nothing else.  After `VAIN_MOST`
    interrupts that brought nothing the line is left alone for `REST_S` each time, until there is
    something to do again; what comes meanwhile is that late.
    """

    def __init__(
        self, handler: Callable[[], int], unmask: Callable[[], object], timers: Timers
    ) -> None:
        self._handler: Final = handler
        self._unmask: Final = unmask
        self._timers: Final = timers
        self._vain = 0

    def __call__(self) -> None:
        """Take an interrupt."""
        if self._handler():
            self._vain = 0
        else:
            self._vain += 1
            if self._vain > VAIN_MOST:
                if self._vain == VAIN_MOST + 1:
                    _log.warning("the device interrupts for nothing: its line is left to rest")
                self._timers.at(self._timers.now() + REST_S, self._unmask)
                return
        self._unmask()
