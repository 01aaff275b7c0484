"""The sum of all streams, a block at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from daemons.audiod.format import Frames
from daemons.audiod.stream import Stream, factor


class Mixer:
    """Adds streams with saturation: sample * (volume / 100)**3, as Redox's audiod, for each.

    The sum is clipped once, at its end, and not after each stream: streams that cancel each other
    out are not distorted on the way.
    """

    def __init__(self, block: int) -> None:
        """Mix blocks of so many frames."""
        self.block: Final = block
        self.clipped = 0  # blocks in which the sum was too loud
        self._sum: Final = np.zeros((block, 2), np.int32)
        self._scaled: Final = np.zeros((block, 2), np.float32)
        self._whole: Final = np.zeros((block, 2), np.int32)

    def mix(self, streams: Iterable[Stream], volume: int) -> tuple[bytes, list[tuple[Stream, int]]]:
        """Return a block, and of which streams how many frames are in it; they are still queued."""
        total = self._sum
        total.fill(0)
        mixed = []
        for stream in streams:
            first, second = stream.peek(self.block)
            gain = factor(stream.volume) * factor(volume)
            middle = len(first)
            self._add(first, 0, gain)
            if len(second):
                self._add(second, middle, gain)
            mixed.append((stream, middle + len(second)))
        if len(mixed) > 1 and (np.max(total) > 32767 or np.min(total) < -32768):
            self.clipped += 1
            np.clip(total, -32768, 32767, out=total)
        return total.astype("<i2").tobytes(), mixed

    def _add(self, frames: Frames, at: int, gain: float) -> None:
        end = at + len(frames)
        if gain == 1.0:
            self._sum[at:end] += frames
            return
        scaled, whole = self._scaled[at:end], self._whole[at:end]
        np.multiply(frames, np.float32(gain), out=scaled)
        whole[...] = scaled  # towards 0, as Redox does
        self._sum[at:end] += whole
