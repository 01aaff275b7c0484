"""A picture that comes in pieces: what programs write that know files and no windows.

`cat` writes 128 KiB at a time, and Linux cuts what is longer than a mebibyte.  Each piece goes
where the one before it ended; behind the last row it begins again, so that a film is one picture
after another.
"""

from __future__ import annotations

from typing import Any, Final

from orbital.commands import looks_like_one
from orbital.rect import Rect
from redbear_host.abi.display import WORD

COMMAND_MOST: Final = 1 << 16  # bytes; what is longer is no command
PIECE_LEAST: Final = 4096  # bytes of a piece that begins a picture and holds no whole row


class Picture:
    """Where in a window's memory the next piece goes."""

    __slots__ = ("_at", "_left", "_memory", "_rgba", "_size", "_width")

    def __init__(self, memory: Any, width: int, height: int, rgba: bool) -> None:
        """Write to `memory`; with `rgba` bytes come as R, G, B, A and not as B, G, R, A."""
        self._memory: Final = memory
        self._width: Final = width
        self._size: Final = width * height * WORD
        self._rgba: Final = rgba
        self._at = 0  # bytes into the picture
        self._left = b""  # of a pixel that came in part, where its bytes change places

    def takes(self, data: memoryview, pieces: bool) -> bool:
        """Tell whether these bytes are pixels: else they are a command, or nothing.

        As many as the picture has always are, and so is what goes on with one that was begun.
        Without `pieces` nothing else is; with them, what is too long for a command, or as long as a
        row and does not begin as one.
        """
        count = len(data)
        if not self._size or not count:
            return False
        if count == self._size or self._at:
            return True
        if not pieces or (count <= COMMAND_MOST and looks_like_one(data)):
            return False
        return count >= min(self._width * WORD, PIECE_LEAST)

    def write(self, data: memoryview) -> list[Rect]:
        """Take a piece; return which rows it has changed."""
        if len(data) == self._size:
            self._at, self._left = 0, b""
        if self._rgba:
            data = self._turned(data)
        # Nobody sees the pictures of a film of which another is there already: a mebibyte for a
        # window of one pixel would be a quarter of a million of them.
        data = data[max(len(data) // self._size - 1, 0) * self._size :]
        changed = []
        while len(data):
            count = min(len(data), self._size - self._at)
            changed.append(self.put(self._at, data[:count]))
            self._at = (self._at + count) % self._size
            data = data[count:]
        return changed

    def put(self, at: int, data: memoryview) -> Rect:
        """Write at a place, in the order of bytes that the memory has; return the rows."""
        end = at + len(data)
        self._memory[at:end] = data
        row = self._width * WORD
        first, last = at // row, (end - 1) // row
        return Rect(0, first, self._width, last - first + 1)

    def begin(self) -> None:
        """Let the next piece begin a picture."""
        self._at, self._left = 0, b""

    def _turned(self, data: memoryview) -> memoryview:
        """Return R, G, B, A as B, G, R, A; what is no whole pixel yet waits for the rest."""
        whole = self._left + bytes(data)
        end = len(whole) // WORD * WORD
        self._left = whole[end:]
        turned = bytearray(whole[:end])
        turned[0::4], turned[2::4] = turned[2::4], turned[0::4]
        return memoryview(turned)
