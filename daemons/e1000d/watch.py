"""What no interrupt announces: a receiver that lags, a transmitter that hangs."""

from __future__ import annotations

from typing import Final

from daemons.e1000d.receive import ReceiveRing
from daemons.e1000d.regs import STATUS, E1000Regs
from daemons.e1000d.transmit import TransmitRing

HANGS_S: Final = 2.0  # without a step, and something to send


class Watch:
    """Looks at both rings once a tick, and remembers what it saw."""

    def __init__(self, regs: E1000Regs, rx: ReceiveRing, tx: TransmitRing) -> None:
        self._regs: Final = regs
        self._rx: Final = rx
        self._tx: Final = tx
        self.begin()

    def begin(self) -> None:
        """Forget: the card was reset."""
        self._suspect = -1  # where the receive ring stood when it looked wrong
        self._waited = -1  # where it stood when frames were found in it
        self._step = (0, False)  # what the card fetches next, and whether somebody waits for that
        self._since = 0.0

    def late(self) -> bool:
        """Whether frames wait that no interrupt told of, and did not at the last tick."""
        if not self._rx.waiting:
            return False
        new = self._rx.head != self._waited
        self._waited = self._rx.head
        return new

    def lags(self) -> str:
        """Say how the receive ring looks wrong, if it did at the last tick, in the same place."""
        rx = self._rx
        head = rx.head
        if rx.waiting:
            wrong = rx.partial
            why = f"it does not end the frame it began in receive descriptor {head}"
        else:
            card = self._regs.RDH.read().VALUE
            wrong = card != head
            why = f"it is at receive descriptor {card} and left {head} as it was"
        again = wrong and self._suspect == head
        self._suspect = head if wrong else -1
        return why if again else ""

    @property
    def unsent(self) -> int:
        """How many descriptors the card has not fetched, by its own word."""
        return self._tx.rung - self._regs.TDH.read().VALUE & self._tx.entries - 1

    def hangs(self, now: float, status: STATUS) -> str:
        """Say how transmission hangs, if it has for `HANGS_S`; a partner may ask for a pause.

        A card that has fetched everything hangs as well while somebody waits for its reports.
        """
        unsent = self.unsent
        waits = unsent > 0 or self._tx.starved
        step = (self._tx.rung - unsent, waits)
        if not waits or status.TXOFF or step != self._step:
            self._step, self._since = step, now
            return ""
        if now - self._since < HANGS_S:
            return ""
        what = f"{unsent} descriptors have been unsent" if unsent else "nothing has been reported"
        return f"{what} for {now - self._since:.1f} s"
