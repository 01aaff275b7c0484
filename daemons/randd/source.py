"""Where the random bytes come from: Linux's own generator, /dev/urandom (random(4)).

Redox's randd runs ChaCha20 over a seed of its own.  Linux's generator is ChaCha20 too and does what
a daemon cannot: it is seeded before we live, reseeded by interrupts, told when the machine was
cloned or resumed, and forgets what it gave.  A second generator on top could only be weaker.

The device is opened once and read through its descriptor: nothing is opened after the start.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

from redbear_host.errors import TransportError

_BUFFER: Final = 1 << 20  # bytes; the most one FUSE read asks for
_URANDOM: Final = Path("/dev/urandom")


class Source:
    """The generator, seeded; `TransportError` when there is none, or it is not seeded yet."""

    def __init__(self, device: Path = _URANDOM) -> None:
        try:
            os.getrandom(1, os.GRND_NONBLOCK)
        except BlockingIOError:
            raise TransportError(
                "Linux's random generator is not seeded yet", "wait until the machine is up"
            ) from None
        try:
            self._fd: Final = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        except OSError as err:
            raise TransportError(f"{device} cannot be opened: {err.strerror}") from err
        self._buffer: Final = memoryview(mmap.mmap(-1, _BUFFER))

    def read(self, size: int) -> memoryview:
        """Return random bytes, which stay as they are until the next read."""
        into = self._buffer[:size] if size <= _BUFFER else memoryview(bytearray(size))
        return into[: os.readv(self._fd, (into,))]

    def mix(self, data: memoryview) -> int:
        """Stir bytes into the generator's pool.

        They count as no entropy, so the worst a caller can do is nothing at all.
        """
        return os.write(self._fd, data)

    def close(self) -> None:
        """Give the device back."""
        os.close(self._fd)
