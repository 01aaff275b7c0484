"""A graphics card's story: which modes it has, how one is set, how a picture gets into its memory.

Where its memory holds two pictures, what is drawn goes into the one that is not seen, and the card
is told to show that one: no reader of the screen ever sees half an update.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from daemons.vesad.copying import Pieces, copy
from daemons.vesad.regs import (
    DISPI,
    EDID_SIZE,
    FRAMEBUFFER_BAR,
    REGISTERS_BAR,
    UNITS,
    VGA,
    VGA_CLASS,
    Attribute,
    Dispi,
    DispiId,
    Enable,
    Vga,
    Word,
)
from redbear_host.classes import edid
from redbear_host.classes.edid import STANDARD
from redbear_host.classes.screen import Area, DisplayMode
from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.ports import PciFunction

log = logging.getLogger(__name__)

DEPTH: Final = 32  # bits of a pixel
FIRST: Final = DisplayMode(1024, 768)  # where nothing says what the monitor prefers

_STEP: Final = 8  # pixels: a width is a multiple of them
_ONES: Final = 0xFFFF


@dataclass(frozen=True)
class Wishes:
    """What a user may ask of it."""

    mode: str = ""  # WIDTHxHEIGHT; nothing: what the monitor prefers
    buffers: int = 2


class Card:
    """`DisplayAdapter` with one display."""

    displays: Final = 1

    def __init__(self, function: PciFunction, wishes: Wishes) -> None:
        """Look at a card; `DeviceError` if it is none we know, `Gone` if it does not answer."""
        self.on_changed: Callable[[int], object] = _ignore
        self.on_ready: Callable[[int], object] = _ignore
        self._function: Final = function
        self._name: Final = f"VGA {function.address}"
        registers = function.bar(REGISTERS_BAR)
        self._dispi: Final = Dispi(registers, DISPI)
        self._vga: Final = Vga(registers, VGA) if _is_vga(function) else None
        self._check_id()
        self._memory: Final = function.memory(FRAMEBUFFER_BAR)
        self._room: Final = min(
            self._memory.size, self._dispi.VIDEO_MEMORY_64K.read().VALUE * UNITS
        )
        self._edid: Final = edid.read(registers.read8, min(EDID_SIZE, registers.size))
        self._modes: Final = self._find_modes(wishes)
        self._buffers: Final = wishes.buffers
        self._width = self._height = 0
        self._seen = 0  # which buffer is on the screen
        self._count = 1
        # By buffer: where it differs from what was drawn last, beyond what is being drawn.
        self._stale: list[Pieces] = []
        self.left = False

    def _check_id(self) -> None:
        found = self._dispi.ID.read().VALUE
        if found == _ONES:
            raise Gone(f"{self._name} does not answer")
        if not DispiId.ID4 <= found <= DispiId.ID5:
            raise DeviceError(f"{self._name}: display registers of version {found:#06x}")

    def _find_modes(self, wishes: Wishes) -> list[DisplayMode]:
        wanted = [mode for mode in STANDARD if f"{mode.width}x{mode.height}" == wishes.mode]
        if wishes.mode and not wanted:
            log.warning("%s: no mode %s; it begins with another", self._name, wishes.mode)
        told = edid.modes(self._edid)
        every = edid.once([*wanted, *told, *([] if told else [FIRST]), *STANDARD])
        found = [mode for mode in every if self._fits(mode)]
        if not found:
            raise DeviceError(f"{self._name}: {self._room} bytes are too few for any picture")
        return edid.once(found)

    def _fits(self, mode: DisplayMode) -> bool:
        return not mode.width % _STEP and mode.width * mode.height * 4 <= self._room

    # -- start and stop ----------------------------------------------------------------------------

    def start(self, inherited: bool = False) -> None:
        """Show a black picture; `inherited`: go on with the mode a predecessor has set, as it is.

        What is on the screen then stays there until the first update.
        """
        if not (inherited and self._adopt()):
            first = self._modes[0]
            self._set(first.width, first.height)
        log.info(
            "%s: %dx%d, %d KiB, %s",
            self._name, self._width, self._height, self._room >> 10,
            "two buffers" if self._count > 1 else "one buffer",
        )  # fmt: skip

    def _adopt(self) -> bool:
        """Take over a card that shows one of our modes; what its buffers hold is not known."""
        dispi = self._dispi
        enable = dispi.ENABLE.read()
        width, height = dispi.XRES.read().VALUE, dispi.YRES.read().VALUE
        known = any((mode.width, mode.height) == (width, height) for mode in self._modes)
        if not (enable.ENABLED and enable.LFB_ENABLED and known):
            return False
        if dispi.BPP.read().VALUE != DEPTH or dispi.VIRT_WIDTH.read().VALUE != width:
            return False
        count = self._buffers_for(width, height)
        seen, odd = divmod(dispi.Y_OFFSET.read().VALUE, height)
        if odd or seen >= count or dispi.X_OFFSET.read().VALUE:
            return False
        self._width, self._height, self._count, self._seen = width, height, count, seen
        self._forget()
        return True

    def stop(self) -> None:
        """Leave the card black; what was there before us cannot be told."""
        if not self.left:
            self._dispi.ENABLE.write(Enable())

    def gone(self) -> None:
        """Hear that the card has left."""
        self.left = True

    # -- modes -------------------------------------------------------------------------------------

    def size(self, _display: int, /) -> tuple[int, int]:
        """Width and height in pixels."""
        return (0, 0) if self.left else (self._width, self._height)

    def modes(self, _display: int, /) -> Sequence[DisplayMode]:
        """Return the sizes that its memory has room for, the preferred one first."""
        return self._modes

    def edid(self, _display: int, /) -> bytes:
        """Return the monitor's description."""
        return self._edid

    def set_mode(self, _display: int, width: int, height: int, /) -> None:
        """Take another size; a card that does not take it keeps the one it has."""
        before = self._width, self._height
        try:
            self._set(width, height)
        except Gone:
            self.gone()
        except DeviceError as error:
            log.warning("%s; it stays at %dx%d", error, *before)
            self._set(*before)
        self.on_changed(0)

    def _buffers_for(self, width: int, height: int) -> int:
        return min(self._buffers, self._room // (width * height * 4), _ONES // height)

    def _set(self, width: int, height: int) -> None:
        """Set a mode (VBE, "switching to a mode"): nothing may be changed while it is enabled.

        `DeviceError` if the card has another one then, with rows of another length than ours,
        `Gone` if it does not answer.
        """
        dispi = self._dispi
        self._count = self._buffers_for(width, height)
        self._memory.clear(0, self._count * width * height * 4)
        dispi.ENABLE.write(Enable())
        for register, value in (
            (dispi.XRES, width),
            (dispi.YRES, height),
            (dispi.BPP, DEPTH),
            (dispi.VIRT_WIDTH, width),
            (dispi.VIRT_HEIGHT, height * self._count),
            (dispi.X_OFFSET, 0),
            (dispi.Y_OFFSET, 0),
        ):
            register.write(Word(VALUE=value))
        dispi.ENABLE.write(Enable(ENABLED=True, LFB_ENABLED=True, NOCLEARMEM=True))
        # Some cards know offsets only while they are enabled.
        dispi.VIRT_WIDTH.write(Word(VALUE=width))
        dispi.Y_OFFSET.write(Word(VALUE=0))
        found = tuple(it.read().VALUE for it in (dispi.XRES, dispi.YRES, dispi.VIRT_WIDTH))
        if found == (_ONES, _ONES, _ONES):
            raise Gone(f"{self._name} does not answer")
        if found != (width, height, width):
            raise DeviceError(
                f"{self._name} does not take {width}x{height}: it has {found[0]}x{found[1]} in "
                f"rows of {found[2]}"
            )
        if self._vga is not None:
            self._vga.STATUS.read()
            self._vga.ATTRIBUTE.write(Attribute(PALETTE_SOURCE=True))
        self._width, self._height, self._seen = width, height, 0
        self._stale = [Pieces() for _ in range(self._count)]  # all black

    # -- pictures ----------------------------------------------------------------------------------

    def update(
        self, _display: int, pixels: memoryview, stride: int, areas: Sequence[Area], /
    ) -> bool:
        """Copy areas into the buffer that is not seen, with what that lacks, and show it."""
        if self.left:
            return True
        target = (self._seen + 1) % self._count
        stale = self._stale[target]
        if stale.all_of_it:
            everything = min(stride // 4, self._width), min(len(pixels) // stride, self._height)
            drawn = [Area(0, 0, *everything)]
        else:
            drawn = stale.with_all(areas)
        size = self._width * self._height * 4
        copy(self._memory, target * size, self._width * 4, pixels, stride, drawn)
        if target != self._seen:
            self._dispi.Y_OFFSET.write(Word(VALUE=target * self._height))
            self._stale[self._seen].add(areas)
            self._seen = target
        stale.clear()
        return True

    def _forget(self) -> None:
        self._stale = [Pieces() for _ in range(self._count)]
        for stale in self._stale:
            stale.all_of_it = True

    def clear(self, _display: int, /) -> None:
        """Make the whole screen black."""
        if not self.left:
            self._memory.clear(0, self._count * self._width * self._height * 4)
            for stale in self._stale:
                stale.clear()

    # -- no cursor ---------------------------------------------------------------------------------

    def cursor_limits(self, _display: int, /) -> tuple[int, int]:
        """Return 0 by 0: it has none."""
        return 0, 0

    def set_cursor(self, _display: int, _image: bytes, _hot_x: int, _hot_y: int, /) -> None:
        """Do nothing; it is not called."""

    def move_cursor(self, _display: int, _x: int, _y: int, _visible: bool, /) -> None:
        """Do nothing; it is not called."""


def _is_vga(function: PciFunction) -> bool:
    return function.ids.class_code >> 8 == VGA_CLASS


def _ignore(_display: int) -> None:
    """Do nothing until somebody listens."""
