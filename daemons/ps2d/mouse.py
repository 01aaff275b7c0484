"""A mouse's packets, of three bytes or with a wheel of four, as events."""

from __future__ import annotations

from typing import Final

from daemons.ps2d import regs
from daemons.ps2d.keyboard import Record
from redbear_host.abi.orbital import EventCode

_GAP_S: Final = 0.1  # the bytes of a packet come within a few milliseconds
_PLAIN, _WITH_WHEEL = 3, 4
_NEWCOMER: Final = bytes((regs.SELF_TEST_PASSED, regs.MOUSE))


class Packets:
    """Gathers bytes to packets, and finds their beginning again when one was lost."""

    def __init__(self) -> None:
        self.has_wheel = False
        self._bytes = bytearray()
        self._last = 0.0
        self._buttons = 0

    def take(self, byte: int, now: float) -> list[Record]:
        """Take a byte; return what a packet says that ends with it."""
        if now - self._last > _GAP_S:
            self._bytes.clear()
        self._last = now
        if not self._bytes and not byte & regs.ALWAYS:
            return []  # out of step: this is in the midst of a packet
        self._bytes.append(byte)
        if len(self._bytes) < (_WITH_WHEEL if self.has_wheel else _PLAIN):
            return []
        packet = bytes(self._bytes)
        self._bytes.clear()
        return self._packet(packet)

    @property
    def is_newcomer(self) -> bool:
        """Whether what came last is what a mouse says that was plugged in."""
        return self._bytes == _NEWCOMER

    def forget(self) -> list[Record]:
        """Begin anew, with another mouse or after its reset."""
        self._bytes.clear()
        held, self._buttons = self._buttons, 0
        return [(EventCode.BUTTON, 0, 0)] if held else []

    def _packet(self, packet: bytes) -> list[Record]:
        flags = packet[0]
        out: list[Record] = []
        if not flags & regs.OVERFLOWS:
            x = packet[1] - (0x100 if flags & regs.X_NEGATIVE else 0)
            y = packet[2] - (0x100 if flags & regs.Y_NEGATIVE else 0)
            if x or y:
                out.append((EventCode.MOUSE_RELATIVE, x, -y))  # a mouse counts upwards
        if self.has_wheel and packet[3]:
            turned = packet[3] - (0x100 if packet[3] & 0x80 else 0)
            out.append((EventCode.SCROLL, 0, -turned))  # and its wheel downwards
        left, right, middle = (bool(flags & bit) for bit in (regs.LEFT, regs.RIGHT, regs.MIDDLE))
        buttons = left | middle << 1 | right << 2
        if buttons != self._buttons:
            self._buttons = buttons
            out.append((EventCode.BUTTON, buttons, 0))
        return out
