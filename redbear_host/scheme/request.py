"""One call of a client, as a scheme sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from redbear_host.scheme.clients import ClientMemory


class Caller(NamedTuple):
    """Who called: Redox's CallerCtx."""

    pid: int
    uid: int
    gid: int


class Later(Enum):
    """What a handler returns when it keeps its request and will answer it itself."""

    LATER = 0


LATER: Final = Later.LATER


class Request(ABC):
    """A call that waits for its answer.

    A handler either returns the answer, or keeps the request, returns `LATER`, and calls `answer`
    or `refuse` exactly once.  After that the object belongs to the door again, which reuses it.

    The door that received the call subclasses this and implements `answer` and `refuse`.
    """

    __slots__ = ("caller", "cancelled", "memory", "on_cancel", "replayed")

    caller: Caller
    cancelled: bool  # the client gave up (a signal); the request must still be answered
    memory: ClientMemory | None  # of an ioctl's caller, where the daemon may ask for it
    on_cancel: Callable[[Request], None] | None  # called once if the client gives up while parked
    replayed: bool  # a predecessor had it in hand when it died, and may have done it already

    def __init__(self) -> None:
        self.caller = Caller(0, 0, 0)
        self.cancelled = False
        self.memory = None
        self.on_cancel = None
        self.replayed = False

    @abstractmethod
    def answer(self, result: Any, /) -> None:
        """Finish the call; `result` is what the handler would have returned."""

    @abstractmethod
    def refuse(self, errno: int, /) -> None:
        """Finish the call with an error, given as Redox's errno."""


class Unheard(Request):
    """A call the server makes by itself: nobody waits for its answer.

    `inode` is what `fstat` said of a handle that is opened again, 0 where it said nothing.
    """

    __slots__ = ("inode",)

    def __init__(self, caller: Caller, inode: int = 0) -> None:
        super().__init__()
        self.caller = caller
        self.inode: Final = inode

    def answer(self, result: Any, /) -> None:
        """Drop the answer."""

    def refuse(self, errno: int, /) -> None:
        """Drop the error."""
