"""The way to `input/producer`, which is found again whenever inputd was started again.

Locked in, we find no sockets: the shim calls there for us (`kernel_shim.joins`).  Nobody waits for
inputd here: what is not answered yet is looked at when the answer comes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.client import calls
from redbear_host.client.calls import Answer
from redbear_host.client.looped import Looped
from redbear_host.ring.layout import NO_OFFSET
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

SCHEME: Final = "input"

_QUESTION: Final = 2  # the id of what the shim is asked; 0 and 1 are others'
_AGAIN_S: Final = 0.2  # between two calls at a scheme that takes none
_CALLS_MOST: Final = 4  # that inputd has not answered


class InputLink:
    """A handle of `input/producer`, while there is one."""

    def __init__(self, loop: Loop, say: Callable[[Mapping[str, Any]], object]) -> None:
        """`say` tells the shim something; what it answers comes to `on_told`."""
        self._loop: Final = loop
        self._say: Final = say
        self._connection: Looped | None = None
        self._asked = False
        self._again = False  # it is called in a moment
        self._handle = -1
        self._unanswered = 0

    def start(self, served: bool) -> None:
        """Call there if it is `served`; else once the shim says that it is."""
        if served:
            self._ask()

    def on_told(self, message: dict[str, Any], fds: list[int]) -> bool:
        """Hear what the shim says; tell whether it is for us alone."""
        if message.get("with") == SCHEME:
            self._ask()
        if message.get("answer") != _QUESTION:
            return False
        self._on_connected(message.get("errno", 0), fds[0] if fds else -1)
        return True

    def _ask(self) -> None:
        self._again = False
        if self._connection is None and not self._asked:
            self._asked = True
            self._say({"connect": SCHEME, "id": _QUESTION})

    def _on_connected(self, errno: int, fd: int) -> None:
        self._asked = False
        if fd < 0:
            if errno == e.EAGAIN:
                self._ask_later()
            return  # else it is gone, and we hear of it when it is there again
        connection = self._connection = Looped(SCHEME, fd, self._loop)
        connection.on_open = self._open
        connection.on_lost = self._on_lost

    def _open(self) -> None:
        if self._connection is not None:
            call = calls.openat(0, b"producer", f.O_WRONLY, 0)
            self._connection.perform(call, self._on_opened)

    def _on_opened(self, answer: Answer | OSError) -> None:
        if isinstance(answer, OSError):
            log.warning("%s takes no events: %s", SCHEME, answer.strerror)
        else:
            self._handle = answer.handle

    def _on_lost(self) -> None:
        self._connection, self._handle, self._unanswered = None, -1, 0
        # Its successor is called; one that ends with each call must not keep us busy.
        self._ask_later()

    def _ask_later(self) -> None:
        self._again = True
        self._loop.at(self._loop.now() + _AGAIN_S, self._ask)

    # -- events ------------------------------------------------------------------------------------

    @property
    def is_expected(self) -> bool:
        """Whether there is inputd, or will be in a moment."""
        return self._connection is not None or self._asked or self._again

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

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
