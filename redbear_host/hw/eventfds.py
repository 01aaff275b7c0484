"""Eventfds as interrupts: made by who holds the device, waited for by its daemon."""

from __future__ import annotations

import os
from contextlib import suppress


def eventfds(count: int) -> list[int]:
    """Make `count` of them, non-blocking and closed by exec."""
    return [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(count)]


def drain(fd: int) -> None:
    """Forget what was signalled so far: it was meant for a predecessor."""
    with suppress(BlockingIOError):  # nothing was
        os.eventfd_read(fd)
