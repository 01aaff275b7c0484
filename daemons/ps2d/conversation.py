"""Commands to one PS/2 device, one after another, each acknowledged before the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from daemons.ps2d import regs

FOREVER: Final = float("inf")
_TRIES: Final = 3


class Command(NamedTuple):
    """A byte for the device, how many bytes it answers once it has acknowledged, and how soon."""

    byte: int
    answers: int = 0
    within: float = 0.5


Then: TypeAlias = Callable[[list[int] | None], object]
"""Called with the last command's answer; None when the device does not do as it is told."""


class Conversation:
    """At most one sequence of commands at a time; a new one takes its place."""

    def __init__(self, send: Callable[[int], bool]) -> None:
        """`send` passes a byte on, False where no device takes any."""
        self._send: Final = send
        self._left: Final[deque[Command]] = deque()
        self._then: Then = lambda answer: None
        self._now: Command | None = None
        self._acknowledged = False
        self._tries = 0
        self._answer: list[int] = []
        self.deadline = FOREVER

    def begin(self, commands: Iterable[Command], then: Then, now: float) -> None:
        """Send commands; call `then` at the end."""
        self._left.clear()
        self._left.extend(commands)
        self._then = then
        self._next(now)

    def _next(self, now: float) -> None:
        if not self._left:
            self._end(self._answer)
            return
        self._now = self._left.popleft()
        self._tries = _TRIES
        self._say(now)

    def _say(self, now: float) -> None:
        command = self._now
        self._acknowledged, self._answer = False, []
        self._tries -= 1
        if command is None or self._tries < 0 or not self._send(command.byte):
            self._end(None)
            return
        self.deadline = now + command.within

    def _end(self, answer: list[int] | None) -> None:
        self._now, self.deadline = None, FOREVER
        self._left.clear()
        self._then(answer)

    def take(self, byte: int, now: float) -> bool:
        """Take a byte of the device, if it is an answer; False if it is not."""
        command = self._now
        if command is None:
            return False
        if not self._acknowledged:
            if byte == regs.RESEND:
                self._say(now)
                return True
            if byte != regs.ACKNOWLEDGE:
                return False  # it was on its way when the command was
            self._acknowledged = True
        else:
            self._answer.append(byte)
        if len(self._answer) == command.answers:
            self._next(now)
        return True

    def tick(self, now: float) -> None:
        """Give up on a device that has not answered in time."""
        if now >= self.deadline:
            self._end(None)
