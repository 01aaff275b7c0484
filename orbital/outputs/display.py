"""One display of a driver: its frame buffer is a memory that the driver made and we map.

A picture is handed over by UPDATE_PLANE, a call for each rectangle that has changed; until all are
answered the driver may be reading, and nothing is drawn.  When the driver dies, its memory stays
ours to draw in no more, and the next one is asked for a new one, which is then shown whole.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from orbital.output import Frame
from orbital.outputs.paced import Paced, all_of
from orbital.rect import EMPTY, Rect
from orbital.region import around
from orbital.window import nothing
from redbear_host.abi import display as abi
from redbear_host.abi import flags as f
from redbear_host.abi.display import CURSOR_SIDE, WORD, Verb
from redbear_host.bits import Struct
from redbear_host.client import calls
from redbear_host.client.looped import Looped
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

_CALLS_MOST: Final = 8  # rectangles of one picture; more are told as one
_AGAIN_S: Final = 0.5  # until a driver is asked again that has refused a picture
_MAP: Final = f.PROT_READ | f.PROT_WRITE | f.MAP_SHARED


class Display(Paced):
    """One display."""

    def __init__(self, name: str, number: int, loop: Loop, rate: int) -> None:
        super().__init__(name, loop, rate)
        self.known = False  # it has said what it is
        self.on_known: Callable[[], object] = nothing
        """Called when it has, and when it has got or lost its monitor."""
        self._number: Final = number
        self._connection: Looped | None = None
        self._handle = -1
        self._size = (0, 0)
        self._modes: tuple[tuple[int, int], ...] = ()
        self._limits = (0, 0)
        self._memory: mmap.mmap | None = None
        self._framebuffer = 0
        self._stale = EMPTY  # what the new memory has not got yet
        self._sent = 0  # calls that show a picture and are not answered
        self._asking = 0  # counts what was asked for; older answers mean nothing any more
        self._cursor = b""
        self._cursor_at: tuple[int, int, int] = (0, 0, 0)  # x, y, whether it is shown
        self._cursor_told: tuple[int, int, int] | None = None
        self._cursor_sent = False

    # -- the driver --------------------------------------------------------------------------------

    def attach(self, connection: Looped, handle: int) -> None:
        """Use a connection, on which `handle` is the VT."""
        self._connection, self._handle = connection, handle
        self._sent, self._cursor_sent, self._cursor_told = 0, False, None
        self.look(anew=True)

    def detach(self) -> None:
        """Hear that the driver has ended: nothing is shown until there is another."""
        self._connection = None
        self._asking += 1
        self._drop_memory()

    def look(self, anew: bool = False) -> None:
        """Ask what size it has, and what else there is to know."""
        self._asking += 1
        turn = self._asking

        def sized(found: abi.DisplaySize | None) -> None:
            if turn != self._asking:
                return
            size = (found.width, found.height) if found is not None else (0, 0)
            changed, self._size = size != self._size, size
            if (changed or anew) and all(size):
                self._drop_memory()
                self._make(turn)
            if not all(size):
                self._drop_memory()
            self._tell(changed)

        self._ask(Verb.CURSOR_LIMITS, abi.CursorLimits(display=self._number), self._on_limits)
        self._ask_modes()
        self._ask(Verb.DISPLAY_SIZE, abi.DisplaySize(display=self._number), sized)

    def _tell(self, changed: bool) -> None:
        first, self.known = not self.known, True
        if changed:
            self.on_changed()
        if changed or first:
            self.on_known()

    def _on_limits(self, found: abi.CursorLimits | None) -> None:
        self._limits = (found.width, found.height) if found is not None else (0, 0)
        if all(self._limits):
            self._send_cursor_image()

    def _ask_modes(self) -> None:
        def told(answer: tuple[int, bytes] | OSError) -> None:
            if isinstance(answer, OSError):
                return
            count = min(answer[0] // abi.Mode.size, abi.MODES_MOST)
            found = [abi.Mode.load(answer[1], n * abi.Mode.size) for n in range(count)]
            found.sort(key=lambda mode: not mode.preferred)
            self._modes = tuple(dict.fromkeys((mode.width, mode.height) for mode in found))

        payload = bytearray(abi.MODES_MOST * abi.Mode.size)
        abi.DisplayId(display=self._number).store(payload)
        self._call(Verb.MODES, payload, told)

    def _make(self, turn: int) -> None:
        """Ask for memory of the present size, map it, and have all of it drawn."""
        width, height = self._size

        def made(found: abi.CreateFramebuffer | None) -> None:
            if found is not None and turn == self._asking:
                number = found.framebuffer
                asked = abi.MapOffset(framebuffer=number)
                self._ask(Verb.DUMB_FRAMEBUFFER_MAP_OFFSET, asked, placed)

        def placed(found: abi.MapOffset | None) -> None:
            if found is None or turn != self._asking or self._connection is None:
                return
            room = -(-width * height * WORD // mmap.PAGESIZE) * mmap.PAGESIZE
            number = found.framebuffer

            def mapped(answer: tuple[int, int] | OSError) -> None:
                if isinstance(answer, OSError):
                    log.error("%s: its memory cannot be mapped: %s", self.name, answer)
                    return
                fd, offset = answer
                if turn == self._asking:
                    self._take_memory(number, fd, offset, room)
                os.close(fd)

            call = calls.mmap_prep(self._handle, room, _MAP, found.offset)
            self._connection.perform(call, mapped)

        asked = abi.CreateFramebuffer(width=width, height=height)
        self._ask(Verb.CREATE_DUMB_FRAMEBUFFER, asked, made)

    def _take_memory(self, number: int, fd: int, offset: int, room: int) -> None:
        try:
            self._memory = mmap.mmap(fd, room, offset=offset)
        except (OSError, ValueError) as error:
            log.error("%s: its memory cannot be mapped: %s", self.name, error)
            return
        self._framebuffer = number
        self._stale = all_of(*self._size)
        self.on_changed()  # not its size, but all of it has to be painted

    def _drop_memory(self) -> None:
        if self._memory is None:
            return
        if self._connection is not None:
            asked = abi.DestroyFramebuffer(framebuffer=self._framebuffer)
            self._ask(Verb.DESTROY_DUMB_FRAMEBUFFER, asked, lambda found: None)
        # A frame may still be looked at: the mapping goes with the last view of it.
        self._memory = None
        self._stale = EMPTY

    # -- calls -------------------------------------------------------------------------------------

    def _ask(self, verb: Verb, asked: Any, done: Callable[[Any], object]) -> None:
        """Make a call whose record comes back; `done(None)` when it fails."""
        kind: type[Struct] = type(asked)

        def answered(answer: tuple[int, bytes] | OSError) -> None:
            if isinstance(answer, OSError):
                log.debug("%s: %s: %s", self.name, verb.name, answer)
                done(None)
            else:
                done(kind.load(answer[1]))

        payload = bytearray(kind.size)
        asked.store(payload)
        self._call(verb, payload, answered)

    def _call(
        self, verb: Verb, payload: bytearray, done: Callable[[tuple[int, bytes] | OSError], object]
    ) -> None:
        if self._connection is not None:
            call = calls.call(self._handle, payload, len(payload), (verb,))
            self._connection.perform(call, done)

    # -- an output ---------------------------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._size

    @property
    def cursor_limits(self) -> tuple[int, int]:
        """What its cursor plane takes."""
        return self._limits

    def modes(self) -> Sequence[tuple[int, int]]:
        """Return the sizes that it can have, the preferred one first."""
        return self._modes

    def set_mode(self, width: int, height: int) -> None:
        """Ask for another size; the display tells when it has it."""
        if (width, height) not in self._modes:
            raise ValueError(f"{width}x{height} is not one of its sizes")
        asked = abi.DisplaySize(display=self._number, width=width, height=height)
        self._ask(Verb.SET_MODE, asked, lambda found: None)

    def _free(self) -> bool:
        return self._memory is not None and not self._sent and self._connection is not None

    def _frame(self) -> Frame | None:
        if self._memory is None:
            return None
        stale = (self._stale,) if self._stale else ()
        return Frame(memoryview(self._memory), self._size[0] * WORD, stale)

    def present(self, damage: Sequence[Rect]) -> None:
        """Show what has changed."""
        whole, self._stale = self._stale, EMPTY
        rects = [whole] if whole else [rect for rect in damage if rect]
        if len(rects) > _CALLS_MOST:
            rects = [around(rects)]
        self._began()
        connection = self._connection
        for rect in rects:
            asked = abi.UpdatePlane(
                display=self._number,
                framebuffer=self._framebuffer,
                x=rect.x,
                y=rect.y,
                width=rect.width,
                height=rect.height,
            )
            self._sent += 1
            self._ask(Verb.UPDATE_PLANE, asked, lambda found: self._on_shown(connection, found))

    def _on_shown(self, connection: Looped | None, found: abi.UpdatePlane | None) -> None:
        if connection is not self._connection:
            return  # of a driver that has ended: the next one gets the whole picture
        self._sent -= 1
        if found is None:
            self._fail()
        elif not self._sent:
            self._shown()
            self.wake()

    def _fail(self) -> None:
        """Begin anew, with other memory and not at once, since the driver does not take this."""
        if self._memory is not None:
            self._drop_memory()
            self._loop.at(self._loop.now() + _AGAIN_S, lambda: self.look(anew=True))

    # -- its cursor --------------------------------------------------------------------------------

    def set_cursor(self, picture: memoryview | None, width: int, height: int) -> None:
        """Take the cursor's picture; None hides it."""
        x, y, _ = self._cursor_at
        if picture is None:
            self._cursor_at = (x, y, 0)
        else:
            self._cursor = _padded(picture, width, height)
            self._cursor_at = (x, y, 1)
            self._send_cursor_image()
        self._send_cursor()

    def move_cursor(self, x: int, y: int) -> None:
        """Put its top left pixel somewhere."""
        self._cursor_at = (x, y, self._cursor_at[2])
        self._send_cursor()

    def _send_cursor_image(self) -> None:
        if not self._cursor:
            return
        payload = bytearray(abi.CursorImage.size) + self._cursor
        abi.CursorImage(display=self._number).store(payload)
        self._call(Verb.CURSOR_IMAGE, payload, lambda answer: None)
        self._cursor_told = None
        self._send_cursor()

    def _send_cursor(self) -> None:
        """Tell where it is, unless the last word about that is on its way still."""
        if self._cursor_sent or self._connection is None or self._cursor_told == self._cursor_at:
            return
        if not all(self._limits):
            return
        self._cursor_told = x, y, shown = self._cursor_at
        self._cursor_sent = True
        asked = abi.CursorMove(display=self._number, x=x, y=y, visible=shown)
        self._ask(Verb.CURSOR_MOVE, asked, lambda found: self._on_cursor())

    def _on_cursor(self) -> None:
        self._cursor_sent = False
        self._send_cursor()

    def close(self) -> None:
        """Leave it as it is; the driver shows the next VT's picture."""
        self.detach()


def _padded(picture: memoryview, width: int, height: int) -> bytes:
    """Return the cursor's picture as the drivers take it, CURSOR_SIDE pixels each way."""
    row = width * WORD
    rest = bytes((CURSOR_SIDE - width) * WORD)
    rows = (bytes(picture[n * row : (n + 1) * row]) + rest for n in range(height))
    return b"".join(rows).ljust(CURSOR_SIDE * CURSOR_SIDE * WORD, b"\0")
