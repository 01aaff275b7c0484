"""One FUSE request, standing in its slot of the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from redbear_host.scheme.request import Caller, Request

if TYPE_CHECKING:
    from schemefs.connection import Connection

EMPTY: Final = memoryview(b"")


class FuseRequest(Request):
    """A request; the object belongs to its slot and is used again and again.

    `fh`, `offset`, `size` and `flags` are the arguments of READ and WRITE, at whose places other
    operations keep other things: those unpack `body` themselves.
    """

    __slots__ = (
        "area",
        "began",
        "connection",
        "fh",
        "flags",
        "head",
        "iov",
        "length",
        "node",
        "offset",
        "opcode",
        "parked",
        "payload",
        "replayed",
        "size",
        "slot",
        "unique",
        "who",
        "word",
    )

    def __init__(self, connection: Connection, slot: int) -> None:
        self.connection: Final = connection
        self.slot: Final = slot
        self.head, self.word = connection.journal.request(slot)
        self.iov: Final[list[memoryview]] = [self.head, EMPTY]
        self.area = -1  # data area it owns
        self.began = 0  # when we took it, in nanoseconds, if it is to be recorded
        self.payload: memoryview = EMPTY  # what came after the first 80 bytes
        self.parked = False
        self.replayed = False
        self.cancelled = False
        self.memory = None
        self.on_cancel: Callable[[Request], None] | None = None
        self.length = self.opcode = self.unique = self.node = 0
        self.fh = self.offset = self.size = self.flags = 0
        self.caller = Caller(0, 0, 0)
        self.who = b""  # the same, as the kernel wrote it

    @property
    def body(self) -> bytes:
        """Everything after the header, in one piece: for operations that are not hot."""
        return bytes(self.head[40 : self.length]) + bytes(self.payload)

    def answer(self, result: Any, /) -> None:
        """Finish the call with what its handler would have returned."""
        self.connection.finish(self, result)

    def refuse(self, errno: int, /) -> None:
        """Finish the call with a Redox errno."""
        self.connection.refuse(self, errno)
