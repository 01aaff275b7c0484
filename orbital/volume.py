"""The keys that make the sound louder and softer, for the scheme `audio` where there is one."""

from __future__ import annotations

import logging
from typing import Final

from orbital.desktop import Volume
from redbear_host.abi import flags as f
from redbear_host.client import calls
from redbear_host.client.calls import Answer
from redbear_host.client.looped import Looped
from redbear_host.daemon import Daemon
from redbear_host.link import Link
from redbear_host.ring.layout import NO_OFFSET
from redbear_host.scheme.scheme import POSITIONED, ROOT

log = logging.getLogger(__name__)

NAME: Final = "audio"
_STEP: Final = 5  # of 100
_ROOM: Final = 16  # bytes of a number


class VolumeKeys:
    """Holds `audio/volume`, and sets it when a key is pressed."""

    def __init__(self, daemon: Daemon) -> None:
        self._link: Final = Link(NAME, daemon)
        self._link.on_open = self._on_open
        self._link.on_lost = self._lose
        self._connection: Looped | None = None
        self._handle = -1
        self._offset = 0
        self._before_mute = 0

    def start(self) -> None:
        """Call audiod."""
        self._link.start()

    def close(self) -> None:
        """Leave it."""
        self._link.close()

    def _lose(self) -> None:
        self._connection = None

    def _on_open(self, connection: Looped) -> None:
        def opened(answer: Answer | OSError) -> None:
            if isinstance(answer, OSError):
                log.info("there is no volume to set: %s", answer)
                return
            self._connection, self._handle = connection, answer.handle
            self._offset = 0 if answer.new_flags & POSITIONED else NO_OFFSET

        connection.perform(calls.openat(ROOT, b"volume", f.O_RDWR), opened)

    def turn(self, volume: Volume) -> None:
        """Do what somebody has typed."""
        connection = self._connection
        if connection is None:
            return

        def told(answer: bytes | OSError) -> None:
            text = b"" if isinstance(answer, OSError) else answer.strip()
            if not text.isdigit():
                log.warning("the volume is %r, which is no number", answer)
                return
            after = str(self._after(int(text), volume)).encode()
            call = calls.write(self._handle, after, self._offset)
            connection.perform(call, lambda answer: None)

        connection.perform(calls.read(self._handle, _ROOM, self._offset), told)

    def _after(self, now: int, volume: Volume) -> int:
        match volume:
            case Volume.UP:
                return min(now + _STEP, 100)
            case Volume.DOWN:
                return max(now - _STEP, 0)
            case Volume.MUTE if now:
                self._before_mute = now
                return 0
        return self._before_mute
