"""Who asks before the screens are known waits until they are, a second at most.

So nobody sees a desktop without screens because it was just started, or started again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER, Later, Request, Unheard
from redbear_host.scheme.scheme import Opened


class Gate:
    """Closed at first."""

    def __init__(self) -> None:
        self._is_open = False
        self._waiting: Final[dict[Request, Callable[[], Opened]]] = {}

    def pass_(self, request: Request, act: Callable[[], Opened]) -> Opened | Later:
        """Do what a request asks for, now or when the gate opens.

        What is opened again for a predecessor's client never waits: its windows are there.
        """
        if self._is_open or isinstance(request, Unheard):
            return act()
        self._waiting[request] = act
        request.on_cancel = self._cancel
        return LATER

    def open(self) -> None:
        """Let all pass, from now on."""
        self._is_open = True
        while self._waiting:
            request = next(iter(self._waiting))
            act = self._waiting.pop(request)
            try:
                opened = act()
            except Refused as refusal:
                request.refuse(refusal.errno)
            else:
                request.answer(opened)

    def _cancel(self, request: Request) -> None:
        if self._waiting.pop(request, None) is not None:
            request.refuse(e.ECANCELED)
