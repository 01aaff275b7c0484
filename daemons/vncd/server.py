"""All viewers: who comes in, who is served next, and who is shown the door.

Whoever has not come in after a while, or takes nothing for a while, has to go.  One piece of one
update is made in a round of the loop, so that the scheme's clients never wait for more than that.
"""

from __future__ import annotations

import logging
import os
import socket
from enum import StrEnum
from typing import Final, NamedTuple

from daemons.vncd import messages as m
from daemons.vncd.access import Secrets, Tries
from daemons.vncd.conversation import Conversation
from daemons.vncd.desk import Desk
from daemons.vncd.http import Page
from daemons.vncd.keys import Keys, Stroke
from daemons.vncd.messages import Outcome
from daemons.vncd.painter import Painter
from daemons.vncd.poller import Poller
from daemons.vncd.viewer import Viewer
from daemons.vncd.web import Browser
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

COME_IN_S: Final = 5.0  # from the connection to the first words
TYPE_S: Final = 120.0  # for a password, which somebody may have to look up
STALLED_S: Final = 10.0  # without taking a byte of what waits for him
_SWEEP_S: Final = 1.0
_STRANGERS_MOST: Final = 16  # not in yet; of more, the first has to go
_KEYS_MOST: Final = 64  # that one viewer can hold


class Way(StrEnum):
    """Where a viewer came from, and so what is asked of him."""

    PASSWORD = "password"
    OPEN = "open"  # nothing is asked: the user wants it so, or only root gets there
    WEB = "web"  # a page, and WebSockets with its token


class Listener(NamedTuple):
    """A socket where viewers call."""

    socket: socket.socket
    way: Way


