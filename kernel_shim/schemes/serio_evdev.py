"""Linux's keyboards and mice, as PS/2 devices would have sent what they say.

Read by hand, 24 bytes an event, and not by the evdev package: that is built with a compiler, for
what here are two ioctls.

Ref: linux/input.h, linux/input-event-codes.h; Keyboard Scan Code Specification, revision 1.3a
(Microsoft), scan code set 1; IBM Personal System/2 Mouse Technical Reference, "Data report".
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from kernel_shim.schemes.serio_source import KEYBOARD, MOUSE, OnBytes
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

_DEVICES: Final = Path("/dev/input")
_EVENT: Final = struct.Struct(
    "qqHHi"
)  # struct input_event: seconds, microseconds, type, code, value
_EVENTS: Final = 64  # taken at once

EV_SYN, EV_KEY, EV_REL = 0, 1, 2
REL_X, REL_Y = 0, 1
KEY_A: Final = 30
KEY_PAUSE: Final = 119
_BUTTONS: Final = {0x110: 1, 0x111: 2, 0x112: 4}  # BTN_LEFT, _RIGHT, _MIDDLE: bits of a packet
_BITS: Final = 96  # bytes that hold all key codes

_SAME: Final = 83  # KEY_ESC to KEY_KPDOT are numbered as set 1 numbers them
_SINGLE: Final = {
    85: 0x76, 86: 0x56, 87: 0x57, 88: 0x58, 89: 0x73, 92: 0x79, 93: 0x70, 94: 0x7B,
    117: 0x59, 121: 0x7E, 124: 0x7D,
}  # fmt: skip
_EXTENDED: Final = {  # those that follow 0xE0
    96: 0x1C, 97: 0x1D, 98: 0x35, 99: 0x37, 100: 0x38, 102: 0x47, 103: 0x48, 104: 0x49,
    105: 0x4B, 106: 0x4D, 107: 0x4F, 108: 0x50, 109: 0x51, 110: 0x52, 111: 0x53, 113: 0x20,
    114: 0x2E, 115: 0x30, 116: 0x5E, 125: 0x5B, 126: 0x5C, 127: 0x5D, 140: 0x21, 142: 0x5F,
    143: 0x63, 158: 0x6A, 159: 0x69, 163: 0x19, 164: 0x22, 165: 0x10, 166: 0x24, 172: 0x32,
}  # fmt: skip
_PAUSE: Final = bytes.fromhex("e11d45e19dc5")  # it is never released


def scancode(code: int, value: int) -> bytes:
    """Return set 1's bytes for a key that goes down (1), repeats (2) or up (0)."""
    if code == KEY_PAUSE:
        return _PAUSE if value else b""
    up = 0 if value else 0x80
    if 0 < code <= _SAME:
        return bytes((code | up,))
    if code in _SINGLE:
        return bytes((_SINGLE[code] | up,))
    if code in _EXTENDED:
        return bytes((0xE0, _EXTENDED[code] | up))
    return b""  # a key that no PS/2 keyboard has


class MousePackets:
    """Gathers what a mouse says between two reports."""

    def __init__(self) -> None:
        self._buttons = 0
        self._x = self._y = 0
        self._changed = False

    def take(self, kind: int, code: int, value: int) -> bytes:
        """Take one event; a report's end gives packets."""
        if kind == EV_REL and code == REL_X:
            self._x += value
        elif kind == EV_REL and code == REL_Y:
            self._y -= value  # a PS/2 mouse counts upwards
        elif kind == EV_KEY and code in _BUTTONS:
            bit = _BUTTONS[code]
            self._buttons = self._buttons | bit if value else self._buttons & ~bit
            self._changed = True
        elif kind == EV_SYN:
            return self._packets()
        return b""

    def _packets(self) -> bytes:
        out = bytearray()
        while self._changed or self._x or self._y:
            x, y = (max(-256, min(255, way)) for way in (self._x, self._y))
            signs = (x < 0) << 4 | (y < 0) << 5
            out += bytes((8 | signs | self._buttons, x & 0xFF, y & 0xFF))
            self._x -= x
            self._y -= y
            self._changed = False
            if len(out) >= 3 * _EVENTS:  # thrown across a hundred screens
                self._x = self._y = 0
        return bytes(out)


class Evdev:
    """Every keyboard and mouse of Linux, which goes on hearing them too."""

    def __init__(self, loop: Loop) -> None:
        self._loop: Final = loop
        self._open: Final[dict[Path, int]] = {}

    def start(self, on_bytes: OnBytes) -> None:
        """Open what has come since the last look."""
        for path in sorted(_DEVICES.glob("event*")):
            if path not in self._open:
                with suppress(OSError):  # gone again
                    self._take(path, on_bytes)

    def _take(self, path: Path, on_bytes: OnBytes) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        mouse = None
        try:
            keys, axes = _bits(fd, EV_KEY), _bits(fd, EV_REL)
        except OSError:
            os.close(fd)
            raise
        if axes >> REL_X & axes >> REL_Y & keys >> 0x110 & 1:
            mouse = MousePackets()
        elif not keys >> KEY_A & 1:
            os.close(fd)
            return
        self._open[path] = fd
        self._loop.watch(fd, partial(self._on_events, path, mouse, on_bytes))
        log.info("reads %s, a %s", path, "mouse" if mouse else "keyboard")

    def _on_events(self, path: Path, mouse: MousePackets | None, on_bytes: OnBytes) -> None:
        fd = self._open[path]
        try:
            data = os.read(fd, _EVENT.size * _EVENTS)
        except BlockingIOError:
            return
        except OSError:  # unplugged
            self._drop(path)
            return
        out = bytearray()
        for _, _, kind, code, value in _EVENT.iter_unpack(data):
            if mouse is not None:
                out += mouse.take(kind, code, value)
            elif kind == EV_KEY:
                out += scancode(code, value)
        if out:
            on_bytes(KEYBOARD if mouse is None else MOUSE, bytes(out))

    def send(self, port: int, byte: int) -> bool:
        """Take no commands: Linux's devices are Linux's."""
        return False

    def _drop(self, path: Path) -> None:
        fd = self._open.pop(path)
        self._loop.unwatch(fd)
        os.close(fd)

    def stop(self) -> None:
        """Close all of them."""
        for path in tuple(self._open):
            self._drop(path)


def _bits(fd: int, kind: int) -> int:
    """Ask which codes of an event type a device has (EVIOCGBIT), as bits of a number."""
    request = 2 << 30 | _BITS << 16 | ord("E") << 8 | 0x20 + kind
    answer = bytearray(_BITS)
    fcntl.ioctl(fd, request, answer)
    return int.from_bytes(answer, "little")
