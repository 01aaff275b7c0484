"""One call in hand.  Slots are made once per connection and used again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

# What abi.sqe.Sqe and abi.cqe.Cqe hold, without an object per entry (tests hold them together).
SQE: Final = Struct("<BB2xIQQQQQQQ").pack_into  # opcode, flags, tag, six arguments, caller
CQE: Final = Struct("<BB2xIQ").unpack_from  # flags, NewFdFlags, tag, result


# Where a call is.  Plain numbers: they are compared several times in each call.
FREE: Final = 0
SENT: Final = 1
DONE: Final = 2
ORPHAN: Final = 3  # nobody waits any more; its answer is thrown away


class Slot:
    """A call's place: its tag, its bytes of the arena, and later its answer."""

    __slots__ = (
        "arena",
        "at",
        "fds",
        "index",
        "large",
        "new_flags",
        "opcode",
        "own",
        "result",
        "room",
        "state",
        "tag",
        "untaken",
        "wake",
    )

    def __init__(self, tag: int, own: int, arena: memoryview) -> None:
        self.tag: Final = tag
        self.own: Final = own  # offset of the bytes that are always this slot's
        self.arena: Final = arena
        self.at = own  # offset of the present payload
        self.large = 0  # bytes it has from the shared part of the arena
        self.room = 0  # bytes of the present payload
        self.opcode = 0
        self.index = 0  # place in the submission ring
        self.state = FREE
        self.result = 0  # a value, or a negated errno of Redox's
        self.new_flags = 0
        self.fds: Sequence[int] = ()
        self.untaken = False  # the connection ended before the daemon had seen the call
        self.wake: Callable[[], object] | None = None
