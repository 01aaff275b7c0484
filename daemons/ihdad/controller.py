"""The controller: its reset, its interrupts, and the codecs on its link.

Ref: HDA 4.2 (start-up), 4.3 (codecs announce themselves), 3.6.1 (position buffer).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from daemons.ihdad.codec import setting
from daemons.ihdad.codec.regs import Configuration, Verb
from daemons.ihdad.codec.tree import Ask, Codec, walk
from daemons.ihdad.link import Link
from daemons.ihdad.quirks import of_controller
from daemons.ihdad.regs import (
    CORBSTS,
    DPLBASE,
    GONE,
    INTCTL,
    INTSTS,
    POSITION_STRIDE,
    RIRBSTS,
    SDCTL,
    STATESTS,
    STREAM_BASE,
    STREAM_STRIDE,
    WAKEEN,
    HdaRegs,
    StreamRegs,
    Word,
)
from daemons.ihdad.stream import Stream
from redbear_host.errors import DeviceError, Gone, Stuck
from redbear_host.hw.ports import Clock, PciFunction

RESET_S: Final = 0.1  # for CRST to follow what was written
CODECS_S: Final = 0.001  # codecs announce themselves within 25 frames, 521 us (4.3)
LATE_S: Final = 0.1  # and what has not by then is not there
TREES_S: Final = 10.0  # to read trees in; it takes milliseconds, a second on a slow QEMU
_STREAMS_MOST: Final = 30
_CODECS_MOST: Final = 15
_ALL_ONES: Final = 0xFFFF_FFFF
_LOW: Final = (1 << 32) - 1

_log = logging.getLogger(__name__)


class Controller:
    """The registers that all streams and codecs share."""

    def __init__(self, function: PciFunction, clock: Clock, pins: Mapping[tuple[int, int], int]):
        """Prepare to drive `function`; nothing is touched before `reset`.

        `pins` are configuration defaults by codec and node, better than those of the firmware.
        """
        self.name: Final = f"HDA {function.address}"
        self._function: Final = function
        self._clock: Final = clock
        self._pins: Final = pins
        self._quirk: Final = of_controller(function.ids)
        self._mmio: Final = function.bar(0)
        self._regs: Final = HdaRegs(self._mmio)
        self._link: Link | None = None
        self._positions: memoryview | None = None
        self._positions_at = 0  # its address; 0: it is not used

    def check(self) -> None:
        """Raise `Gone` if the controller has left."""
        if self._regs.GCAP.read().raw == GONE:
            raise Gone(f"{self.name} does not answer")

    # -- reset -------------------------------------------------------------------------------------

    def silence(self) -> None:
        """Stop every stream and both rings, and mask every interrupt, without waiting."""
        self._regs.INTCTL.write(INTCTL())
        capabilities = self._regs.GCAP.read()
        count = capabilities.ISS + capabilities.OSS + capabilities.BSS
        for number in range(min(count, _STREAMS_MOST)):
            base = STREAM_BASE + STREAM_STRIDE * number
            StreamRegs(self._mmio, base).CTL.write(SDCTL())
        if self._link is not None:
            self._link.stop()

    def hold_in_reset(self) -> None:
        """Enter reset, where nothing is done; `Stuck` if that does not happen."""
        with self._regs.GCTL.edit() as control:
            control.CRST = False
        self._regs.GCTL.wait(lambda it: not it.CRST, self._clock, RESET_S)

    def reset(self) -> list[int]:
        """Reset the controller and its link; return the codecs that are there (4.2.2, 4.3).

        The bus is closed to it, and is to be opened before codecs are asked.  Raises `Gone`,
        `Stuck` or another `DeviceError`.
        """
        self.check()
        self.silence()
        self.hold_in_reset()
        self._clock.pause(0.001)  # 100 us for the link (5.5.1.2)
        self._regs.WAKEEN.write(WAKEEN())
        with self._regs.GCTL.edit() as control:
            control.CRST = True
        self._regs.GCTL.wait(lambda it: it.CRST, self._clock, RESET_S)
        self._clock.pause(CODECS_S)
        try:
            here = self._regs.STATESTS.wait(lambda it: it.SDIWAKE != 0, self._clock, LATE_S)
        except Stuck:
            raise DeviceError(f"{self.name}: no codec has come") from None
        self.check()
        self._regs.STATESTS.write(STATESTS(SDIWAKE=here.SDIWAKE))
        return [number for number in range(_CODECS_MOST) if here.SDIWAKE >> number & 1]

    def open_link(self) -> Link:
        """Make codecs hear, and be heard."""
        if self._link is None:
            dma = self._function.dma
            self._link = Link(self._regs, dma, self._clock, self._limit, self.name)
        self._link.start()
        with self._regs.GCTL.edit() as control:
            control.UNSOL = True
        return self._link

    # -- codecs ------------------------------------------------------------------------------------

    @property
    def link(self) -> Link:
        """What codecs are asked by; `DeviceError` before the first start."""
        if self._link is None:
            raise DeviceError(f"{self.name} was not started")
        return self._link

    def ask_of(self, codec: int) -> Ask:
        """Return what asks one codec."""
        return partial(self.link.ask, codec)

    def ask_until(self, deadline: float, codec: int) -> Ask:
        """Return what asks one codec; `Stuck` after a clock time, however soon it answers each."""

        def ask(node: int, verb: Verb, payload: int) -> int:
            if self._clock.now() >= deadline:
                raise Stuck(f"{self.name}: codec {codec} takes too long to tell what it is")
            return self.link.ask(codec, node, verb, payload)

        return ask

    def walk(self, numbers: Sequence[int]) -> dict[int, Codec]:
        """Read the codecs' trees; those that make no sense, or take too long, are left out."""
        found = {}
        deadline = self._clock.now() + TREES_S
        for number in numbers:
            try:
                found[number] = self._correct(walk(number, self.ask_until(deadline, number)))
            except Gone:
                raise
            except DeviceError as error:
                _log.warning("%s: codec %d is left out: %s", self.name, number, error)
        return found

    def _correct(self, codec: Codec) -> Codec:
        """Put in what the user knows better than the firmware."""
        for (number, node), default in self._pins.items():
            if number == codec.number and node in codec.nodes:
                pin = replace(codec.nodes[node], configuration=Configuration.of(default))
                codec.nodes[node] = pin
        return codec

    def power_up(self, codecs: Iterable[Codec]) -> None:
        """Bring the codecs to D0; what does not get there is used all the same."""
        for codec in codecs:
            try:
                if codec.group:
                    setting.power_up(codec, self.ask_of(codec.number), self._clock)
            except Stuck as error:
                _log.warning("%s: %s", self.name, error)

    # -- streams -----------------------------------------------------------------------------------

    @property
    def _limit(self) -> int:
        """Where the memory ends that the controller reaches."""
        wide = self._regs.GCAP.read().OK64 and not self._quirk.address_32
        return 1 << (64 if wide else 32)

    def make_streams(self) -> tuple[Stream, Stream | None]:
        """Make the first output stream, and the first input stream if there is one.

        `DeviceError` for a controller that has no output.
        """
        capabilities, dma = self._regs.GCAP.read(), self._function.dma
        if not capabilities.OSS:
            raise DeviceError(f"{self.name} has no output stream")
        if not self._quirk.no_position_buffer:
            buffer = dma.alloc(_STREAMS_MOST * POSITION_STRIDE, 128, self._limit)
            self._positions, self._positions_at = buffer.view, buffer.iova
        numbers = [capabilities.ISS] + [0] * bool(capabilities.ISS)
        made = [
            Stream(
                self._mmio, number, tag, dma, self._clock, self._positions, self._limit, self.name
            )
            for tag, number in enumerate(numbers, 1)
        ]
        return made[0], made[1] if len(made) > 1 else None

    def set_up(self, streams: Sequence[Stream]) -> None:
        """Prepare the streams after a reset, and let interrupts through."""
        if self._positions_at:
            self._regs.DPUBASE.write(Word(VALUE=self._positions_at >> 32))
            low = DPLBASE(DPBE=True, BASE=(self._positions_at & _LOW) >> 7)
            self._regs.DPLBASE.write(low)
        for stream in streams:
            stream.reset()
        bits = sum(1 << stream.number for stream in streams)
        self._regs.INTCTL.write(INTCTL(SIE=bits, CIE=True, GIE=True))

    # -- interrupts --------------------------------------------------------------------------------

    def mask(self) -> None:
        """Let no interrupt through."""
        self._regs.INTCTL.write(INTCTL())

    def causes(self) -> INTSTS:
        """Return what it interrupts for; `Gone` if it has left."""
        status = self._regs.INTSTS.read()
        if status.raw == _ALL_ONES:
            self.check()
        return status

    def hear(self) -> list[tuple[int, int]]:
        """Take what codecs have said unasked: codec and response."""
        self._regs.CORBSTS.write(CORBSTS(CMEI=True))
        self._regs.RIRBSTS.write(RIRBSTS(RINTFL=True, OIS=True))
        link = self.link
        link.hear()
        said = list(link.unsolicited)
        link.unsolicited.clear()
        return said
