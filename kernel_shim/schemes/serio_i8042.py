"""The i8042 of a lab machine: QEMU's own keyboard and mouse, byte for byte.

Ref: Intel 8042 as used in the IBM PS/2 (IBM Personal System/2 Hardware Interface Technical
Reference, "Keyboard/Auxiliary Device Controller").
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, Final

from kernel_shim.schemes.serio_source import KEYBOARD, MOUSE, OnBytes
from redbear_host.bits import Mmio
from redbear_host.errors import DeviceError, Gone, Stuck
from redbear_host.hw.qtest.window import Window
from redbear_host.hw.qtest.wire import Wire
from redbear_host.scheme.loop import Loop

log = logging.getLogger(__name__)

DATA: Final = 0x60
STATUS: Final = 0x64  # when written: a command
_FULL: Final = 0x01  # there is a byte to be read
_HAS_COMMAND: Final = 0x02  # it has not taken the last byte yet
_FROM_MOUSE: Final = 0x20
_WRITE_CONFIGURATION: Final = 0x60
_TO_MOUSE: Final = 0xD4
_REPORT: Final = 0xF4  # to the mouse: say what moves
_ACKNOWLEDGED: Final = 0xFA
_INTERRUPTS_AND_SET_1: Final = 0x47  # both interrupts, system flag, translation to scan code set 1

_PORTS_END: Final = 0x1_0000
_BYTES_MOST: Final = 256  # at one interrupt; the controller itself holds fewer
_LOOK_S: Final = 0.5  # an edge that was lost would be the last: the controller waits to be emptied


class I8042:
    """The controller behind I/O ports; `wake_fds` are signalled when it has bytes."""

    def __init__(self, loop: Loop, ports: Mmio, wake_fds: list[int]) -> None:
        """Switch both devices on."""
        self._loop: Final = loop
        self._ports: Final = ports
        self._wake: Final = wake_fds
        self._on_bytes: OnBytes | None = None
        self._timer = loop.at(loop.now(), lambda: None)
        ports.write8(STATUS, _WRITE_CONFIGURATION)
        ports.write8(DATA, _INTERRUPTS_AND_SET_1)
        ports.write8(STATUS, _TO_MOUSE)
        ports.write8(DATA, _REPORT)
        for _ in range(_BYTES_MOST):  # what was said before anybody listened, and the answer
            if not ports.read8(STATUS) & _FULL or ports.read8(DATA) == _ACKNOWLEDGED:
                break

    def start(self, on_bytes: OnBytes) -> None:
        """Say what comes; bytes that came before are old."""
        if self._on_bytes is None:
            self._take()
            self._on_bytes = on_bytes
            for fd in self._wake:
                self._loop.watch_signals(fd, self._on_interrupt)
            self._look_later()

    def stop(self) -> None:
        """Say no more."""
        self._on_bytes = None
        self._timer.cancel()
        for fd in self._wake:
            self._loop.unwatch(fd)

    def send(self, port: int, byte: int) -> bool:
        """Pass a byte on; False if the controller takes none."""
        try:
            if port == MOUSE:
                self._await_room()
                self._ports.write8(STATUS, _TO_MOUSE)
            self._await_room()
            self._ports.write8(DATA, byte)
        except DeviceError:
            return False
        self._on_interrupt()  # some answer at once, and interrupt nobody who is looking already
        return True

    def _await_room(self) -> None:
        for _ in range(_BYTES_MOST):
            if not self._ports.read8(STATUS) & _HAS_COMMAND:
                return
        raise Stuck("the keyboard controller takes no byte")

    def _look_later(self) -> None:
        self._timer = self._loop.at(self._loop.now() + _LOOK_S, self._look)

    def _look(self) -> None:
        self._on_interrupt()
        if self._on_bytes is not None:
            self._look_later()

    def _on_interrupt(self) -> None:
        on_bytes = self._on_bytes
        for port, data in enumerate(self._take()):
            if data and on_bytes is not None:
                on_bytes(port, bytes(data))

    def _take(self) -> tuple[bytearray, bytearray]:
        """Read until the controller is empty; return the keyboard's bytes and the mouse's."""
        taken = bytearray(), bytearray()
        with suppress(Gone):  # the machine has ended: nobody types on it any more
            for _ in range(_BYTES_MOST):
                status = self._ports.read8(STATUS)
                if not status & _FULL:
                    break
                port = MOUSE if status & _FROM_MOUSE else KEYBOARD
                taken[port].append(self._ports.read8(DATA))
        return taken


def open_i8042(loop: Loop, message: Mapping[str, Any], fds: list[int]) -> I8042:
    """Open the controller of a lab machine, as `Machine.serio_grant` hands it out.

    Takes over the descriptors, also when it fails: with `Gone` if the machine has ended.
    """
    socket_fd, arena_fd, *wake = fds
    with ExitStack() as held:
        for fd in wake:
            held.callback(os.close, fd)
        try:
            wire = Wire(socket_fd, lambda: log.info("the lab's keyboard controller has left"))
            held.callback(wire.close)
            with mmap.mmap(arena_fd, message["arena_size"]) as memory, memoryview(memory) as view:
                wire.resynchronise(view, message["cookie"])
        finally:
            for fd in (socket_fd, arena_fd):
                os.close(fd)
        controller = I8042(loop, Window(wire, 0, _PORTS_END, ports=True), wake)
        held.pop_all()
    return controller
