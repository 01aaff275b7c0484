"""One stream descriptor: a ring of sub-buffers that the controller plays, or fills.

Ref: HDA 3.3.35 to 3.3.43 (registers), 3.6.3 (buffer descriptor list), 3.6.1 (position buffer),
4.5.3 (starting and stopping).
"""

from __future__ import annotations

import logging
from typing import Final

from daemons.ihdad.regs import (
    BDL_ALIGN,
    BDLE,
    BDLE_IOC,
    FMT,
    POSITION_STRIDE,
    SDCTL,
    SDLVI,
    SDSTS,
    SDTAG,
    STREAM_BASE,
    STREAM_STRIDE,
    StreamRegs,
    Word,
)
from redbear_host.bits import Mmio
from redbear_host.errors import Stuck
from redbear_host.hw.ports import Clock, Dma

SUB_BUFFERS: Final = 32  # of a ring, as Redox's
BUFFER: Final = 2048  # bytes of one
RING: Final = SUB_BUFFERS * BUFFER
FRAME: Final = 4  # bytes
FRAMES: Final = BUFFER // FRAME  # of a sub-buffer
STOPS_S: Final = 0.04  # for RUN to clear: FIFOs drain in less than a frame (4.5.4)
RESETS_S: Final = 0.02
SEEN_S: Final = 0.003  # for SRST to read back
_LOW: Final = (1 << 32) - 1
_TRIES: Final = 3  # LPIB moved and the position buffer did not: it is not written
_CLEAR: Final = SDSTS(BCIS=True, FIFOE=True, DESE=True)

_log = logging.getLogger(__name__)


class Stream:
    """Descriptor `number`, with ring memory of its own."""

    def __init__(
        self,
        mmio: Mmio,
        number: int,
        tag: int,
        dma: Dma,
        clock: Clock,
        positions: memoryview | None,
        limit: int,
        name: str,
    ) -> None:
        """Make the ring below address `limit`; `positions` is the position buffer, if it is used.

        `tag`, 1 to 15, is its stream number on the link: descriptors may have larger ones.
        Nothing is touched before `reset`.
        """
        self.number: Final = number
        self.tag: Final = tag
        self._regs: Final = StreamRegs(mmio, STREAM_BASE + STREAM_STRIDE * number)
        self._clock: Final = clock
        self._name: Final = f"{name} stream {number}"
        memory = dma.alloc(RING, BDL_ALIGN, limit)
        self._list: Final = dma.alloc(SUB_BUFFERS * BDLE.size, BDL_ALIGN, limit)
        for index in range(SUB_BUFFERS):
            BDLE(ADDRESS=memory.iova + index * BUFFER, LENGTH=BUFFER, FLAGS=BDLE_IOC).store(
                self._list.view, index * BDLE.size
            )
        self.memory: Final = memory.view
        self.slots: Final = [self.memory[at : at + BUFFER] for at in range(0, RING, BUFFER)]
        self._written: memoryview | None = None  # where the controller writes its position
        if positions is not None:
            at = number * POSITION_STRIDE
            self._written = positions[at : at + 4].cast("I")
        self._distrust = 0

    def reset(self) -> None:
        """Bring the descriptor to its defaults; `Stuck` if it does not get there (3.3.35)."""
        regs = self._regs
        self.stop()
        regs.CTL.write(SDCTL(SRST=True))
        try:
            regs.CTL.wait(lambda it: it.SRST, self._clock, SEEN_S)
        except Stuck:
            # QEMU's is through before it can be seen.
            _log.debug("%s: SRST does not read back", self._name)
        regs.CTL.write(SDCTL())
        regs.CTL.wait(lambda it: not it.SRST and not it.RUN, self._clock, RESETS_S)
        regs.STS.write(_CLEAR)

    def start(self, sample_format: FMT) -> None:
        """Begin at the ring's start; the descriptor was reset."""
        regs = self._regs
        if self._written is not None:
            self._written[0] = 0
        regs.TAG.write(SDTAG(STRM=self.tag))
        regs.CBL.write(Word(VALUE=RING))
        regs.LVI.write(SDLVI(LVI=SUB_BUFFERS - 1))
        regs.FMT.write(sample_format)
        regs.BDPL.write(Word(VALUE=self._list.iova & _LOW))
        regs.BDPU.write(Word(VALUE=self._list.iova >> 32))
        regs.CTL.write(SDCTL(RUN=True, IOCE=True, FEIE=True, DEIE=True))

    def stop(self) -> None:
        """Stop; `Stuck` if it runs on."""
        self._regs.CTL.write(SDCTL())
        self._regs.CTL.wait(lambda it: not it.RUN, self._clock, STOPS_S)

    def take_status(self) -> SDSTS:
        """Read what it interrupts for, and clear that."""
        status = self._regs.STS.read()
        self._regs.STS.write(_CLEAR)
        return status

    @property
    def runs(self) -> bool:
        """Whether the descriptor says that it runs."""
        return self._regs.CTL.read().RUN

    def position(self) -> int:
        """Return how many bytes of the ring the controller has gone through; unchecked.

        From the position buffer, which costs no access to the bus and is exact; from LPIB where
        that is not written.
        """
        written = self._written
        if written is not None:
            position = written[0]
            if position:
                self._distrust = 0
                return position
            position = self._regs.LPIB.read().VALUE
            # Both are 0 at the start and at each wrap.
            self._distrust += position >= BUFFER
            if self._distrust >= _TRIES:
                _log.info("%s: positions are not written, LPIB is read", self._name)
                self._written = None
            return position
        return self._regs.LPIB.read().VALUE