class Server:
    """The viewers there are."""

    def __init__(
        self, loop: Loop, desk: Desk, access: Secrets, page: Page, name: str, own: str, most: int
    ) -> None:
        """`own` is the name the page may be reached by, `most` how many viewers may be in."""
        self.viewers: Final[dict[int, Viewer]] = {}  # by their descriptors
        self.desk: Final = desk
        self.access: Final = access
        self.tries: Final = Tries()
        self.page: Final = page
        self.name: Final = name
        self.own: Final = own
        self.loop: Final = loop
        self.most: Final = most
        self._poller: Final = Poller(loop)
        self._listeners: Final[list[Listener]] = []
        self._turn: Final[list[int]] = []  # who wants a piece, in the order of when they had one
        self._sweeping = False
        loop.at_round_end(self._end_round)

    # -- coming ------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Let viewers in at a socket."""
        listener.socket.setblocking(False)
        self._listeners.append(listener)
        self.loop.watch(listener.socket.fileno(), lambda: self._accept(listener))

    def _accept(self, listener: Listener) -> None:
        try:
            sock, address = listener.socket.accept()
        except OSError:  # he has gone already, or there are too many files
            return
        sock.setblocking(False)
        strangers = [v for v in self.viewers.values() if not self._is_in(v)]
        if len(strangers) >= _STRANGERS_MOST:
            silent = [one for one in strangers if not one.has_spoken]
            self._end((silent or strangers)[0], "makes room for others")
        if len(self.viewers) - min(len(strangers), _STRANGERS_MOST) >= self.most:
            sock.close()
            log.debug("there are %d viewers already", self.most)
            return
        where = address[0] if isinstance(address, tuple) else "root"
        viewer = Viewer(sock, where, self.loop.now())
        self.viewers[viewer.fd] = viewer
        if listener.way is Way.WEB:
            browser = Browser(viewer, self)
            self._poller.add(viewer.fd, lambda read, write: self._on_ready(viewer, read, browser))
        else:
            self._poller.add(viewer.fd, lambda read, write: self._on_ready(viewer, read, None))
            self.talk(viewer, asks=listener.way is Way.PASSWORD)
        self._after(viewer)
        self._sweep_later()

    def talk(self, viewer: Viewer, asks: bool) -> None:
        """Begin the protocol; `asks` for the password."""
        host = _Host(self, viewer, asks)
        viewer.conversation = Conversation(host, host.come_in)
        viewer.answer()

    @staticmethod
    def _is_in(viewer: Viewer) -> bool:
        return viewer.conversation is not None and viewer.conversation.painter is not None

    # -- being served ------------------------------------------------------------------------------

    def _on_ready(self, viewer: Viewer, read: bool, browser: Browser | None) -> None:
        if read:
            data = viewer.read()
            if data and browser is not None and viewer.conversation is None:
                data = browser.receive(data)
            if data:
                viewer.converse(data)
        self._after(viewer)

    def _after(self, viewer: Viewer) -> None:
        """Send what can be sent, and say what is waited for."""
        viewer.flush(self.loop.now())
        if viewer.ended:
            self._end(viewer, viewer.ended)
            return
        if viewer.wants_piece and viewer.fd not in self._turn:
            self._turn.append(viewer.fd)
        # Who wants a piece is served at the round's end; while others are, his readiness to write
        # keeps the loop from sleeping.
        self._poller.want(viewer.fd, not viewer.deaf, viewer.busy)

    def _end_round(self) -> None:
        """Make one piece for whoever has waited longest."""
        for fd, painter in self.desk.painters.items():
            if painter.busy and fd not in self._turn and self.viewers[fd].wants_piece:
                self._turn.append(fd)
                self._poller.want(fd, not self.viewers[fd].deaf, True)  # whose turn may come later
        while self._turn:
            viewer = self.viewers.get(self._turn.pop(0))
            if viewer is not None and viewer.wants_piece:
                viewer.make_piece()
                self._after(viewer)
                return

    # -- going -------------------------------------------------------------------------------------

    def _sweep_later(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self.loop.at(self.loop.now() + _SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Show those the door who only take up room; runs while there is anybody."""
        self._sweeping = False
        now = self.loop.now()
        for viewer in list(self.viewers.values()):
            stalled = viewer.stalled_since
            patience = TYPE_S if viewer.has_spoken else COME_IN_S
            if not self._is_in(viewer) and now - viewer.since > patience:
                self._end(viewer, "did not come in")
            elif stalled is not None and now - stalled > STALLED_S:
                self._end(viewer, "takes nothing any more")
        if self.viewers:
            self._sweep_later()

    def _end(self, viewer: Viewer, why: str) -> None:
        if self.viewers.pop(viewer.fd, None) is None:
            return
        # Of strangers there may be any number: they do not fill the log.
        log.log(
            logging.INFO if self._is_in(viewer) else logging.DEBUG, "%s %s", viewer.address, why
        )
        self._poller.remove(viewer.fd)
        self.desk.leave(viewer.fd)
        for leave in viewer.at_end:
            leave()
        viewer.socket.close()

    def close(self) -> None:
        """Let all go."""
        for viewer in list(self.viewers.values()):
            self._end(viewer, "is left alone: we end")
        for listener in self._listeners:
            self.loop.unwatch(listener.socket.fileno())
            listener.socket.close()
        self._poller.close()


class _Host:
    """What one viewer's conversation needs of us."""

    def __init__(self, server: Server, viewer: Viewer, asks: bool) -> None:
        self.name: Final = server.name
        self._server: Final = server
        self._desk: Final = server.desk
        self._viewer: Final = viewer
        self._asks: Final = asks
        self._keys: Final = Keys()
        self._held: Final[dict[int, Stroke]] = {}  # by keys, or characters below 0
        self._buttons = 0
        viewer.at_end.append(self._let_go)

    def come_in(self) -> Painter | None:
        if len(self._desk.painters) >= self._server.most:  # others were quicker with their password
            log.debug("there are %d viewers already", self._server.most)
            return None
        log.info("%s is in", self._viewer.address)
        return self._desk.enter(self._viewer.fd)

    def challenge(self) -> bytes | None:
        return os.urandom(m.CHALLENGE_SIZE) if self._asks else None

    def admit(self, challenge: bytes, response: bytes) -> str:
        server, address, now = self._server, self._viewer.address, self._server.loop.now()
        if not server.tries.may(address, now):
            return "too many tries; wait a while"
        if server.access.answers(challenge, response):
            server.tries.succeeded(address)
            return ""
        server.tries.failed(address, now)
        log.warning("%s does not know the password", address)
        return "the password is wrong"

    def key(self, symbol: int, scancode: int, pressed: bool) -> None:
        for stroke in self._keys.strokes(symbol, scancode, pressed):
            # A key may come up with another character than it went down with: Shift was quicker.
            which = stroke.key or -stroke.character
            self._held.pop(which, None)
            if pressed:
                if len(self._held) >= _KEYS_MOST:
                    first = next(iter(self._held))
                    self._desk.stroke(self._held.pop(first), False)
                self._held[which] = stroke
            self._desk.stroke(stroke, pressed)

    def pointer(self, x: int, y: int, buttons: int) -> None:
        self._desk.point(self._viewer.fd, x, y, buttons, self._buttons)
        self._buttons = buttons

    def resize(self, width: int, height: int) -> Outcome:
        return self._desk.resize(self._viewer.fd, width, height)

    def _let_go(self) -> None:
        """Press no key any more: nobody would let it go."""
        for stroke in self._held.values():
            self._desk.stroke(stroke, False)
        self._held.clear()
