"""One call that came by a ring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from redbear_host.scheme.request import Caller, Request

if TYPE_CHECKING:
    from redbear_host.ring.client import Client
    from redbear_host.ring.handles import Handle

# opcode, flags, tag, six arguments: the copy of an Sqe, the only one anybody looks at
SqeCopy: TypeAlias = tuple[int, int, int, int, int, int, int, int, int]


class RingRequest(Request):
    """A request; the object belongs to its client and is used again and again."""

    __slots__ = (
        "began",
        "client",
        "entry",
        "fds",
        "handle",
        "head",
        "held",
        "key",
        "parked",
        "payload",
        "weight",
    )

    def __init__(self, client: Client, caller: Caller) -> None:
        super().__init__()
        self.client: Final = client
        self.caller = caller
        self.entry: SqeCopy | None = None  # None: answered
        self.head = 0  # first word of the Cqe: what kind of answer, and NewFdFlags
        self.key: int | None = None  # in the client's table of waiting requests
        self.began = 0  # when we took it, in nanoseconds, if it is to be recorded
        self.weight = 0  # bytes kept for it if it has to wait
        self.held = 0  # how many of them its client's account shows
        self.parked = False  # it waits for an event of `handle`
        self.handle: Handle | None = None  # the handle whose close waits for it
        self.payload: bytes | bytearray | None = None  # copied from the arena, once
        self.fds: list[int] | None = None  # of a SENDFD, until the scheme has taken them

    def answer(self, result: Any, /) -> None:
        """Finish the call."""
        self.client.finish(self, result)

    def refuse(self, errno: int, /) -> None:
        """Finish the call with a Redox errno."""
        self.client.refuse(self, errno)
