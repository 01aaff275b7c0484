"""What the bytes of a disk may hold while requests overlap in time."""

from __future__ import annotations

from typing import Any, NamedTuple

from redbear_host.abi import errno as e
from redbear_host.scheme.request import Caller, Request

FOREVER = 1 << 60


class Written(NamedTuple):
    """A value a byte may hold since `start`; a write that failed may have left it all the same."""

    value: int
    call: Call


class Call(Request):
    """One request: when it began and ended, on the history's own clock."""

    def __init__(self, history: History, size: int, offset: int) -> None:
        super().__init__()
        self.caller = Caller(1, 0, 0)
        self.history = history
        self.place = range(offset, min(offset + size, history.size))
        self.start = history.tick()
        self.end = FOREVER
        self.failed = False

    def answer(self, result: Any, /) -> None:
        self._ended()
        self.check(result)

    def refuse(self, errno: int, /) -> None:
        self._ended()
        self.failed = True
        assert errno in ((e.EIO, e.ECANCELED) if self.cancelled else (e.EIO,))

    def _ended(self) -> None:
        assert self.end == FOREVER, "answered twice"
        self.end = self.history.tick()
        self.history.waiting.remove(self)

    def check(self, result: Any) -> None:
        assert result is None


class Read(Call):
    def check(self, result: Any) -> None:
        assert len(result) == len(self.place)
        for at, value in zip(self.place, result, strict=True):
            assert value in self.history.possible(at, self.start), (at, value)


class Change(Call):
    def __init__(self, history: History, size: int, offset: int, value: int) -> None:
        super().__init__(history, size, offset)
        for at in self.place:
            history.bytes[at].append(Written(value, self))


class Write(Change):
    def check(self, result: Any) -> None:
        assert result == len(self.place)


class History:
    """Every value each byte was given, and by which request."""

    def begin(self, size: int) -> None:
        self.size = size
        self.time = 0
        self.value = 0
        self.waiting: list[Call] = []
        self.bytes: list[list[Written]] = [[] for _ in range(size)]
        origin = Change(self, size, 0, 0)
        origin.end = self.tick()

    def tick(self) -> int:
        self.time += 1
        return self.time

    def possible(self, at: int, since: int) -> set[int]:
        """Values byte `at` may have had at a time after `since`."""
        history = self.bytes[at]
        settled = [one.call for one in history if not one.call.failed and one.call.end < since]
        last = max(call.start for call in settled)
        return {one.value for one in history if one.call.end >= last}
