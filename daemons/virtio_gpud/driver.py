"""The card's story: it is set up, its displays come and go, what is stuck is reset."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Final

from daemons.virtio_gpud.commands import Commands
from daemons.virtio_gpud.cursor import Cursor
from daemons.virtio_gpud.output import SETUP, Output
from daemons.virtio_gpud.regs import (
    DISPLAY_INFO_SIZE,
    EDID_MOST,
    FEATURE_EDID,
    SCANOUTS_MOST,
    Config,
    DisplayOne,
    EdidHead,
    Events,
    GetEdid,
    Header,
    Type,
)
from redbear_host.abi.display import CURSOR_SIDE
from redbear_host.classes import edid
from redbear_host.classes.screen import Area, DisplayMode
from redbear_host.errors import DeviceError, Gone, Stuck
from redbear_host.hw.ports import Clock, InterruptKind, PciFunction
from redbear_host.hw.virtio.transport import Transport

log = logging.getLogger(__name__)

VECTORS: Final = 3  # configuration, control queue, cursor queue
PERIOD_S: Final = 0.5  # between two looks at what no interrupt announces
SETUP_S: Final = 2.0
MOST_RESETS: Final = 3  # within RESET_WINDOW_S; one more, and the card is given up
RESET_WINDOW_S: Final = 60.0
SIDE_LEAST: Final = 16  # pixels; what a device says beyond these bounds is nonsense
SIDE_MOST: Final = 16384
MODE_MOST: Final = 24 << 20  # bytes of the largest picture: there has to be memory for it


class State(Enum):
    """Where the card is in its life."""

    STOPPED = "stopped"
    RUNNING = "running"
    FAILED = "failed"  # it was reset too often
    GONE = "gone"


@dataclass
class Counters:
    """What went wrong, and was mended."""

    resets: int = 0
    changes: int = 0  # of displays


class Card:
    """`DisplayAdapter`: display n is the card's scanout n."""

    def __init__(
        self, function: PciFunction, clock: Clock, kind: InterruptKind, vectors: int
    ) -> None:
        """Look at a card; it interrupts by `vectors` of `kind`.  `DeviceError` if it is none."""
        self.on_changed: Callable[[int], object] = _ignore
        self.on_ready: Callable[[int], object] = _ignore
        self.state = State.STOPPED
        self.counters: Final = Counters()
        self.deadline = 0.0  # clock time by which to call `tick`
        self._function: Final = function
        self._clock: Final = clock
        self._name: Final = f"virtio-gpu {function.address}"
        self._messages: Final = kind is not InterruptKind.INTX
        self._vectors: Final = vectors if self._messages else 0
        self._transport: Final = Transport(function, clock)
        device = self._transport.device
        self._config: Final = Config(device.window, device.offset)
        self._transport.reset()
        number = self._config.NUM_SCANOUTS.read().VALUE
        if not 0 < number <= SCANOUTS_MOST:
            raise DeviceError(f"{self._name} has {number} scanouts")
        self.displays: Final = number
        self._ids: Final = count(1)
        self._commands: Final = Commands(function, self._transport, clock, self._name)
        self._outputs: Final = [
            Output(n, function.dma, self._commands, self._new_id) for n in range(number)
        ]
        self._cursors: Final = [
            Cursor(n, function.dma, self._commands, self._new_id) for n in range(number)
        ]
        self._has_edid = False
        self._asking = False  # what displays there are
        self._ask_again = False
        self._resets: Final[deque[float]] = deque()

    def _new_id(self) -> int:
        return next(self._ids)

    # -- start and stop ----------------------------------------------------------------------------

    def start(self) -> None:
        """Set the card up and show black on what is connected; `DeviceError` if it cannot be."""
        self._function.set_bus_master(False)
        try:
            self._begin()
            self._ask()
            if not self._commands.wait(SETUP_S):
                raise Stuck(f"{self._name} does not answer within {SETUP_S:g} s")
        except DeviceError:
            self._function.set_bus_master(False)
            raise
        self.deadline = self._clock.now() + PERIOD_S
        sizes = ", ".join(f"{w}x{h}" for w, h in (it.size for it in self._outputs) if w) or "none"
        log.info("%s: displays: %s, of at most %d", self._name, sizes, self.displays)

    def _begin(self) -> None:
        """Reset the device and give it its queues (VIRTIO 3.1.1)."""
        self._transport.reset()
        taken = self._transport.negotiate({FEATURE_EDID})
        self._has_edid = FEATURE_EDID in taken
        if self._vectors:
            self._transport.set_config_vector(0)
        self._commands.attach(self._vectors)
        self._function.set_bus_master(True)
        self._transport.go()
        self._asking = self._ask_again = False
        self.state = State.RUNNING

    def stop(self) -> None:
        """Switch the displays off; never raises."""
        if self.state in (State.RUNNING, State.FAILED):
            try:
                self._transport.reset()
            except DeviceError as error:
                log.warning("%s: %s", self._name, error)
            self._function.set_bus_master(False)
            self.state = State.STOPPED

    def gone(self) -> None:
        """Hear that the card has left."""
        if self.state is State.GONE:
            return
        log.error("%s has left", self._name)
        self.state = State.GONE
        for output in self._outputs:
            output.size, output.preferred, output.modes = (0, 0), (0, 0), []
            self.on_changed(output.number)

    # -- what the card has to say ------------------------------------------------------------------

    def on_interrupt(self, vector: int = 0) -> int:
        """Look after whatever the card interrupts for; return how many requests have ended."""
        if self.state is not State.RUNNING:
            return 0
        return self._look(vector == 0 if self._messages else self._transport.why().CONFIG)

    def _look(self, changed: bool) -> int:
        try:
            ended = self._commands.reap()
        except DeviceError as error:
            self._recover(str(error))
            return 0
        if changed and self._config.EVENTS_READ.read().DISPLAY:
            self._config.EVENTS_CLEAR.write(Events(DISPLAY=True))
            self.counters.changes += 1
            if self._config.EVENTS_READ.read().DISPLAY:
                self._ask_again = True  # at the next tick: it may say so for ever
            else:
                self._ask()
        elif self._ask_again and not self._asking and self._commands.room() > SETUP:
            self._ask()
        for output in self._outputs:
            output.go_on()
            if output.refused:
                output.refused = False
                self.on_ready(output.number)
        for cursor in self._cursors:
            cursor.go_on()
        self._commands.flush_queue()
        return ended

    def tick(self, now: float) -> None:
        """Look after lost interrupts, and a device that has come to a halt."""
        self.deadline = now + PERIOD_S
        if self.state is not State.RUNNING:
            return
        try:
            status = self._transport.status
        except Gone:
            self.gone()  # the landing need not say so: there may be nobody who tells it
            return
        if status.NEEDS_RESET:
            self._recover("it asks for a reset")
            return
        if self._commands.in_flight or self._ask_again:
            self._look(False)
        if self._commands.is_stuck(now):
            self._recover(f"{self._commands.in_flight} requests do not end")

    def _recover(self, why: str) -> None:
        """Reset the device, and show what was shown: our memory has it still."""
        if self.state is not State.RUNNING:
            return
        now = self._clock.now()
        while self._resets and now - self._resets[0] > RESET_WINDOW_S:
            self._resets.popleft()
        self._resets.append(now)
        self.counters.resets += 1
        if len(self._resets) > MOST_RESETS:
            self._fail(f"given up, reset too often: {why}")
            return
        log.warning("%s: reset: %s", self._name, why)
        self._function.set_bus_master(False)
        try:
            self._begin()
        except Gone:
            self.gone()
            return
        except DeviceError as error:
            self._fail(str(error))
            return
        for output, cursor in zip(self._outputs, self._cursors, strict=True):
            output.forget()
            cursor.forget()
        for output in self._outputs:
            if output.is_on and self._make_room():
                output.create()
            if output.refused:
                output.refused = False
                self.on_ready(output.number)
        for cursor in self._cursors:
            cursor.go_on()
        self._ask()
        self._commands.flush_queue()

    def _make_room(self) -> bool:
        """Have room for setting an output up; with many of them, that takes a wait."""
        if self._commands.room() >= SETUP:
            return True
        try:
            return self._commands.wait(SETUP_S)
        except DeviceError as error:
            log.warning("%s: %s", self._name, error)
            return False

    def _fail(self, why: str) -> None:
        log.error("%s: %s", self._name, why)
        self.state = State.FAILED
        self._function.set_bus_master(False)
        for output in self._outputs:
            output.forget()
            if output.refused:
                output.refused = False
                self.on_ready(output.number)

    # -- which displays there are ------------------------------------------------------------------

    def _ask(self) -> None:
        """Ask which displays there are; once more when that is answered, if it is asked again."""
        if self._asking or self._commands.room() < 1:
            self._ask_again = True
            return
        self._asking, self._ask_again = True, False
        self._commands.send(
            Header(type=Type.GET_DISPLAY_INFO), self._have_displays, Type.OK_DISPLAY_INFO
        )

    def _have_displays(self, response: memoryview | None) -> None:
        self._asking = False
        if response is None or len(response) < DISPLAY_INFO_SIZE:
            return
        data = bytes(response)
        for output in self._outputs:
            at = Header.size + output.number * DisplayOne.size
            one = DisplayOne.load(data, at)
            size = (one.width, one.height) if one.enabled else (0, 0)
            if size != (0, 0) and not _makes_sense(*size):
                log.warning("%s: output %d of %dx%d", self._name, output.number, *size)
                size = (0, 0)
            if size != output.preferred:
                output.preferred = size
                self._have_size(output)

    def _have_size(self, output: Output) -> None:
        """Take the size that the device prefers now, and ask what the monitor says."""
        output.edid = b""
        output.modes = _modes(output)
        if self._commands.room() < SETUP + 1:
            output.preferred = (-1, -1)  # ask again, and find that it is another
            self._ask_again = True
            return
        if self._has_edid and any(output.preferred):

            def have(response: memoryview | None) -> None:
                self._have_edid(output, response)

            asked = GetEdid(type=Type.GET_EDID, scanout=output.number)
            self._commands.send(asked, have, Type.OK_EDID)
        # Last: who hears of another size may show a cursor at once, which takes what room is left.
        self._resize(output, *output.preferred)

    def _have_edid(self, output: Output, response: memoryview | None) -> None:
        if response is None or len(response) < EdidHead.size:
            return
        data = bytes(response)
        size = min(EdidHead.load(data).length, EDID_MOST)
        output.edid = edid.check(data[EdidHead.size : EdidHead.size + size])
        output.modes = _modes(output)
        self.on_changed(output.number)

    def _resize(self, output: Output, width: int, height: int) -> None:
        if (width, height) == output.size:
            return
        if output.resize(width, height):
            self.on_changed(output.number)

    # -- DisplayAdapter ----------------------------------------------------------------------------

    def size(self, display: int, /) -> tuple[int, int]:
        """Width and height in pixels; 0 by 0 while nothing is connected."""
        return self._outputs[display].size

    def modes(self, display: int, /) -> Sequence[DisplayMode]:
        """Return the sizes that it can have, the preferred one first."""
        return self._outputs[display].modes

    def edid(self, display: int, /) -> bytes:
        """Return the monitor's description."""
        return self._outputs[display].edid

    def set_mode(self, display: int, width: int, height: int, /) -> None:
        """Take another size; it stays until the device prefers another."""
        if self.state is State.RUNNING and self._make_room():
            self._resize(self._outputs[display], width, height)
            self._commands.flush_queue()

    def update(
        self, display: int, pixels: memoryview, stride: int, areas: Sequence[Area], /
    ) -> bool:
        """Copy areas and have the device take them over; False while it still copies there."""
        if self.state is not State.RUNNING:
            return True
        taken = self._outputs[display].update(pixels, stride, areas)
        self._commands.flush_queue()
        return taken

    def clear(self, display: int, /) -> None:
        """Make the whole screen black."""
        if self.state is State.RUNNING:
            self._outputs[display].clear()
            self._commands.flush_queue()

    def cursor_limits(self, display: int, /) -> tuple[int, int]:
        """Return CURSOR_SIDE by CURSOR_SIDE: what devices have (VIRTIO 5.7.6.10)."""
        return CURSOR_SIDE, CURSOR_SIDE

    def set_cursor(self, display: int, image: bytes, hot_x: int, hot_y: int, /) -> None:
        """Take the cursor's picture."""
        self._cursors[display].set(image, hot_x, hot_y)
        self._flush()

    def move_cursor(self, display: int, x: int, y: int, visible: bool, /) -> None:
        """Put the cursor somewhere, or hide it."""
        self._cursors[display].move(x, y, visible)
        self._flush()

    def _flush(self) -> None:
        if self.state is State.RUNNING:
            self._commands.flush_queue()


def _makes_sense(width: int, height: int) -> bool:
    return (
        SIDE_LEAST <= width <= SIDE_MOST
        and SIDE_LEAST <= height <= SIDE_MOST
        and width * height * 4 <= MODE_MOST
    )


def _modes(output: Output) -> list[DisplayMode]:
    """Return what there is for an output: its own size first, its monitor's, the usual ones."""
    if not all(size > 0 for size in output.preferred):
        return []
    own = [DisplayMode(*output.preferred)]
    told = edid.modes(output.edid)
    if told and (told[0].width, told[0].height) == output.preferred:
        own = told[:1]
    found = (mode for mode in (*own, *told, *edid.STANDARD) if _makes_sense(*mode[:2]))
    return edid.once(found)


def _ignore(_display: int) -> None:
    """Do nothing until somebody listens."""
