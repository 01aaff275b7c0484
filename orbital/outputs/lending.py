"""Memory of a card that is lent to windows, so that planes can show it as it is."""

from __future__ import annotations

import logging
from collections.abc import Collection
from itertools import count
from typing import Final

from orbital.drm.buffers import DumbBuffer
from orbital.drm.card import Card
from orbital.output import Buffer
from redbear_host.abi.display import WORD

log = logging.getLogger(__name__)

_numbers: Final = count(1)  # one key is never two buffers', also of different screens


class Lending:
    """What one screen has lent."""

    def __init__(self, card: Card) -> None:
        self._card: Final = card
        self._lent: Final[dict[int, DumbBuffer]] = {}
        self._returned: list[DumbBuffer] = []  # perhaps still shown

    @property
    def keys(self) -> Collection[int]:
        """Those of the buffers that planes of this screen can show."""
        return self._lent.keys()

    def lend(self, width: int, height: int) -> Buffer | None:
        """Make a buffer; None if the card exports none, or its rows are padded."""
        if not self._card.exports:
            return None
        try:
            buffer = self._card.buffer(width, height)
        except OSError as error:
            log.info("%s lends no memory: %s", self._card.name, error)
            return None
        try:
            if buffer.stride != width * WORD:
                buffer.close()
                return None
            fd = buffer.export()
        except OSError as error:  # the caps of some drivers say more than there is
            log.info("%s lends no memory: %s", self._card.name, error)
            buffer.close()
            return None
        key = next(_numbers)
        self._lent[key] = buffer
        return Buffer(fd, buffer.pixels, buffer.stride, width, height, key)

    def frame_buffer(self, key: int, pixel_format: int) -> int:
        """Return the id by which a plane shows a buffer."""
        return self._lent[key].frame_buffer(pixel_format)

    def take_back(self, key: int, at_once: bool) -> None:
        """Forget a buffer; one that is shown goes with the next picture (`sweep`)."""
        self._returned.append(self._lent.pop(key))
        if at_once:
            self.sweep()

    def sweep(self) -> None:
        """Free what was returned: nothing shows it any more."""
        for buffer in self._returned:
            buffer.close()
        self._returned = []

    def close(self) -> None:
        """Free everything."""
        self._returned += self._lent.values()
        self._lent.clear()
        self.sweep()
