"""Hears when a device file appears in a folder: inotify(7).

Ref: linux/inotify.h.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import Final

from redbear_host.scheme.loop import Loop

_IN_CREATE: Final = 0x100
_EVENT: Final = Struct("iIII")  # struct inotify_event: wd, mask, cookie, length of the name
_ROOM: Final = 4096
_PREFIX: Final = b"event"


class Newcomers:
    """Calls back once for any number of files named event… that were made together."""

    def __init__(self, folder: Path, loop: Loop, on_newcomer: Callable[[], object]) -> None:
        """Begin to listen; `OSError` when Linux does not tell."""
        self._loop: Final = loop
        self._on_newcomer: Final = on_newcomer
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: Final = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        if libc.inotify_add_watch(self._fd, os.fsencode(folder), _IN_CREATE) < 0:
            os.close(self._fd)
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(folder))
        loop.watch(self._fd, self._on_readable)

    def _on_readable(self) -> None:
        data = os.read(self._fd, _ROOM)
        at, came = 0, False
        while at < len(data):
            length = _EVENT.unpack_from(data, at)[3]
            at += _EVENT.size
            came |= data[at : at + length].startswith(_PREFIX)
            at += length
        if came:
            self._on_newcomer()

    def close(self) -> None:
        """Listen no more."""
        self._loop.unwatch(self._fd)
        os.close(self._fd)
