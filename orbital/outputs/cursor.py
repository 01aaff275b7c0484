"""The cursor's own plane, by the calls made for it.

They do not wait for a vertical blank and may be made while a picture is on its way, which an atomic
commit may not; Linux maps them onto the cursor's plane of an atomic driver.
"""

from __future__ import annotations

import logging
from typing import Final

from orbital.drm.buffers import DumbBuffer
from orbital.drm.card import Card

log = logging.getLogger(__name__)

_BYTES: Final = 4  # of a pixel


class CursorPlane:
    """The cursor of one CRTC; `limits` is 0 by 0 where the hardware has none."""

    def __init__(self, card: Card, crtc: int, there: bool) -> None:
        """`there`: the card's list of planes has one; its caps say 64 by 64 even without."""
        self._card: Final = card
        self._crtc: Final = crtc
        self._buffers: list[DumbBuffer] = []
        self._set = False  # the first of the buffers has a picture, to be shown
        self._place = (0, 0)
        self.limits = card.cursor_limits if there else (0, 0)
        if there:
            self._make()

    def _make(self) -> None:
        """Two pictures: Linux may still read the one that is shown while the next is drawn."""
        try:
            for _ in range(2):
                self._buffers.append(self._card.buffer(*self.limits))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        log.warning("%s: the cursor is drawn without its plane: %s", self._card.name, error)
        self.limits = (0, 0)
        self.close()

    def set(self, picture: memoryview | None, width: int, height: int) -> None:
        """Show a picture within the limits, words 0xAARRGGBB; None takes it away."""
        self._set = picture is not None
        if picture is not None and self._buffers:
            self._buffers.reverse()
            _copy(picture, width, height, self._buffers[0])
        self.show()

    def move(self, x: int, y: int) -> None:
        """Put its top left pixel at a pixel of the screen, or beside it."""
        self._place = (x, y)
        if self._set and self._buffers:
            try:
                self._card.move_cursor(self._crtc, x, y)
            except OSError as error:  # it has lost the screen, and hears of that as well
                log.debug("%s: %s", self._card.name, error)

    def show(self) -> None:
        """Do what was asked for last, again: somebody else had the screen."""
        if not self._buffers:
            return
        try:
            self._card.set_cursor(self._crtc, self._buffers[0] if self._set else None)
        except PermissionError as error:  # as in `move`
            log.debug("%s: %s", self._card.name, error)
            return
        except OSError as error:
            self._give_up(error)
            return
        self.move(*self._place)

    def close(self) -> None:
        """Give its memory back; Linux takes the picture off the screen with it."""
        for buffer in self._buffers:
            buffer.close()
        self._buffers = []


def _copy(picture: memoryview, width: int, height: int, to: DumbBuffer) -> None:
    rows, target = memoryview(picture).cast("B"), to.pixels
    size = width * _BYTES
    target[:] = bytes(len(target))
    for row in range(height):
        at = row * to.stride
        target[at : at + size] = rows[row * size : (row + 1) * size]
