"""What is cut and pasted: bytes, of which the first says what they are (`t` text, `f` files, …).

That is how orbclient 0.4 writes them, and nobody looks at it here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from redbear_host.abi import errno as e
from redbear_host.errors import Refused

MOST: Final = 16 << 20  # bytes


class Clipboard:
    """One for all: who may look is for who opens it to say."""

    def __init__(self) -> None:
        self.on_changed: Callable[[], object] = lambda: None
        """Called after each write."""
        self.writer = 0  # the number of the window whose bytes these are
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes)

    def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes; none behind the end."""
        return bytes(self._bytes[offset : offset + size])

    def write(self, offset: int, data: memoryview) -> int:
        """Write: at 0 something new, behind that more of it; ENOSPC for more than MOST."""
        if offset > len(self._bytes) or offset + len(data) > MOST:
            raise Refused(e.ENOSPC)
        if not offset:
            self._bytes.clear()
        self._bytes[offset : offset + len(data)] = data
        self.on_changed()
        return len(data)
