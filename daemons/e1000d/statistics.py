"""The card's counters, which reading clears: kept here, where they grow for ever (SDM 13.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from daemons.e1000d import regs
from redbear_host.bits import Mmio

_HALF: Final = 1 << 32
_WIDE: Final = ("GORC", "GOTC", "TOR", "TOT")  # counters of two registers, …L and …H


class Statistics:
    """All counters of the data sheet since `clear`."""

    def __init__(self, mmio: Mmio) -> None:
        names = [name.partition(".")[2] for name, _ in regs.Statistics.registers().values()]
        # The lower half of a pair comes first, and reading the upper one clears both.
        self._places: Final[list[tuple[str, int, int]]] = []
        for name, offset in zip(names, regs.Statistics.registers(), strict=True):
            wide = name[:-1] in _WIDE
            scale = _HALF if wide and name.endswith("H") else 1
            self._places.append((name[:-1] if wide else name, offset, scale))
        self._read: Final = mmio.read32
        self._total: Final = dict.fromkeys((name for name, _, _ in self._places), 0)

    def clear(self) -> None:
        """Begin at zero."""
        self.collect()
        self._total.update(dict.fromkeys(self._total, 0))

    def collect(self) -> Mapping[str, int]:
        """Add what has happened since the last time; often enough, or a counter stops at its end.

        That takes a minute at least: 2^32 frames of 64 bytes take 48 at 1 Gb/s.
        """
        total, read = self._total, self._read
        for name, offset, scale in self._places:
            total[name] += read(offset) * scale
        return dict(total)

    @property
    def total(self) -> Mapping[str, int]:
        """What was collected so far."""
        return dict(self._total)
