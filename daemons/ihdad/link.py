"""The link to the codecs: commands and their answers, by rings or one at a time.

Ref: HDA 3.6 (CORB and RIRB), 3.4.3 (Immediate Command), 4.4 (how rings are started and used).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

from daemons.ihdad.codec.regs import Command, Verb
from daemons.ihdad.regs import (
    CORBCTL,
    CORBRP,
    CORBWP,
    GONE,
    ICIS,
    RINTCNT,
    RIRBCTL,
    RIRBE,
    RIRBSTS,
    RIRBWP,
    HdaRegs,
    ResponseEx,
    RingSize,
    Word,
)
from redbear_host.bits import RW
from redbear_host.errors import Gone, Stuck
from redbear_host.hw.ports import Clock, Dma, DmaBuffer

ANSWER_S: Final = 0.05  # a codec answers in the next frame, 21 us later; some take their time
RING_S: Final = 0.02  # for an engine to stop, and for a pointer to be reset
_LOOKS: Final = 100  # before the processor is left to others
_PAUSE_S: Final = 0.001
_KEPT_MOST: Final = 64  # unsolicited responses
_ENTRIES: Final = ((4, 2, 256), (2, 1, 16), (1, 0, 2))  # bit of SZCAP, SIZE, entries
_COMMAND: Final = 4  # bytes
_LOW: Final = (1 << 32) - 1

_log = logging.getLogger(__name__)


class Link:
    """What a controller's codecs are asked, and what they say unasked.

    `ask` waits for its answer; it is not for a moment when sound must not wait.
    """

    def __init__(self, regs: HdaRegs, dma: Dma, clock: Clock, limit: int, name: str) -> None:
        """Make the rings' memory below address `limit`; nothing is touched before `start`."""
        self._regs: Final = regs
        self._clock: Final = clock
        self._name: Final = name
        self._corb: Final = dma.alloc(256 * _COMMAND, 128, limit)
        self._rirb: Final = dma.alloc(256 * RIRBE.size, 128, limit)
        self._commands: Final = self._corb.view.cast("I")
        self.unsolicited: Final[deque[tuple[int, int]]] = deque(maxlen=_KEPT_MOST)
        """Codec and response, the oldest first; the oldest are lost when nobody takes them."""
        self.immediate = False  # rings do not work: one command at a time, nothing unasked
        self.restarts = 0  # of rings that hung
        self.strays = 0  # answers nobody waited for
        self._sends = self._takes = 0  # entries of the rings
        self._wp = self._rp = 0

    @property
    def buffers(self) -> tuple[DmaBuffer, DmaBuffer]:
        """The memory of both rings."""
        return self._corb, self._rirb

    def start(self) -> None:
        """Set the rings up on a controller that was just reset; `Gone` if it has left."""
        self.unsolicited.clear()
        try:
            self.immediate = not self._start_rings()
        except Stuck as error:
            _log.warning("%s: its rings do not start: %s", self._name, error)
            self.immediate = True

    def stop(self) -> None:
        """Stop both engines; never raises."""
        self._regs.CORBCTL.write(CORBCTL())
        self._regs.RIRBCTL.write(RIRBCTL())

    def _start_rings(self) -> bool:
        regs = self._regs
        self.stop()
        regs.CORBCTL.wait(lambda it: not it.RUN, self._clock, RING_S)
        regs.RIRBCTL.wait(lambda it: not it.DMAEN, self._clock, RING_S)
        self._sends, self._takes = self._size(regs.CORBSIZE), self._size(regs.RIRBSIZE)
        if not self._sends or not self._takes:
            return False
        regs.CORBLBASE.write(Word(VALUE=self._corb.iova & _LOW))
        regs.CORBUBASE.write(Word(VALUE=self._corb.iova >> 32))
        regs.RIRBLBASE.write(Word(VALUE=self._rirb.iova & _LOW))
        regs.RIRBUBASE.write(Word(VALUE=self._rirb.iova >> 32))
        regs.CORBWP.write(CORBWP())
        regs.CORBRP.write(CORBRP(RST=True))
        try:
            regs.CORBRP.wait(lambda it: it.RST, self._clock, RING_S)
        except Stuck:
            # Some clear it by themselves; whether the pointer is reset is looked at below.
            _log.debug("%s: CORBRP.RST does not read back", self._name)
        regs.CORBRP.write(CORBRP())
        regs.CORBRP.wait(lambda it: not it.RST and not it.RP, self._clock, RING_S)
        regs.RIRBWP.write(RIRBWP(RST=True))
        # An interrupt for each: what comes unasked is to be heard at once.
        regs.RINTCNT.write(RINTCNT(N=1))
        self._wp = self._rp = 0
        regs.RIRBSTS.write(RIRBSTS(RINTFL=True, OIS=True))
        regs.RIRBCTL.write(RIRBCTL(DMAEN=True, RINTCTL=True))
        regs.CORBCTL.write(CORBCTL(RUN=True))
        return True

    @staticmethod
    def _size(register: RW[RingSize]) -> int:
        """Choose the largest size there is; 0 where there are no rings."""
        able = register.read().SZCAP
        for bit, size, entries in _ENTRIES:
            if able & bit:
                with register.edit() as value:
                    value.SIZE = size
                return entries
        return 0

    # -- asking ------------------------------------------------------------------------------------

    def ask(self, codec: int, node: int, verb: Verb, payload: int = 0) -> int:
        """Send a verb and return the answer.

        A ring that hangs is started again, then given up.  `Stuck` when there is no answer that
        way either, `Gone` when the controller has left.
        """
        # A verb of 4 bits has 16 of payload, a verb of 12 has 8.
        command = Command(CAD=codec, NID=node, VERB=verb | payload >> 8, PAYLOAD=payload & 0xFF).raw
        if not self.immediate:
            for again in (False, True):
                if again and not self._restart():
                    break
                answer = self._ask_by_ring(codec, command)
                if answer is not None:
                    return answer
        answer = self._ask_at_once(command)
        if answer is None:
            raise Stuck(
                f"{self._name}: codec {codec} does not answer {verb.name} {payload:#x} "
                f"of node {node:#04x}"
            )
        if not self.immediate:
            self.immediate = True
            _log.warning("%s: its rings hang; codecs are asked one by one", self._name)
            self.stop()
        return answer

    def _restart(self) -> bool:
        """Start the rings anew, since an answer did not come."""
        self.restarts += 1
        if self._regs.GCAP.read().raw == GONE:
            raise Gone(f"{self._name} does not answer")
        try:
            return self._start_rings()
        except Stuck:
            return False

    def _ask_by_ring(self, codec: int, command: int) -> int | None:
        self.hear()  # what was said before is no answer to this
        self._wp = (self._wp + 1) % self._sends
        self._commands[self._wp] = command
        self._regs.CORBWP.write(CORBWP(WP=self._wp))
        deadline = self._clock.now() + ANSWER_S
        looks = 0
        while True:
            late = self._clock.now() >= deadline
            answer = self._collect(codec)
            if answer is not None:
                return answer
            if late:
                return None
            looks += 1
            if looks > _LOOKS:
                self._clock.pause(_PAUSE_S)

    def _ask_at_once(self, command: int) -> int | None:
        regs = self._regs
        try:
            regs.ICIS.wait(lambda it: not it.ICB, self._clock, ANSWER_S)
            regs.ICIS.write(ICIS(IRV=True))
            regs.ICOI.write(Word(VALUE=command))
            regs.ICIS.write(ICIS(ICB=True))
            regs.ICIS.wait(lambda it: it.IRV and not it.ICB, self._clock, ANSWER_S)
        except Stuck:
            if regs.GCAP.read().raw == GONE:
                raise Gone(f"{self._name} does not answer") from None
            return None
        return regs.ICII.read().VALUE

    # -- hearing -----------------------------------------------------------------------------------

    def hear(self) -> None:
        """Take what has been said unasked."""
        if not self.immediate:
            self._collect(-1)

    def _collect(self, codec: int) -> int | None:
        """Take what is in the response ring; return `codec`'s first answer, if there is one."""
        wp = self._regs.RIRBWP.read().WP
        if wp == self._rp or wp >= self._takes:
            return None
        # Before the entries are read: what comes after that sets it again.
        self._regs.RIRBSTS.write(RIRBSTS(RINTFL=True, OIS=True))
        found = None
        while self._rp != wp:
            self._rp = (self._rp + 1) % self._takes
            entry = RIRBE.load(self._rirb.view, self._rp * RIRBE.size)
            said = ResponseEx.of(entry.EX)
            if said.UNSOL:
                self.unsolicited.append((said.SDI, entry.RESPONSE))
            elif said.SDI == codec and found is None:
                found = entry.RESPONSE
            else:
                self.strays += 1
        return found
