"""The way to `input/producer`, which is found again whenever inputd was started again.

Nobody waits for inputd here: what is not answered yet is looked at when the answer comes.
"""

from __future__ import annotations

import logging
from typing import Final

from redbear_host.abi import flags as f
from redbear_host.client import calls
from redbear_host.client.calls import Answer
from redbear_host.client.looped import Looped
from redbear_host.daemon import Daemon
from redbear_host.link import Link
from redbear_host.ring.layout import NO_OFFSET

log = logging.getLogger(__name__)

SCHEME: Final = "input"

_CALLS_MOST: Final = 4  # that inputd has not answered


class InputLink:
    """A handle of `input/producer`, while there is one."""

    def __init__(self, daemon: Daemon) -> None:
        """Find it, and again after each death of inputd."""
        self._link: Final = Link(SCHEME, daemon)
        self._link.on_open = self._open
        self._link.on_lost = self._on_lost
        daemon.callback(self._link.close)
        self._connection: Looped | None = None
        self._handle = -1
        self._unanswered = 0
        self._link.start()

    def _open(self, connection: Looped) -> None:
        self._connection = connection
        connection.perform(calls.openat(0, b"producer", f.O_WRONLY, 0), self._on_opened)

    def _on_opened(self, answer: Answer | OSError) -> None:
        if isinstance(answer, OSError):
            log.warning("%s takes no events: %s", SCHEME, answer.strerror)
        else:
            self._handle = answer.handle

    def _on_lost(self) -> None:
        self._connection, self._handle, self._unanswered = None, -1, 0

    # -- events ------------------------------------------------------------------------------------

    @property
    def is_expected(self) -> bool:
        """Whether there is inputd, or will be in a moment."""
        return self._link.expected

    @property
    def has_room(self) -> bool:
        """Whether `write` may be called; asked again at the end of each round."""
        return self._handle >= 0 and self._unanswered < _CALLS_MOST

    def write(self, data: bytes) -> None:
        """Hand over events."""
        if self._connection is not None:
            self._unanswered += 1
            call = calls.write(self._handle, data, NO_OFFSET, 0)
            self._connection.perform(call, self._on_written)

    def _on_written(self, answer: int | OSError) -> None:
        self._unanswered = max(0, self._unanswered - 1)
        if isinstance(answer, OSError) and self._connection is not None:
            log.warning("%s takes no events: %s", SCHEME, answer.strerror)
