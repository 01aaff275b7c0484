"""What a display scheme shows to whom, in memory that the shim keeps: a successor goes on with it.

Page 0 is JSON, `{"active": VT, "shown": [[VT, DISPLAY, NUMBER], …], "sizes": [[W, H], …]}`,
written by one system call; behind it lies, for each display, the cursor of the VT that is active.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from redbear_host.abi.display import CURSOR_SIDE

log = logging.getLogger(__name__)

NAME: Final = "state"  # what the shim keeps it by
DISPLAYS_MOST: Final = 16
IMAGE: Final = CURSOR_SIDE * CURSOR_SIDE * 4  # bytes

_PAGE: Final = 4096
_PLACE: Final = struct.Struct("<QIIiiQ")  # VT, hot spot, place, 1: to be seen
_SLOT: Final = 2 * _PAGE + IMAGE
_SIZE: Final = _PAGE + DISPLAYS_MOST * _SLOT
_SHOWN_MOST: Final = 96  # of at most 36 bytes each: they fit in a page


class Shown(NamedTuple):
    """A VT shows a frame buffer on a display whenever it is active."""

    vt: int
    display: int
    number: int


class Cursor:
    """A display's cursor, as a VT wants it."""

    __slots__ = ("hot_x", "hot_y", "image", "visible", "x", "y")

    def __init__(self) -> None:
        self.image = b""  # none yet
        self.hot_x = self.hot_y = self.x = self.y = 0
        self.visible = False


class DisplayState:
    """The memory; `fd` is what the shim has to keep."""

    def __init__(self, fd: int = -1) -> None:
        """Make it, or take over a predecessor's `fd`."""
        if fd < 0:
            fd = os.memfd_create("display-state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(fd, _SIZE)
        self.fd: Final = fd
        self._memory: Final = mmap.mmap(fd, _SIZE)
        self._saved = b""

    def load(self) -> tuple[int, list[Shown], list[tuple[int, int]]]:
        """Return which VT is active (0: none), what all of them show, and the displays' sizes."""
        text = self._memory[:_PAGE].rstrip(b"\0 ")
        if not text:
            return 0, [], []
        try:
            said: dict[str, Any] = json.loads(text)
            shown = [Shown(*map(int, one)) for one in said["shown"]]
            sizes = [(int(width), int(height)) for width, height in said["sizes"]]
            return int(said["active"]), shown, sizes
        except (ValueError, LookupError, TypeError) as error:
            log.warning("what was shown is forgotten: %r", error)
            return 0, [], []

    def save(self, active: int, shown: Iterable[Shown], sizes: Sequence[tuple[int, int]]) -> None:
        """Write down what `load` is to return."""
        said = {"active": active, "shown": list(shown)[:_SHOWN_MOST], "sizes": sizes}
        text = json.dumps(said, separators=(",", ":")).encode().ljust(_PAGE)
        if text != self._saved:
            os.pwrite(self.fd, text, 0)
            self._saved = text

    def load_cursor(self, vt: int, display: int) -> Cursor | None:
        """Return the cursor that `vt` had on a display, if it was the active one."""
        at = _PAGE + display * _SLOT
        owner, hot_x, hot_y, x, y, visible = _PLACE.unpack_from(self._memory, at)
        if owner != vt or hot_x >= CURSOR_SIDE or hot_y >= CURSOR_SIDE:
            return None
        found = Cursor()
        found.image = self._memory[at + _PAGE : at + _PAGE + IMAGE]
        found.hot_x, found.hot_y = hot_x, hot_y
        found.x, found.y, found.visible = x, y, bool(visible)
        return found

    def save_cursor(self, vt: int, display: int, cursor: Cursor | None, image: bool) -> None:
        """Write down a cursor of the VT that is active, with its `image` if that is another."""
        at = _PAGE + display * _SLOT
        if cursor is None or not cursor.image:
            _PLACE.pack_into(self._memory, at, 0, 0, 0, 0, 0, 0)
            return
        if image:
            self._memory[at + _PAGE : at + _PAGE + IMAGE] = cursor.image
        place = (cursor.hot_x, cursor.hot_y, cursor.x, cursor.y, int(cursor.visible))
        _PLACE.pack_into(self._memory, at, vt, *place)

    def close(self) -> None:
        """Let go of it, for our successor."""
        self._memory.close()
        os.close(self.fd)
