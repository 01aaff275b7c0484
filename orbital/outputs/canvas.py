"""The memory a screen's pictures are drawn in, and where each lags behind the screen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from orbital.drm.buffers import DumbBuffer
from orbital.output import Frame
from orbital.rect import EMPTY, Rect

_RECTANGLES_MOST: Final = 32  # kept apart; beyond, their common rectangle is drawn


class Canvas:
    """One buffer as large as the screen, and what of it is older than what was shown last."""

    def __init__(self, buffer: DumbBuffer) -> None:
        self.buffer: Final = buffer
        self.frame_buffer: Final = buffer.frame_buffer()
        self.all: Final = Rect(0, 0, buffer.width, buffer.height)
        self.stale: list[Rect] = [self.all]

    def frame(self) -> Frame:
        """Return it as the compositor gets it."""
        return Frame(self.buffer.pixels, self.buffer.stride, tuple(self.stale))

    def outdate(self, damage: Iterable[Rect]) -> None:
        """Note that elsewhere something newer was shown."""
        self.stale += [rect for rect in damage if not self._covered(rect)]
        if len(self.stale) > _RECTANGLES_MOST:
            common = EMPTY
            for rect in self.stale:
                common = common.around(rect)
            self.stale = [common]

    def _covered(self, rect: Rect) -> bool:
        return any(other.covers(rect) for other in self.stale)

    def close(self) -> None:
        """Give the memory back."""
        self.buffer.close()
