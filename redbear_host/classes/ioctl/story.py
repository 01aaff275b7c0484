"""Calls that take several steps: a generator yields what to wait for, and is sent what came.

A step is a function that takes a callback and calls it once, now or later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final, TypeAlias, TypeVar

from redbear_host.errors import Refused
from redbear_host.scheme.request import Request

T = TypeVar("T")
Step: TypeAlias = Callable[[Callable[[Any], object]], object]
Story: TypeAlias = Generator[Step, Any, T]


def tell(story: Story[Any], request: Request) -> None:
    """Answer `request` with what the story returns, or refuse it with what it raises."""

    def go_on(came: Any) -> None:
        try:
            step = story.send(came)
        except StopIteration as end:
            request.answer(end.value)
        except Refused as refused:
            request.refuse(refused.errno)
        else:
            step(go_on)

    go_on(None)


class Asked(Request):
    """A request of our own, to somebody who answers requests; a step's last stop."""

    __slots__ = ("_told",)

    def __init__(self, told: Callable[[Any], object]) -> None:
        super().__init__()
        self._told: Final = told

    def answer(self, result: Any, /) -> None:
        """Tell the result; of memory that is lent for this call only, a copy."""
        self._told(bytes(result) if isinstance(result, memoryview) else result)

    def refuse(self, errno: int, /) -> None:
        """Tell the error."""
        self._told(Refused(errno))


class Turns:
    """Lets `most` stories at once do something: `yield turns.take`, then `give` in `finally`."""

    def __init__(self, most: int = 1) -> None:
        self._free = most
        self._giving = False
        self._waiting: Final[deque[Callable[[Any], object]]] = deque()

    def take(self, told: Callable[[Any], object]) -> None:
        """Wait for the turn."""
        if self._free and not self._waiting:
            self._free -= 1
            told(None)
        else:
            self._waiting.append(told)

    def give(self) -> None:
        """End the turn; whoever waits next has his.

        A turn that ends at once ends in here: it is this loop that goes on, not one more below it.
        """
        self._free += 1
        if self._giving:
            return
        self._giving = True
        try:
            while self._free and self._waiting:
                self._free -= 1
                self._waiting.popleft()(None)
        finally:
            self._giving = False
