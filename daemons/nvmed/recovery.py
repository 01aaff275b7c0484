"""Which commands take too long, and what is left to try.

The ladder: a command that outlives its timeout is aborted; if neither the command nor the abort has
ended it a while later, the controller is reset; too many resets in a short time and the controller
is given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from daemons.nvmed.passthrough import patience
from daemons.nvmed.queues import Ring

MOST_RESETS: Final = 3  # within RESET_WINDOW_S; one more and the controller is given up
RESET_WINDOW_S: Final = 60.0


class Late(NamedTuple):
    """A command that has outlived its timeout."""

    ring: Ring[Any]
    cid: int
    command: object
    age: float  # seconds since a tick first saw it


class _Watched:
    __slots__ = ("aborted", "command", "since")

    def __init__(self, command: object, since: float) -> None:
        self.command: Final = command
        self.since: Final = since
        self.aborted: float | None = None


class Watchdog:
    """Looks at all commands once per tick, so that issuing one costs no look at the clock.

    A command's age counts from the first tick that saw it: a timeout is never early, and late by at
    most one tick.
    """

    def __init__(self, timeout: float, grace: float) -> None:
        """Allow a command `timeout` seconds, and `grace` more once its abort was asked for."""
        self._timeout: Final = timeout
        self._grace: Final = grace
        self._watched: dict[tuple[int, int], _Watched] = {}

    def forget(self) -> None:
        """All commands have ended or will be issued again."""
        self._watched.clear()

    def waiting(self, rings: Iterable[Ring[Any]]) -> int:
        """How many of the commands that the last tick saw have still not ended."""
        running = {(ring.qid, cid): it for ring in rings for cid, it in ring.in_flight()}
        return sum(running.get(key) is it.command for key, it in self._watched.items())

    def inspect(self, now: float, rings: Iterable[Ring[Any]]) -> tuple[list[Late], list[Late]]:
        """Return the commands to abort, oldest first, and those for which nothing else helped.

        An admin command is never aborted, as abort is one itself.
        """
        watched: dict[tuple[int, int], _Watched] = {}
        late: list[Late] = []
        lost: list[Late] = []
        for ring in rings:
            for cid, command in ring.in_flight():
                key = ring.qid, cid
                it = self._watched.get(key)
                if it is None or it.command is not command:
                    it = _Watched(command, now)
                watched[key] = it
                age, allowed = now - it.since, patience(command, self._timeout)
                if age < allowed:
                    continue
                if it.aborted is None:
                    # Without a free abort its turn may never come; it waits no longer than others.
                    over = ring.qid == 0 or age >= allowed + 2 * self._grace
                else:
                    over = now - it.aborted >= self._grace
                if over:
                    lost.append(Late(ring, cid, command, age))
                elif it.aborted is None:
                    late.append(Late(ring, cid, command, age))
        self._watched = watched
        late.sort(key=lambda it: -it.age)
        return late, lost

    def aborting(self, late: Late, now: float) -> None:
        """Abort was asked for this command."""
        self._watched[late.ring.qid, late.cid].aborted = now


class ResetBudget:
    """Decides when resetting the controller again is no use."""

    def __init__(self) -> None:
        self._when: Final[deque[float]] = deque()

    def spend(self, now: float) -> bool:
        """Count one reset; False when there were too many of late."""
        while self._when and now - self._when[0] > RESET_WINDOW_S:
            self._when.popleft()
        self._when.append(now)
        return len(self._when) <= MOST_RESETS
