"""The desktop: windows on screens, and what input does to them.

    desktop = Desktop()
    desktop.on_work = …               # call `draw` soon
    desktop.add_output(output)
    width, height = desktop.fit(flags, width, height)
    window = desktop.open(flags, x, y, width, height, title, memory)
    window.on_event = …               # window.events.take(n)
    desktop.input(event)              # from the scheme `input`
    desktop.draw()

Everything is called on one thread, and nothing waits.  `Windows` (orbital/windows.py) has what
owners of windows ask for, here is what comes from outputs and devices.
"""

from __future__ import annotations

from collections.abc import Callable

from orbital.compositor import Compositor
from orbital.keys import Keys, Volume
from orbital.output import Output
from orbital.pixels import Image
from orbital.pointer import Pointer
from orbital.rect import Rect
from orbital.screen import Screen
from orbital.theme import Theme
from orbital.window import Window, nothing
from orbital.windows import Windows
from redbear_host.abi.orbital import POINTER_RANGE, PRESSED, EventCode, OrbitalEvent

__all__ = ["Desktop", "Volume"]


class Desktop(Windows):
    """All of it.  Without an output nothing is drawn, and windows live on."""

    def __init__(self, theme: Theme | None = None, now: Callable[[], float] | None = None) -> None:
        """`now` returns seconds, for the cost of frames that Super+F12 shows."""
        super().__init__()
        self.theme = theme or Theme()
        self.pointer = Pointer(self)
        self.keys = Keys(self, self.pointer)
        self.on_closed = self._on_closed
        self._compositor = Compositor(self, self.pointer, self.keys, self.theme, now)

    @property
    def on_volume(self) -> Callable[[Volume], object]:
        """Called when somebody types what makes the sound louder, softer or mute."""
        return self.keys.on_volume

    @on_volume.setter
    def on_volume(self, hook: Callable[[Volume], object]) -> None:
        self.keys.on_volume = hook

    # -- outputs -----------------------------------------------------------------------------------

    def add_output(
        self, output: Output, at: tuple[int, int] | None = None, scale: int = 0
    ) -> Screen:
        """Draw on an output too.

        It stands with its top left at point `at` of the plane, or to the right of all others; where
        places overlap, outputs show the same.  `scale` is in 160ths, 0 for the usual.
        """
        screen = self.layout.add(output, at, scale)
        output.on_ready = self._work
        output.on_changed = lambda: self._output_changed(screen)
        if len(self.layout) == 1:
            self.pointer.x = screen.place.x + screen.place.width // 2
            self.pointer.y = screen.place.y + screen.place.height // 2
        self.screens_changed()
        return screen

    def arrange(self, name: str, at: tuple[int, int], scale: int = 0) -> None:
        """Put an output elsewhere in the plane, or at another scale; `KeyError` if not there."""
        screen = self.layout.named(name)
        if screen is None:
            raise KeyError(name)
        screen.put(*at, scale or screen.wanted_scale)
        self.screens_changed()

    def remove_output(self, output: Output) -> None:
        """Draw on an output no more; its windows go where another shows them.

        It is not closed, and may be added again.  Windows whose pixels it lent keep them: their
        owners take other memory (`resize`) before it goes.
        """
        screen = self.layout.of(output)
        if screen is not None:
            self.layout.remove(screen)
            output.on_ready = output.on_changed = nothing
            self._compositor.forget(screen)
            self.screens_changed()

    def _output_changed(self, screen: Screen) -> None:
        screen.put(screen.place.x, screen.place.y, screen.wanted_scale)
        self._compositor.forget(screen)
        self.screens_changed()

    # -- input -------------------------------------------------------------------------------------

    def input(self, event: OrbitalEvent, on: str | None = None) -> None:
        """Take an event of a device.

        The positions of MOUSE go from 0 to POINTER_RANGE: over the output named `on`, or over all.
        """
        code, a, b = event.code, event.a, event.b
        if code == EventCode.KEY:
            self.keys.key(b & 0xFF, bool(b & PRESSED), a)
        elif code == EventCode.MOUSE:
            screen = self.layout.named(on) if on is not None else None
            place = self.layout.bounds if screen is None else screen.place
            self.pointer.move_to(*_point(place, a, b))
        elif code == EventCode.MOUSE_RELATIVE:
            self.pointer.move_by(a, b)
        elif code == EventCode.BUTTON:
            self.pointer.press(a)
        elif code == EventCode.SCROLL:
            self.pointer.scroll(a, b)
        elif code == EventCode.TEXT_INPUT:
            self.keys.text(a)
        elif code in (EventCode.CONTROLLER_AXIS, EventCode.CONTROLLER_BUTTON):
            self.keys.controller(code, a, b)

    def release_input(self) -> None:
        """Hear that devices are read by somebody else now: nothing is held any more."""
        self.keys.release()
        self.pointer.release()

    def set_pointer(
        self,
        window: Window,
        *,
        shown: bool | None = None,
        grabs: bool | None = None,
        relative: bool | None = None,
    ) -> None:
        """Do what the commands `M,C`, `M,G` and `M,R` ask for; None: as it was.

        A grab, and movements instead of positions, hold while the window has the focus.
        """
        if shown is not None:
            window.cursor_shown = shown
        if grabs is not None:
            window.grabs = grabs
        if relative is not None:
            window.relative = relative
        self.pointer.look()

    def drag(self, window: Window, how: str) -> None:
        """Do what the command `D` asks for (`Pointer.drag`)."""
        self.pointer.drag(window, how)

    # -- drawing -----------------------------------------------------------------------------------

    def draw(self) -> None:
        """Bring all outputs up to date that can take a picture now."""
        if self.shifted:
            self.shifted = False
            self.pointer.look()
        self._working = False
        damaged, self._damaged = self._damaged, {}
        self._compositor.draw(damaged)

    def picture(self, name: str, *, cursor: bool = True) -> tuple[int, int, bytearray]:
        """Return what an output shows: its size, and words 0xXXRRGGBB; `KeyError` if not there."""
        screen = self.layout.named(name)
        if screen is None:
            raise KeyError(name)
        return self._compositor.picture(screen, cursor=cursor)

    def bar_picture(self, screen: Screen, window: Window) -> Image:
        """Return the title bar of a window as a screen shows it."""
        return self._compositor.bar(screen, window)

    def _here(self) -> Screen | None:
        """Open new windows where the pointer is."""
        return self.layout.at(self.pointer.x, self.pointer.y) or super()._here()

    def _on_closed(self, window: Window) -> None:
        self.pointer.forget(window)
        self.keys.forget(window)


def _point(place: Rect, a: int, b: int) -> tuple[int, int]:
    """Return the point at which an absolute device is."""
    a, b = max(0, min(a, POINTER_RANGE)), max(0, min(b, POINTER_RANGE))
    return place.x + a * place.width // (POINTER_RANGE + 1), (
        place.y + b * place.height // (POINTER_RANGE + 1)
    )
