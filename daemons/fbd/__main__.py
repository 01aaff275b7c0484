"""fbd's start: Linux's frame buffer, mapped; its console, which the shim takes and gives back."""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
from collections.abc import Callable
from typing import Any, Final

from daemons.fbd.format import FIX_SIZE, NOTHING, VAR_SIZE, Layout, parse
from daemons.fbd.screen import Screen
from redbear_host.daemon import Daemon, SeatGrant
from redbear_host.displayed import serve_display

log = logging.getLogger(__name__)

_FBIOGET_VSCREENINFO: Final = 0x4600
_FBIOGET_FSCREENINFO: Final = 0x4602


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        screen = _screen(daemon.seat)
        # A successor goes on where the screen is as its predecessor has left it.
        if daemon.life == 1:
            screen.clear(0)
        serve_display(daemon, screen)
        daemon.on_told = _with_seat(screen, daemon.say, daemon.on_told)
        daemon.run()


def _screen(seat: SeatGrant | None) -> Screen:
    """Map what was named; without that, there is a display without a monitor."""
    if seat is None or not seat.cards:
        log.warning('no frame buffer is named: write [daemon.fbd] framebuffer = "fb0"')
        return Screen(NOTHING, memoryview(bytearray()), active=False)
    ((name, fd),) = seat.cards.items()
    try:
        layout = _layout(fd)
        memory = mmap.mmap(fd, layout.length)
    except (OSError, ValueError) as error:
        log.error("%s cannot be drawn on: %s", name, error)
        raise SystemExit(1) from None
    log.info("%s: %s, %dx%d", name, layout.name, layout.width, layout.height)
    return Screen(layout, memoryview(memory), seat.active)


def _layout(fd: int) -> Layout:
    var, fix = bytearray(VAR_SIZE), bytearray(FIX_SIZE)
    fcntl.ioctl(fd, _FBIOGET_VSCREENINFO, var)
    fcntl.ioctl(fd, _FBIOGET_FSCREENINFO, fix)
    return parse(bytes(var), bytes(fix))


def _with_seat(
    screen: Screen,
    say: Callable[[dict[str, Any]], object],
    otherwise: Callable[[dict[str, Any], list[int]], None],
) -> Callable[[dict[str, Any], list[int]], None]:
    """Return what hears of the terminal first (`kernel_shim.seat`)."""

    def on_told(message: dict[str, Any], fds: list[int]) -> None:
        word = message.get("seat")
        if word == "release":
            screen.release()
            say({"seat": "released"})
        elif word == "acquired":
            screen.acquire()
        else:
            otherwise(message, fds)
            return
        for fd in fds:
            os.close(fd)

    return on_told


if __name__ == "__main__":
    main()
