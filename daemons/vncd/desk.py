"""The display that `display.vnc` is: one screen, seen by all viewers, who share keyboard and mouse.

It implements `redbear_host.classes.screen.DisplayAdapter`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from typing import Final

from daemons.vncd.cursor import Cursor
from daemons.vncd.keys import Stroke
from daemons.vncd.messages import Outcome, Reason
from daemons.vncd.painter import Painter
from daemons.vncd.producer import Producer
from daemons.vncd.screen import Screen, fits
from redbear_host.abi.display import CURSOR_SIDE
from redbear_host.classes.screen import Area, DisplayMode

_SIZE: Final = struct.Struct("<II")  # width, height: in the memory that the shim keeps
_MODES: Final = (
    (1920, 1080), (1680, 1050), (1600, 900), (1440, 900), (1366, 768), (1280, 1024), (1280, 800),
    (1280, 720), (1024, 768), (800, 600), (640, 480), (2560, 1440), (3840, 2160),
)  # fmt: skip
_BUTTONS: Final = 0b111  # left, middle, right: the same in RFB and for Orbital
_WHEEL: Final = {8: (0, 1), 16: (0, -1), 32: (-1, 0), 64: (1, 0)}


class Desk:
    """Screen, cursor, and whoever looks at them."""

    def __init__(
        self,
        screen: Screen,
        kept: int,
        producer: Producer,
        resizable: bool,
        usual: tuple[int, int],
    ) -> None:
        """`kept` is memory for a successor, who is to have the size of the screen.

        `usual` is the size that was configured: a mode too, whatever viewers have made of it.
        """
        self.on_changed: Callable[[int], object] = lambda display: None
        self.on_ready: Callable[[int], object] = lambda display: None
        self.painters: Final[dict[int, Painter]] = {}  # by the viewer's descriptor
        self._screen: Final = screen
        self._kept: Final = kept
        self._producer: Final = producer
        self._resizable: Final = resizable
        self._modes: Final = tuple(dict.fromkeys((usual, *_MODES)))
        self._cursor = Cursor()
        self._held: Final[dict[int, int]] = {}  # buttons, by who holds them
        self._keep_size()

    # -- DisplayAdapter ----------------------------------------------------------------------------

    @property
    def displays(self) -> int:
        """There is one."""
        return 1

    def size(self, display: int) -> tuple[int, int]:
        """Return what it has now."""
        return self._screen.width, self._screen.height

    def modes(self, display: int) -> Sequence[DisplayMode]:
        """Return the usual sizes, and first the one that somebody has chosen."""
        now = self.size(display)
        others = (size for size in self._modes if size != now)
        return [DisplayMode(*now, preferred=True), *(DisplayMode(*size) for size in others)]

    def set_mode(self, display: int, width: int, height: int) -> None:
        """Take another size."""
        self._resize(width, height, -1)

    def edid(self, display: int) -> bytes:
        """There is no monitor."""
        return b""

    def update(self, display: int, pixels: memoryview, stride: int, areas: Sequence[Area]) -> bool:
        """Copy areas; each viewer hears of the tiles that look different now."""
        self._tell(self._screen.copy(pixels, stride, areas))
        return True

    def clear(self, display: int) -> None:
        """Make it black."""
        self._tell(self._screen.clear())

    def _tell(self, tiles: int) -> None:
        if tiles:
            for painter in self.painters.values():
                painter.changed(tiles)

    def cursor_limits(self, display: int) -> tuple[int, int]:
        """Viewers draw the cursor, or we do for those who do not."""
        return CURSOR_SIDE, CURSOR_SIDE

    def set_cursor(self, display: int, image: bytes, hot_x: int, hot_y: int) -> None:
        """Show another cursor."""
        self._show(self._cursor._replace(image=image, hot_x=hot_x, hot_y=hot_y))

    def move_cursor(self, display: int, x: int, y: int, visible: bool) -> None:
        """Show it elsewhere, or not at all."""
        self._show(self._cursor._replace(x=x, y=y, visible=visible))

    def _show(self, cursor: Cursor) -> None:
        self._cursor = cursor
        for painter in self.painters.values():
            painter.show_cursor(cursor)

    # -- viewers -----------------------------------------------------------------------------------

    def enter(self, who: int) -> Painter:
        """Let a viewer see the screen."""
        painter = self.painters[who] = Painter(self._screen, self._cursor)
        return painter

    def leave(self, who: int) -> None:
        """Hear that a viewer has gone: he holds no button any more."""
        self.painters.pop(who, None)
        if self._held.pop(who, 0):
            self._say_buttons()

    def stroke(self, stroke: Stroke, pressed: bool) -> None:
        """Press a key, or let it go."""
        self._producer.key(stroke.key, stroke.character, pressed)

    def point(self, who: int, x: int, y: int, buttons: int, before: int) -> None:
        """Put the pointer somewhere; `before` is what this viewer held until now."""
        self._producer.pointer(x, y, self._screen.width, self._screen.height)
        pressed = buttons & ~before
        for bit, (right, up) in _WHEEL.items():
            if pressed & bit:
                self._producer.scroll(right, up)
        if (buttons ^ before) & _BUTTONS:
            self._held[who] = buttons & _BUTTONS
            self._say_buttons()

    def _say_buttons(self) -> None:
        held = 0
        for buttons in self._held.values():
            held |= buttons
        self._producer.buttons(held)

    def resize(self, who: int, width: int, height: int) -> Outcome:
        """Take the size that a viewer wants."""
        if not self._resizable:
            return Outcome.PROHIBITED
        if not width or not height:
            return Outcome.INVALID
        if not fits(width, height):
            return Outcome.NO_RESOURCES
        self._resize(width, height, who)
        return Outcome.DONE

    def _resize(self, width: int, height: int, who: int) -> None:
        if (width, height) == self.size(0):
            if who in self.painters:
                self.painters[who].answered(Outcome.DONE)
            else:  # a client's wish: it begins with a black screen
                self.clear(0)
                self.on_changed(0)
            return
        self._screen.resize(width, height)
        self._keep_size()
        for number, painter in self.painters.items():
            same = Reason.THIS_CLIENT if who == number else Reason.OTHER_CLIENT
            painter.resized(Reason.SERVER if who < 0 else same)
        self.on_changed(0)

    def _keep_size(self) -> None:
        os.pwrite(self._kept, _SIZE.pack(self._screen.width, self._screen.height), 0)


def kept_size(fd: int) -> tuple[int, int] | None:
    """Return what a predecessor has written down; None if that makes no sense."""
    said = os.pread(fd, _SIZE.size, 0)
    if len(said) < _SIZE.size:
        return None
    width, height = _SIZE.unpack(said)
    return (width, height) if fits(width, height) else None
