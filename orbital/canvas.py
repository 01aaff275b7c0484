"""The frames of outputs as pictures to draw on."""

from __future__ import annotations

from typing import Final

from orbital.output import Frame
from orbital.pixels import Image, address_of
from orbital.screen import Screen


class Canvases:
    """Pictures over the memory of frames, kept from one frame to the next.

    They do not hold the memory, which is the output's to give back: one is only drawn on between
    `begin` and `present`, when the output vouches for it.
    """

    def __init__(self) -> None:
        self._known: Final[dict[Screen, dict[tuple[int, int], Image]]] = {}

    def of(self, screen: Screen, frame: Frame) -> Image | None:
        """Return the picture for a frame of `screen`; None if it is too small for it."""
        width, height = screen.size
        if frame.pixels.nbytes < frame.stride * height or frame.stride < width * 4:
            return None
        address = address_of(frame.pixels)
        known = self._known.setdefault(screen, {})
        found = known.get((address, frame.stride))
        if found is None:
            if len(known) > 3:
                known.clear()
            found = Image.at(address, width, height, frame.stride)
            known[address, frame.stride] = found
        return found

    def forget(self, screen: Screen) -> None:
        """Hear that an output went, or has another size."""
        self._known.pop(screen, None)
