"""Ends of connections, and listeners that wait for them."""

from __future__ import annotations

from collections import deque
from typing import Final

from daemons.ipcd.inbox import Inbox
from redbear_host.abi import flags as f
from redbear_host.scheme.request import Caller, Request

BACKLOG: Final = 128  # connections that nobody has accepted yet


class End:
    """One end of a connection."""

    __slots__ = ("accepted", "caller", "closed", "ends", "inbox", "number", "peer", "shut")

    def __init__(self, caller: Caller) -> None:
        self.caller: Final = caller  # who opened it
        self.inbox: Final = Inbox()
        self.peer: End = self
        self.number = -1  # of the handle that events of this end go to
        self.accepted = False
        self.closed = False
        self.shut = False  # it sends no more (SHUT_WR)
        self.ends = False  # it takes no more (SHUT_RD)

    @property
    def at_end(self) -> bool:
        """Whether nothing more will come."""
        return self.peer.closed or self.peer.shut or self.ends

    @property
    def broken(self) -> bool:
        """Whether nobody will ever read what is written here."""
        return self.peer.closed or self.peer.ends or self.shut

    def ready(self) -> int:
        """Return which events are true now."""
        ready = f.EVENT_READ if len(self.inbox) or self.at_end else 0
        if self.broken or (self.accepted and self.peer.inbox.room):
            ready |= f.EVENT_WRITE
        return ready


def pair(one: Caller, other: Caller) -> tuple[End, End]:
    """Make two ends that are each other's peer."""
    ends = End(one), End(other)
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    return ends


class Listener:
    """Where connections come in; `name` is empty for one that has none."""

    def __init__(self, name: str, owner: Caller) -> None:
        self.name = name
        self.owner: Final = owner
        self.waiting: Final[deque[End]] = deque()  # our ends, which nobody has accepted yet
        self.accepting: Final[deque[Request]] = deque()  # who waits for one
        self.handles: Final[set[int]] = set()  # that stand for it
        self.closed = False


class Socket:
    """What a handle stands for: a listener, a connection, both, or neither yet.

    A listener whose handle is read or written becomes the connection to its first client: so
    programs that only know files can serve one.
    """

    def __init__(self, caller: Caller, flags: int) -> None:
        self.caller: Final = caller
        self.flags = flags
        self.name = ""  # what it is bound to, or was opened as
        self.listener: Listener | None = None
        self.end: End | None = None
        self.outgoing: list[int] = []  # descriptors that came by sendfd, for the next message
        self.fetched: list[int] = []  # descriptors that a message brought, for recvfd
        self.token = b""
