"""Interrupts by number, and how often each came.

The count of an interrupt is that of its eventfd, looked at in /proc and never read: a read resets
it, and the daemon that waits for the same eventfd would miss what was reset before it looked.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from kernel_shim.schemes.kernel import IrqNote

log = logging.getLogger(__name__)

INTX: Final = "intx"
_DEFAULT_LINE: Final = 9  # what pcid gives a function whose line nobody set (redox-os/base, pcid)


def signals(event_fd: int) -> int:
    """Return how often an eventfd was signalled and not read; 0 for what is no eventfd."""
    with open(f"/proc/self/fdinfo/{event_fd}") as info:
        for line in info:
            if line.startswith("eventfd-count:"):
                return int(line.split()[1], 16)
    return 0


class Source:
    """One eventfd and its count, which only grows, also when a daemon's start empties the fd."""

    def __init__(self, event_fd: int, before: int) -> None:
        self._fd: Final = event_fd
        self._before = before
        self._last = 0

    def count(self) -> int:
        """Count all that came so far."""
        now = signals(self._fd)
        if now < self._last:
            self._before += self._last
        self._last = now
        return self._before + now


class Interrupt:
    """What comes under one number; a legacy line may have several sources."""

    def __init__(self, number: int) -> None:
        self.number: Final = number
        self._sources: Final[list[tuple[IrqNote, Source]]] = []

    def sources(self) -> Sequence[tuple[IrqNote, Source]]:
        """Return what signals it today."""
        return tuple(self._sources)

    def count(self) -> int:
        """Count what came from all sources."""
        return sum(source.count() for _, source in self._sources)

    def add(self, note: IrqNote, before: int) -> None:
        """Take one more source, that already came `before` times."""
        self._sources.append((note, Source(note.event_fd, before)))

    def drop(self, device: str) -> None:
        """Forget a device's sources."""
        self._sources[:] = [entry for entry in self._sources if entry[0].device != device]


class Numbers:
    """Which interrupt has which number: a message interrupt the next free one, for good."""

    def __init__(self, lines: int, end: int) -> None:
        """Numbers below `lines` are legacy lines, those from there to `end` vectors."""
        self._lines: Final = lines
        self._end: Final = end
        self._vectors: Final[dict[tuple[str, str, int], int]] = {}
        self._interrupts: Final[dict[int, Interrupt]] = {}
        self._spent: Final[dict[tuple[str, str, int], int]] = {}  # counts of eventfds now gone

    def __contains__(self, number: int) -> bool:
        interrupt = self._interrupts.get(number)
        return interrupt is not None and bool(interrupt.sources())

    def __getitem__(self, number: int) -> Interrupt:
        """Return an interrupt; one that nobody has yet is silent."""
        interrupt = self._interrupts.get(number)
        if interrupt is None:
            interrupt = self._interrupts[number] = Interrupt(number)
        return interrupt

    def items(self) -> list[tuple[int, Interrupt]]:
        """Return those that have a source, in order."""
        return [(n, one) for n, one in sorted(self._interrupts.items()) if one.sources()]

    def of(self, device: str) -> list[int]:
        """Return the numbers that a device signals."""
        return [
            number
            for number, interrupt in self._interrupts.items()
            if any(note.device == device for note, _ in interrupt.sources())
        ]

    def learn(self, device: str, notes: Sequence[IrqNote]) -> None:
        """Take the interrupts of a device in place of those it had."""
        for number in self.of(device):
            interrupt = self._interrupts[number]
            for note, source in interrupt.sources():
                if note.device == device:
                    # The new descriptor is most likely of the same eventfd, with its count.
                    self._spent[device, note.kind, note.vector] = source.count()
            interrupt.drop(device)
        for note in notes:
            number = self._number(note)
            if number:
                key = (note.device, note.kind, note.vector)
                before = max(0, self._spent.get(key, 0) - signals(note.event_fd))
                self[number].add(note, before)

    def _number(self, note: IrqNote) -> int:
        if note.kind == INTX:
            return note.line if 0 < note.line < self._lines else _DEFAULT_LINE
        key = (note.device, note.kind, note.vector)
        number = self._vectors.get(key, 0)
        if not number:
            number = self._lines + len(self._vectors)
            if number >= self._end:
                log.warning("%s %s %d gets no number: all are given", *key)
                return 0
            self._vectors[key] = number
        return number
