"""One connection: a viewer's, or a browser's with a viewer in its page."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from daemons.vncd.conversation import Conversation

READ_MOST: Final = 1 << 13  # bytes of one round: some thousand events, or a piece of nonsense
PIECES_UNTIL: Final = 1 << 16  # bytes that wait; with more there is no further piece
ANSWERS_MOST: Final = 1 << 18  # bytes that wait; with more, nothing is heard


class Framing(Protocol):
    """What lies between the protocol and the socket: WebSocket's frames."""

    out: list[bytes]
    ended: str

    def receive(self, data: bytes, /) -> bytes:
        """Return what is inside of what came."""
        ...

    def wrap(self, data: bytes, /) -> bytes:
        """Return what goes around what is sent."""
        ...


class Viewer:
    """A socket, what waits to be sent on it, and the conversation over it."""

    def __init__(self, sock: socket.socket, address: str, now: float) -> None:
        self.socket: Final = sock
        self.fd: Final = sock.fileno()
        self.address: Final = address
        self.since: Final = now
        self.moved = now  # when bytes last went out, or there were none to go
        self.sent = self.received = 0  # bytes
        self.ended = ""  # why
        self.conversation: Conversation | None = None
        self.framing: Framing | None = None
        self.end_when_sent = False
        self.at_end: Final[list[Callable[[], object]]] = []  # called when he has gone
        self._out: Final[deque[bytes | memoryview]] = deque()
        self._waiting = 0  # bytes in it

    # -- what comes --------------------------------------------------------------------------------

    def read(self) -> bytes:
        """Return what has come; nothing if nothing has, or the other side has ended."""
        try:
            data = os.read(self.fd, READ_MOST)
        except BlockingIOError:
            return b""
        except OSError as error:
            self.ended = error.strerror or str(error)
            return b""
        if not data:
            self.ended = "has gone"
        self.received += len(data)
        return data

    def converse(self, data: bytes) -> None:
        """Hand what came to the conversation, and queue its answers."""
        conversation = self.conversation
        if conversation is None:
            return
        if self.framing is not None:
            data = self.framing.receive(data)
            if self.framing.out:  # a pong, a farewell
                self.queue(b"".join(self.framing.out))
                self.framing.out.clear()
        if data:
            conversation.receive(data)
        self.answer()
        self.ended = conversation.ended or (self.framing.ended if self.framing else "")

    def answer(self) -> None:
        """Queue what the conversation has to say."""
        if self.conversation is not None and self.conversation.out:
            said = b"".join(self.conversation.out)
            self.conversation.out.clear()
            self._queue_wrapped(said)

    @property
    def has_spoken(self) -> bool:
        """Whether he has chosen a version and a security: a person may be typing a password."""
        conversation = self.conversation
        return conversation is not None and conversation.challenged

    # -- what goes ---------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something is to be sent, or a piece of an update to be made."""
        return bool(self._out) or self.wants_piece

    @property
    def wants_piece(self) -> bool:
        """Whether there is a piece to be made, and he has taken what came before."""
        if self._waiting >= PIECES_UNTIL or self.conversation is None:
            return False
        painter = self.conversation.painter
        return painter is not None and painter.busy

    @property
    def deaf(self) -> bool:
        """Whether he has to take our answers before he is heard again."""
        return self._waiting >= ANSWERS_MOST

    def make_piece(self) -> None:
        """Queue the next piece, where `wants_piece`."""
        if self.conversation is not None and self.conversation.painter is not None:
            self._queue_wrapped(self.conversation.painter.piece())

    def _queue_wrapped(self, data: bytes) -> None:
        self.queue(data if self.framing is None else self.framing.wrap(data))

    def queue(self, data: bytes) -> None:
        """Send bytes, when they can be."""
        if data:
            self._out.append(data)
            self._waiting += len(data)

    def flush(self, now: float) -> None:
        """Send what the socket takes."""
        while self._out:
            data = self._out[0]
            try:
                count = os.write(self.fd, data)
            except BlockingIOError:
                return
            except OSError as error:
                self.ended = error.strerror or str(error)
                return
            self.sent += count
            self._waiting -= count
            self.moved = now
            if count < len(data):
                self._out[0] = memoryview(data)[count:]
                return
            self._out.popleft()
        self.moved = now
        if self.end_when_sent:
            self.ended = "was answered"

    @property
    def stalled_since(self) -> float | None:
        """When he last took something, if something waits; None if nothing does."""
        return self.moved if self._out else None
