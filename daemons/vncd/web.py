"""A browser's connection: it fetches the page, or becomes a viewer in it."""

from __future__ import annotations

import logging
from typing import Final, Protocol

from daemons.vncd import http
from daemons.vncd.access import Secrets
from daemons.vncd.http import Page, Refusal
from daemons.vncd.viewer import Viewer
from daemons.vncd.websocket import WebSocket

log = logging.getLogger(__name__)


class Site(Protocol):
    """What all of them share: `daemons.vncd.server`."""

    @property
    def access(self) -> Secrets:
        """The token, among others."""
        ...

    @property
    def page(self) -> Page:
        """What browsers fetch."""
        ...

    @property
    def own(self) -> str:
        """The name it may be reached by."""
        ...

    def talk(self, viewer: Viewer, asks: bool) -> None:
        """Begin the protocol of viewers."""
        ...


class Browser:
    """One connection, until it has asked for something."""

    def __init__(self, viewer: Viewer, site: Site) -> None:
        self._viewer: Final = viewer
        self._site: Final = site
        self._head: Final = bytearray()
        self._done = False

    def receive(self, data: bytes) -> bytes:
        """Take what came; return what is a viewer's already."""
        if self._done:
            return b""
        head = self._head
        head += data
        end = head.find(http.END)
        if end < 0:
            if len(head) > http.HEAD_MOST:
                self._answer(http.response(400, b"the request is too long\n"))
            return b""
        rest = bytes(head[end + len(http.END) :])
        try:
            return self._obey(http.parse(bytes(head[:end])), rest)
        except Refusal as refusal:
            log.debug("%s is refused: %s", self._viewer.address, refusal)
            self._answer(http.response(refusal.status, f"{refusal}\n".encode()))
            return b""

    def _obey(self, request: http.Request, rest: bytes) -> bytes:
        host = http.check_host(request, self._site.own)
        if request.path != http.SOCKET_PATH:
            self._answer(self._site.page.answer(request))
            return b""
        self._viewer.queue(http.upgrade(request, host, self._opens))
        self._done = True
        self._viewer.framing = WebSocket()
        self._site.talk(self._viewer, asks=False)
        return rest

    def _opens(self, token: str) -> bool:
        # Nobody guesses 192 bits; and a page with an old token, which tries for ever, must not keep
        # those out who come from the same machine.
        return self._site.access.opens(token)

    def _answer(self, response: bytes) -> None:
        self._done = True
        self._viewer.queue(response)
        self._viewer.end_when_sent = True
