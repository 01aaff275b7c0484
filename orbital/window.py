"""A window: what its owner set, where it is, its pixels, and the events that wait for it.

Lengths and places are *points* of the desktop's plane.  A screen shows a point as `scale / 160`
pixels.  A window with the flag SCALABLE draws itself in pixels of its screen, all others in points,
and are scaled where a screen has another scale; `width` and `height` are of what it draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from orbital.events import EventQueue
from orbital.output import Buffer, Output
from orbital.pixels import MAX_SIDE, Image
from orbital.rect import EMPTY, Rect
from redbear_host.abi.orbital import SCALE_ONE, WindowFlag

__all__ = ["MAX_TITLE", "Lent", "Window", "in_reach", "nothing"]

MAX_TITLE: Final = 1024  # characters that are kept of a title
_BARE: Final = int(WindowFlag.BORDERLESS | WindowFlag.FULLSCREEN)
_FAR: Final = 1 << 24  # no window is further away than this


class Lent(NamedTuple):
    """Pixels of a window that are memory of an output, whose planes may show them."""

    output: Output
    buffer: Buffer


def nothing(*_: object) -> None:
    """Do nothing: what a hook is until someone sets it."""


def in_reach(number: int) -> int:
    """Return a coordinate that arithmetic of places can be done with, however far it was."""
    return max(-_FAR, min(number, _FAR))


class Window:
    """One window of a desktop, made by `Desktop.open`; only the desktop changes it.

    Its owner (the scheme) reads what is public here, and takes `events`.
    """

    __slots__ = (
        "__weakref__",
        "_flags",
        "_hidden",
        "closed",
        "cursor_shown",
        "damage",
        "decorated",
        "events",
        "floating",
        "grabs",
        "height",
        "held_bottom",
        "held_right",
        "id",
        "image",
        "items",
        "lent",
        "minimised",
        "on_event",
        "opaque",
        "place",
        "relative",
        "resizing",
        "scale",
        "seen",
        "tag",
        "title",
        "told_scale",
        "told_screen",
        "told_size",
        "width",
        "worked_in",
    )

    def __init__(self, number: int, flags: WindowFlag, title: str) -> None:
        self.id: Final = number  # unique as long as the desktop lives, and rising
        self._hidden = False
        self.decorated = True  # it has a title bar
        self.opaque = True  # nothing behind its picture can be seen
        self.flags = flags
        self.title = title  # at most MAX_TITLE characters
        self.place = EMPTY  # in points, without decorations
        self.width = 0  # pixels of its picture
        self.height = 0
        self.scale = SCALE_ONE  # what its picture was drawn for
        self.minimised = False
        self.closed = False
        self.tag: object = None
        """Its owner's own; the desktop does not look at it."""

        self.events: Final = EventQueue()
        self.on_event: Callable[[], object] = nothing
        """Called after each event that was put into `events`."""

        self.cursor_shown = True  # while the pointer is over it
        self.grabs = False  # wants the pointer to stay within it while it has the focus
        self.relative = False  # wants movements instead of positions while it has the focus

        self.worked_in = False  # a key or a button was pressed in it since it has the focus

        # The desktop's own.
        self.image: Image | None = None
        self.lent: Lent | None = None
        self.damage: list[Rect] = []  # of its picture, in its pixels, not drawn yet
        self.items: dict[object, Any] = {}  # how each screen shows it
        self.floating: Rect | None = None  # where it goes back to when it is restored
        self.held_right: int | None = None  # the column that stays while it is resized at the left
        self.held_bottom: int | None = None  # and the row, at the top
        self.resizing = False  # its edges are being dragged
        self.seen = 0
        self.told_scale = 0
        self.told_screen = (0, 0)
        self.told_size = (0, 0)

    def __repr__(self) -> str:
        return f"<Window {self.id} {self.title[:24]!r} {tuple(self.place)} {self.flags!r}>"

    @property
    def flags(self) -> WindowFlag:
        """What its owner asked it to be like, and how it is tiled."""
        return self._flags

    @flags.setter
    def flags(self, flags: WindowFlag) -> None:
        # Asked in every frame of every window, and slow to ask of an IntFlag.
        bits = int(flags)
        self._flags = flags
        self._hidden = bool(bits & WindowFlag.HIDDEN.value)
        self.decorated = not bits & _BARE
        self.opaque = not bits & WindowFlag.TRANSPARENT.value

    @property
    def showing(self) -> bool:
        """Whether it is on the desktop at all, if perhaps behind others."""
        return not (self.minimised or self._hidden or self.image is None)

    @property
    def behind(self) -> bool:
        """Whether it stays behind all others, and has no part in the focus; FRONT wins over BACK.

        Else a window in front of all could cover the screen, and no key would put it away.
        """
        return self.flags & (WindowFlag.BACK | WindowFlag.FRONT) == WindowFlag.BACK

    def post(self, code: int, a: int = 0, b: int = 0) -> None:
        """Let its owner know of something."""
        self.events.put(code, a, b)
        self.on_event()

    def draw_with(
        self, width: int, height: int, pixels: Any, stride: int, lent: Lent | None
    ) -> None:
        """Take other memory for its picture; `ValueError`, and nothing changed, if it is short.

        The old memory is let go.
        """
        if not (0 <= width <= MAX_SIDE and 0 <= height <= MAX_SIDE):
            raise ValueError(f"a window of {width} by {height} pixels")
        image = None
        if width and height:
            image = Image(width, height, pixels, stride, alpha=not self.opaque)
        self.let_go()
        self.image, self.lent = image, lent
        self.width, self.height = width, height

    def let_go(self) -> None:
        """Forget its memory; it shows nothing from now on."""
        for item in self.items.values():
            item.close()
        self.items.clear()
        self.damage.clear()
        if self.image is not None:
            self.image.close()
            self.image = None
        self.lent = None
