"""The calls of a display scheme's v2 (`redbear_host.abi.display`), and v1's damage records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, TypeVar

from redbear_host.abi import display as abi
from redbear_host.abi import errno as e
from redbear_host.abi.display import CURSOR_SIDE, Verb
from redbear_host.bits import Struct
from redbear_host.classes.displaystate import IMAGE
from redbear_host.classes.framebuffers import EACH_MOST, Framebuffers
from redbear_host.classes.scanout import clip
from redbear_host.classes.screen import Area, DisplayAdapter
from redbear_host.classes.terminals import Terminal, Terminals
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER, Later, Request

S = TypeVar("S", bound=Struct)

Handler: TypeAlias = Callable[[Terminal, memoryview, Request], int | Later]

_DAMAGE: Final = 16  # bytes of a v1 record: x, y, width, height
_RECORDS_MOST: Final = 256  # in one write


def damage(data: memoryview) -> Iterator[Area]:
    """Read v1's damage records; EINVAL for what is none."""
    if not data or len(data) % _DAMAGE or len(data) > _RECORDS_MOST * _DAMAGE:
        raise Refused(e.EINVAL)
    words = data.cast("I")
    for first in range(0, len(words), 4):
        yield Area(*words[first : first + 4])


class Calls:
    """What each verb does for a terminal."""

    def __init__(
        self, adapter: DisplayAdapter, terminals: Terminals, framebuffers: Framebuffers
    ) -> None:
        self._adapter: Final = adapter
        self._terminals: Final = terminals
        self._framebuffers: Final = framebuffers
        self._handlers: Final[dict[int, Handler]] = {
            Verb.DISPLAY_COUNT: self._display_count,
            Verb.DISPLAY_SIZE: self._display_size,
            Verb.CREATE_DUMB_FRAMEBUFFER: self._create,
            Verb.DUMB_FRAMEBUFFER_MAP_OFFSET: self._map_offset,
            Verb.DESTROY_DUMB_FRAMEBUFFER: self._destroy,
            Verb.UPDATE_PLANE: self._update_plane,
            Verb.CURSOR_LIMITS: self._cursor_limits,
            Verb.CURSOR_IMAGE: self._cursor_image,
            Verb.CURSOR_MOVE: self._cursor_move,
            Verb.MODES: self._modes,
            Verb.SET_MODE: self._set_mode,
            Verb.EDID: self._edid,
        }

    def do(
        self, terminal: Terminal, verb: int, payload: memoryview, request: Request
    ) -> int | Later:
        """Do what `verb` says; EINVAL for a verb that is none."""
        handler = self._handlers.get(verb)
        if handler is None:
            raise Refused(e.EINVAL)
        return handler(terminal, payload, request)

    @staticmethod
    def _load(kind: type[S], payload: memoryview) -> S:
        if len(payload) < kind.size:
            raise Refused(e.EINVAL)
        return kind.load(payload)

    def _check(self, display: int) -> int:
        if display >= self._adapter.displays:
            raise Refused(e.EINVAL)
        return display

    # -- displays ----------------------------------------------------------------------------------

    def _display_count(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        found = self._load(abi.DisplayCount, payload)
        found.count = self._adapter.displays
        found.store(payload)
        return 0

    def _display_size(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        asked = self._load(abi.DisplaySize, payload)
        asked.width, asked.height = self._adapter.size(self._check(asked.display))
        asked.store(payload)
        return 0

    def _modes(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        display = self._check(self._load(abi.DisplayId, payload).display)
        room = min(len(payload) // abi.Mode.size, abi.MODES_MOST)
        found = self._adapter.modes(display)[:room]
        for index, mode in enumerate(found):
            abi.Mode(
                width=mode.width,
                height=mode.height,
                refresh=mode.refresh,
                preferred=int(mode.preferred),
            ).store(payload, index * abi.Mode.size)
        return len(found) * abi.Mode.size

    def _set_mode(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        asked = self._load(abi.DisplaySize, payload)
        self.set_mode(asked.display, asked.width, asked.height)
        return 0

    def set_mode(self, display: int, width: int, height: int) -> None:
        """Set a mode; EINVAL for one that the display does not have."""
        modes = self._adapter.modes(self._check(display))
        if not any((mode.width, mode.height) == (width, height) for mode in modes):
            raise Refused(e.EINVAL)
        if self._adapter.size(display) != (width, height):
            self._adapter.set_mode(display, width, height)

    def _edid(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        found = self._adapter.edid(self._check(self._load(abi.DisplayId, payload).display))
        if len(found) > len(payload):
            raise Refused(e.ERANGE)
        payload[: len(found)] = found
        return len(found)

    # -- pictures ----------------------------------------------------------------------------------

    def _create(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        asked = self._load(abi.CreateFramebuffer, payload)
        asked.framebuffer = self._terminals.make(terminal, asked.width, asked.height).number
        asked.store(payload)
        return 0

    def _map_offset(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        asked = self._load(abi.MapOffset, payload)
        found = self._framebuffers.of(terminal.number, asked.framebuffer)
        asked.offset = found.number * EACH_MOST
        asked.store(payload)
        return 0

    def _destroy(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        asked = self._load(abi.DestroyFramebuffer, payload)
        self._terminals.orphan(self._framebuffers.of(terminal.number, asked.framebuffer))
        return 0

    def _update_plane(
        self, terminal: Terminal, payload: memoryview, request: Request
    ) -> int | Later:
        asked = self._load(abi.UpdatePlane, payload)
        found = self._framebuffers.of(terminal.number, asked.framebuffer)
        display = self._check(asked.display)
        if terminal.shown.get(display) is not found:
            area: Area | None = Area(0, 0, found.width, found.height)  # nobody has seen any of it
        else:
            wanted = Area(asked.x, asked.y, asked.width, asked.height)
            area = clip(wanted, found.width, found.height)
            if area is None:
                return 0
        waits = self._terminals.show(terminal, display, found, area)
        if waits is None:
            return 0
        waits.wait(request)
        return LATER

    # -- cursors -----------------------------------------------------------------------------------

    def _cursor_limits(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        asked = self._load(abi.CursorLimits, payload)
        asked.width, asked.height = self._adapter.cursor_limits(self._check(asked.display))
        asked.store(payload)
        return 0

    def _with_cursor(self, display: int) -> int:
        if not all(self._adapter.cursor_limits(self._check(display))):
            raise Refused(e.EOPNOTSUPP)
        return display

    def _cursor_image(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        asked = self._load(abi.CursorImage, payload)
        image = bytes(payload[abi.CursorImage.size :])
        display = self._with_cursor(asked.display)
        if len(image) != IMAGE or asked.hot_x >= CURSOR_SIDE or asked.hot_y >= CURSOR_SIDE:
            raise Refused(e.EINVAL)
        cursor = self._terminals.cursor(terminal, display)
        cursor.image, cursor.hot_x, cursor.hot_y = image, asked.hot_x, asked.hot_y
        self._terminals.changed_cursor(terminal, display, image=True)
        return 0

    def _cursor_move(self, terminal: Terminal, payload: memoryview, request: Request) -> int:
        asked = self._load(abi.CursorMove, payload)
        display = self._with_cursor(asked.display)
        cursor = self._terminals.cursor(terminal, display)
        cursor.x, cursor.y, cursor.visible = asked.x, asked.y, bool(asked.visible)
        self._terminals.changed_cursor(terminal, display, image=False)
        return 0
