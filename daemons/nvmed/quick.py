"""The queue that does not interrupt, for commands that end sooner than a sleeper wakes.

An interrupt and the wake-up it causes take longer than a fast device: 120 us of 200 in QEMU under
TCG.  So commands go to a queue of their own first, and at the end of each round of the event loop
its completions are looked for, about as long as a wake-up would take.  When none comes in that
time, the device is slow, or busy: what is still in that queue is looked after every millisecond,
and the next commands go to the queues that interrupt, the more of them the more often this happens.
So they do while many are running: one interrupt then ends several.
"""

from __future__ import annotations

from typing import Final

from daemons.nvmed.queues import QueuePair
from redbear_host.hw.ports import Clock

SHALLOW: Final = 4  # commands running at once, of all queues, for which looking is worth it
LOOK_S: Final = 0.00015  # how long to look: a wake-up here, a read of a fast disk there
LOOKS_LEAST: Final = 32
LOOKS_MOST: Final = 20_000
AGAIN_S: Final = 0.001  # how often to look after those that took longer
SKIP_LEAST: Final = 16  # rounds with work, until the device is given another chance ...
SKIP_MOST: Final = 4096
STREAK: Final = 64  # ... and in how many of them it must have been in time, for half as many
_SAMPLE: Final = 256  # looks that are timed


class Quick:
    """What to do with `pair`, whose completion queue does not interrupt."""

    __slots__ = ("_looks", "_penalty", "_skip", "_streak", "late", "pair")

    def __init__(self, pair: QueuePair, clock: Clock) -> None:
        """Find out how often the queue can be looked at in `LOOK_S`."""
        self.pair: Final = pair
        began = clock.now()
        pair.reap(_SAMPLE)
        each = (clock.now() - began) / _SAMPLE
        self._looks: Final = int(min(max(LOOK_S / max(each, 1e-9), LOOKS_LEAST), LOOKS_MOST))
        self.late = False  # it has commands that took longer than looking for them is worth
        self._skip = 0
        self._streak = 0
        self._penalty = SKIP_LEAST

    def takes(self, running: int) -> bool:
        """Tell whether the next commands should go here; `running` are on all queues together.

        While the device is not given a chance, a round counts if there was something to do.
        """
        if running > SHALLOW or self.late:
            return False
        if self._skip:
            self._skip -= running > 0
            return False
        return True

    @property
    def look_again(self) -> float | None:
        """In how many seconds to look again; None while it is empty."""
        if self.pair.idle:
            return None
        return AGAIN_S if self.late else 0.0

    def look(self) -> int:
        """End what the queue has completed, once something has; return how many commands."""
        pair = self.pair
        if pair.idle:
            self.late = False
            return 0
        ended = pair.reap(1 if self.late else self._looks)
        if self.late:
            self.late = not pair.idle
        elif ended:
            self._streak += 1
            if self._streak == STREAK:
                self._streak = 0
                self._penalty = max(self._penalty // 2, SKIP_LEAST)
        else:
            self.late = True
            self._streak = 0
            self._skip = self._penalty
            self._penalty = min(4 * self._penalty, SKIP_MOST)
        return ended
