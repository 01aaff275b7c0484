"""Which commands take too long, and what is left to try."""

from __future__ import annotations

from collections import deque
from typing import Final

from daemons.ahcid.slots import Command, CommandList, Single

WINDOW_S: Final = 60.0
MOST_RESETS: Final = 4  # COMRESETs of a port within WINDOW_S; after one more the adapter is reset
MOST_ADAPTER_RESETS: Final = 2  # on behalf of one port; after one more that port is dead
_SINGLE: Final = -1  # stands for the slot of the single command


class Watch:
    """Looks at all commands of a port once per tick, so that issuing one costs no clock.

    A command's age counts from the first tick that saw it: a timeout is never early, and late by at
    most one tick.
    """

    def __init__(self, timeout: float) -> None:
        """Allow a command `timeout` seconds."""
        self._timeout: Final = timeout
        self._since: dict[int, tuple[Command | Single, float]] = {}

    def forget(self) -> None:
        """All commands have ended or will be issued again."""
        self._since.clear()

    @property
    def known(self) -> int:
        """How many commands the last tick saw running."""
        return len(self._since)

    def still(self, commands: CommandList) -> int:
        """How many of the commands that the last tick saw are still running."""
        running = _running(commands)
        return sum(running.get(slot) is it for slot, (it, _) in self._since.items())

    def late(self, now: float, commands: CommandList) -> list[Command | Single]:
        """Return the commands that have outlived their timeout."""
        since: dict[int, tuple[Command | Single, float]] = {}
        late: list[Command | Single] = []
        for slot, command in _running(commands).items():
            before = self._since.get(slot)
            began = now if before is None or before[0] is not command else before[1]
            since[slot] = command, began
            patience = command.patience if isinstance(command, Single) else 1.0
            if now - began >= self._timeout * patience:
                late.append(command)
        self._since = since
        return late


def _running(commands: CommandList) -> dict[int, Command | Single]:
    issued = commands.issued
    running: dict[int, Command | Single] = {
        slot: it for slot, it in enumerate(commands.table) if issued >> slot & 1 and it is not None
    }
    if commands.running is not None:
        running[_SINGLE] = commands.running
    return running


class Budget:
    """Decides when doing the same again is no use."""

    def __init__(self, most: int) -> None:
        """Allow `most` times within WINDOW_S."""
        self._most: Final = most
        self._when: Final[deque[float]] = deque()

    def spend(self, now: float) -> bool:
        """Count one more; False when there were too many of late."""
        while self._when and now - self._when[0] > WINDOW_S:
            self._when.popleft()
        self._when.append(now)
        return len(self._when) <= self._most
