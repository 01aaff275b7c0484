"""The display: one mode, one buffer, which is Linux's own and is drawn in directly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from daemons.fbd.format import Layout
from redbear_host.classes.screen import Area, DisplayMode


class Screen:
    """`DisplayAdapter` on mapped memory; it takes pictures only while the terminal is ours."""

    displays: Final = 1

    def __init__(self, layout: Layout, memory: memoryview, active: bool) -> None:
        self.on_changed: Callable[[int], object] = lambda display: None
        self.on_ready: Callable[[int], object] = lambda display: None
        self._layout: Final = layout
        self._memory: Final = memory
        self._active = active

    def release(self) -> None:
        """Draw nothing from now on: somebody else has the screen."""
        self._active = False

    def acquire(self) -> None:
        """Have the screen again, and show what there is to be seen."""
        if not self._active:
            self._active = True
            self.clear(0)
            self.on_changed(0)
            self.on_ready(0)

    def size(self, _display: int, /) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._layout.width, self._layout.height

    def modes(self, _display: int, /) -> Sequence[DisplayMode]:
        """Return the one mode that it has."""
        width, height = self._layout.width, self._layout.height
        return [DisplayMode(width, height, 0, True)] if width else []

    def set_mode(self, _display: int, _width: int, _height: int, /) -> None:
        """Do nothing: there is only one."""

    def edid(self, _display: int, /) -> bytes:
        """Return nothing: Linux does not tell."""
        return b""

    def update(
        self, _display: int, pixels: memoryview, stride: int, areas: Sequence[Area], /
    ) -> bool:
        """Copy areas, or convert them; False while somebody else has the screen."""
        if not self._active:
            return False
        layout, memory = self._layout, self._memory
        convert, depth = layout.convert, layout.depth
        for x, y, width, height in areas:
            source, size = y * stride + x * 4, width * 4
            target = layout.start + y * layout.pitch + x * depth
            for _ in range(height):
                row = pixels[source : source + size]
                memory[target : target + width * depth] = row if convert is None else convert(row)
                source += stride
                target += layout.pitch
        return True

    def clear(self, _display: int, /) -> None:
        """Make the whole screen black."""
        if self._active:
            layout = self._layout
            black = bytes(layout.width * layout.depth)
            for y in range(layout.height):
                at = layout.start + y * layout.pitch
                self._memory[at : at + len(black)] = black

    def cursor_limits(self, _display: int, /) -> tuple[int, int]:
        """Return 0 by 0: it has none."""
        return 0, 0

    def set_cursor(self, _display: int, _image: bytes, _hot_x: int, _hot_y: int, /) -> None:
        """Do nothing; it is not called."""

    def move_cursor(self, _display: int, _x: int, _y: int, _visible: bool, /) -> None:
        """Do nothing; it is not called."""
