"""What one viewer has yet to see, and the updates that show it, piece by piece.

An update is made while it is sent: one band of tiles at a time, each as it looks at that moment,
and only when the viewer has taken what came before.  So whoever is slow costs no memory and skips
what he was too slow for, and nobody waits for more than one band of somebody else's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from daemons.vncd import messages as m
from daemons.vncd.cursor import Cursor
from daemons.vncd.encodings import OFFERED, Encoder
from daemons.vncd.messages import Encoding, Outcome, Reason
from daemons.vncd.pixels import Converter, PixelFormat
from daemons.vncd.screen import SIDE, Screen
from redbear_host.classes.screen import Area


class Painter:
    """One viewer's picture of the screen."""

    def __init__(self, screen: Screen, cursor: Cursor) -> None:
        self.width, self.height = screen.width, screen.height  # as the viewer knows them
        self._screen: Final = screen
        self._cursor = cursor
        self._encoder: Final = Encoder()
        self._format: PixelFormat | None = None  # one that he wants from the next update on
        self._can: frozenset[int] = frozenset()
        self._dirty = 0  # tiles he has not seen
        self._asked: Area | None = None  # of the request that waits
        self._steady: Area | None = None  # of continuous updates
        self._whole = False  # everything, where his size is not the screen's
        self._news: Final[dict[str, bytes]] = {}  # rectangles without pixels, the latest of a kind
        self._resized = False  # one of them tells a size that he did not know
        self._new_cursor = False
        self._plan: Final[deque[Area]] = deque()  # what is left of the update that is under way
        self._outdated = False  # it was planned before the screen changed its size

    @property
    def encoding(self) -> str:
        """The name of the encoding that is used."""
        return self._encoder.encoding.name

    # -- what the viewer says ----------------------------------------------------------------------

    def use_format(self, format_: PixelFormat) -> None:
        """Send pixels so from the next update on: all of one are of one format."""
        self._format = format_
        self._new_cursor = True

    def use_encodings(self, wanted: Iterable[int]) -> None:
        """Use the first that we have, and what else he understands."""
        wanted = list(wanted)
        first = next((code for code in wanted if code in OFFERED), Encoding.RAW)
        self._encoder.encoding = Encoding(first)
        before, self._can = self._can, frozenset(wanted)
        if Encoding.EXTENDED_DESKTOP_SIZE in self._can - before:
            self._say_size(Reason.SERVER, Outcome.DONE)  # which says that we have it, too
        if Encoding.QEMU_KEYS in self._can - before:
            self._news["keys"] = m.rectangle(Area(0, 0, 0, 0), Encoding.QEMU_KEYS)
        if self._draws_cursor(before) != self._draws_cursor(self._can):
            self._dirty |= self._screen.tiles(_inside(self._cursor.area))
        self._new_cursor = True

    def ask(self, area: Area, incremental: bool) -> None:
        """Hear that he waits for an area: what has changed of it, or all."""
        self._asked = area if self._asked is None else _around(self._asked, area)
        if not incremental:
            self._dirty |= self._screen.tiles(area)
            self._whole = self._whole or self._is_odd
            if Encoding.EXTENDED_DESKTOP_SIZE in self._can:
                self._news.setdefault("size", self._size_news(Reason.SERVER, Outcome.DONE))

    def ask_steadily(self, area: Area | None) -> None:
        """Hear that he always waits for an area, or no more."""
        self._steady = area

    # -- what happens to the screen ----------------------------------------------------------------

    def changed(self, tiles: int) -> None:
        """Hear of tiles that look different."""
        self._dirty |= tiles

    def resized(self, reason: Reason) -> None:
        """Hear that the screen has another size."""
        self._outdated = bool(self._plan)
        self._dirty = self._screen.all
        if Encoding.EXTENDED_DESKTOP_SIZE in self._can:
            self._say_size(reason, Outcome.DONE)
        elif Encoding.DESKTOP_SIZE in self._can:
            area = Area(0, 0, self._screen.width, self._screen.height)
            self._news["size"] = m.rectangle(area, Encoding.DESKTOP_SIZE)
            self._adopt_size()
        else:
            self._whole = True

    def answered(self, outcome: Outcome) -> None:
        """Tell him what became of his wish for a size that it has not become."""
        if Encoding.EXTENDED_DESKTOP_SIZE in self._can:
            self._say_size(Reason.THIS_CLIENT, outcome)

    def show_cursor(self, cursor: Cursor) -> None:
        """Take the cursor as it is now."""
        before, self._cursor = self._cursor, cursor
        if not self._draws_cursor(self._can):
            for one in (before, cursor):
                if one.visible:
                    self._dirty |= self._screen.tiles(_inside(one.area))
        elif before._replace(x=cursor.x, y=cursor.y) != cursor:
            self._new_cursor = True

    # -- updates -----------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether there is a piece to be had now."""
        if self._plan:
            return True
        area = self._steady or self._asked
        if area is None:
            return False
        return bool(self._news or self._has_cursor_news or self._whole) or bool(
            self._dirty and self._dirty & self._tiles_of(area)
        )

    def piece(self) -> bytes:
        """Return the next piece of an update, where `busy` says that there is one."""
        head = b"" if self._plan else self._begin()
        if not self._plan:
            return head
        area = self._plan.popleft()
        if not self._outdated:
            self._dirty &= ~self._screen.tiles(area)
        elif not self._plan:
            self._outdated = False
        pixels = self._screen.read(area)
        if not self._draws_cursor(self._can) and self._cursor.covers(area):
            pixels = self._cursor.drawn_on(pixels, area)
        data = self._encoder.encode(pixels, area.width)
        return head + m.rectangle(area, self._encoder.encoding) + data

    def _begin(self) -> bytes:
        """Plan an update, and return its head with the rectangles that have no pixels."""
        area = self._steady or self._asked
        self._asked = None
        if area is None:
            return b""
        if self._format is not None:
            self._encoder.use(self._format)
            self._format = None
        parts = list(self._news.values())
        self._news.clear()
        if self._resized:
            # The pixels come with the next update: he takes the size at the end of this one.
            self._resized = False
            return m.update(len(parts)) + b"".join(parts)
        if self._has_cursor_news:
            parts.append(self._cursor_news())
        self._new_cursor = False
        self._plan.extend(self._rectangles(area))
        if not self._plan and not parts:
            self._asked = area  # what was to be seen lies outside of his size
            return b""
        return m.update(len(self._plan) + len(parts)) + b"".join(parts)

    def _rectangles(self, area: Area) -> Iterable[Area]:
        if self._is_odd and self._whole:
            self._whole, self._dirty = False, 0
            heights = ((y, min(SIDE, self.height - y)) for y in range(0, self.height, SIDE))
            return [Area(0, y, self.width, height) for y, height in heights]
        self._whole = False
        tiles = self._screen.areas(self._dirty & self._tiles_of(area))
        return tiles if not self._is_odd else filter(None, map(self._clip, tiles))

    def _tiles_of(self, area: Area) -> int:
        screen = self._screen
        if not area.x and not area.y and (screen.width, screen.height) <= area[2:]:
            return screen.all
        return screen.tiles(area)

    @property
    def _is_odd(self) -> bool:
        """Whether he cannot follow the screen's size."""
        return (self.width, self.height) != (self._screen.width, self._screen.height)

    def _clip(self, area: Area) -> Area | None:
        width, height = min(area.width, self.width - area.x), min(area.height, self.height - area.y)
        if width <= 0 or height <= 0:
            self._dirty &= ~self._screen.tiles(area)  # he will never see it
            return None
        return area._replace(width=width, height=height)

    # -- rectangles without pixels -----------------------------------------------------------------

    def _say_size(self, reason: Reason, outcome: Outcome) -> None:
        self._news["size"] = self._size_news(reason, outcome)
        if outcome is Outcome.DONE:
            self._adopt_size()

    def _size_news(self, reason: Reason, outcome: Outcome) -> bytes:
        return m.extended_size(reason, outcome, self._screen.width, self._screen.height)

    def _adopt_size(self) -> None:
        self._resized = self._resized or self._is_odd
        self.width, self.height = self._screen.width, self._screen.height

    @staticmethod
    def _draws_cursor(can: frozenset[int]) -> bool:
        return Encoding.CURSOR in can or Encoding.ALPHA_CURSOR in can

    @property
    def _has_cursor_news(self) -> bool:
        return self._new_cursor and self._draws_cursor(self._can)

    def _cursor_news(self) -> bytes:
        if Encoding.ALPHA_CURSOR in self._can:
            return self._cursor.with_alpha()
        return self._cursor.with_mask(Converter(self._encoder.format))


def _inside(area: Area) -> Area:
    """Return what of an area is right of and below the screen's corner."""
    x, y = max(area.x, 0), max(area.y, 0)
    return Area(x, y, area.x + area.width - x, area.y + area.height - y)


def _around(a: Area, b: Area) -> Area:
    """Return an area that holds both."""
    x, y = min(a.x, b.x), min(a.y, b.y)
    right, bottom = max(a.x + a.width, b.x + b.width), max(a.y + a.height, b.y + b.height)
    return Area(x, y, right - x, bottom - y)
