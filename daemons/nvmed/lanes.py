"""The I/O queues of one controller, and the lobby where commands wait while there are none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from daemons.nvmed.admin import Admin, Story
from daemons.nvmed.queues import Command, Lobby, QueuePair
from daemons.nvmed.regs import Status, head_doorbell
from redbear_host.classes.disk import Done
from redbear_host.errors import DeviceError
from redbear_host.hw.ports import Dma


class Wishes(NamedTuple):
    """Which queues to ask for.

    None of them interrupts if they are `polled`; with `quick` there is one more, which does not and
    stands apart from the others, unless the controller grants a single one.
    """

    queues: int
    depth: int  # entries, a power of two
    polled: bool
    quick: bool


class Lanes:
    """Queue pairs 1 to n, each on its interrupt vector."""

    def __init__(
        self,
        vectors: int,
        wishes: Wishes,
        refuse: Callable[[Done, int], None],
        fail: Callable[[Command, Status], None],
    ) -> None:
        """Spread queues over `vectors` vectors; the first is the admin queue's unless it is alone.

        `refuse` ends a command that no queue took, `fail` one the controller ended with an error.
        """
        self._wishes: Final = wishes
        self._fail: Final = fail
        self.pairs: Final[list[QueuePair]] = []
        self.quick: QueuePair | None = None  # the last of those, if it does not interrupt
        self.wired: Final[list[list[QueuePair]]] = [[] for _ in range(vectors)]
        self.lobby: Final = Lobby(refuse)

    def arrive(self, admin: Admin, dma: Dma) -> Story[None]:
        """Lay out the queues that were wished for, or what the controller can take, and make them.

        Raises `DeviceError` when its registers have no doorbells for them.
        """
        wishes = self._wishes
        count = yield from admin.set_queue_count(wishes.queues + wishes.quick)
        self._lay_out(admin, dma, count)
        yield from self._create(admin)

    def come_back(self, admin: Admin) -> Story[None]:
        """Empty the queues and make them again, after a reset."""
        count = yield from admin.set_queue_count(len(self.pairs))
        if count < len(self.pairs):
            raise DeviceError(f"the controller now grants {count} queues only")
        for pair in self.pairs:
            pair.reset()
        yield from self._create(admin)

    def leave(self, admin: Admin) -> Story[None]:
        """Have the controller forget the queues."""
        for pair in self.pairs:
            yield from admin.delete(pair)

    def _create(self, admin: Admin) -> Story[None]:
        for pair in self.pairs:
            interrupts = not self._wishes.polled and pair is not self.quick
            yield from admin.create(pair, interrupts=interrupts)

    def _lay_out(self, admin: Admin, dma: Dma, count: int) -> None:
        depth, polled, quick = self._wishes.depth, self._wishes.polled, self._wishes.quick
        mmio, cap = admin.regs.mmio, admin.cap
        # The largest power of two that the controller allows.
        entries = min(depth, 1 << (cap.MQES + 1).bit_length() - 1)
        if entries < 2 or head_doorbell(count, cap) + 4 > mmio.size:
            raise DeviceError(
                f"the controller grants {count} queues of {cap.MQES + 1} entries, which "
                f"{mmio.size:#x} bytes of registers cannot serve"
            )
        spread = len(self.wired) - 1
        apart = count if quick and count > 1 else 0
        for qid in range(1, count + 1):
            vector = 1 + (qid - 1) % spread if spread else 0
            pair = QueuePair(
                qid, entries, dma, mmio, cap, admin.page,
                vector=vector, lazy=max(1, entries // 4) if polled else 1, fail=self._fail,
            )  # fmt: skip
            self.pairs.append(pair)
            if qid == apart:
                self.quick = pair
            else:
                self.wired[vector].append(pair)
        turns = [pair for pair in self.pairs if pair is not self.quick]
        for index, pair in enumerate(turns):
            pair.next = turns[(index + 1) % len(turns)]

    def release(self) -> None:
        """Give all memory back; only while the controller is disabled."""
        for pair in self.pairs:
            pair.release()
        self.pairs.clear()
        self.quick = None
        for wired in self.wired:
            wired.clear()

    def enter(self) -> QueuePair:
        """Let those in the lobby into the queues; return where the next command goes."""
        self.lobby.errno = 0
        waiting = list(self.lobby.backlog)
        self.lobby.backlog.clear()
        for index, command in enumerate(waiting):
            self.pairs[index % len(self.pairs)].issue(*command)
        for pair in self.pairs:
            if pair.tail != pair.rung:
                pair.ring()
        return self.pairs[0]

    def evict(self, hopeless: Collection[int]) -> list[Command]:
        """Send every command to the lobby but those whose `id` is in `hopeless`; return these."""
        out: list[Command] = []
        for command in self._drain():
            (out if id(command) in hopeless else self.lobby.backlog).append(command)
        return out

    def close(self, errno: int) -> list[Command]:
        """Take every command out, also of the lobby, and refuse new ones with `errno`."""
        commands = [*self._drain(), *self.lobby.backlog]
        self.lobby.backlog.clear()
        self.lobby.errno = errno
        return commands

    @property
    def busy(self) -> bool:
        """True while a command has not ended."""
        return any(pair.backlog or any(True for _ in pair.in_flight()) for pair in self.pairs)

    def _drain(self) -> Iterator[Command]:
        for pair in self.pairs:
            yield from pair.drain()
            yield from pair.backlog
            pair.backlog.clear()
            pair.trouble = ""
