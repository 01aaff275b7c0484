"""The modelled controller: registers, rings, streams.

Time is in the test's hands: `run(seconds)` lets the streams go on.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from redbear_host.hw.ports import PciIds
from redbear_host.models.function import Host, Slot
from redbear_host.models.hda.codec import CodecModel, desktop
from redbear_host.models.hda.faults import Fault, Misdeed

WINDOW: Final = 0x4000
GCTL, STATESTS, INTCTL, INTSTS = 0x08, 0x0E, 0x20, 0x24
CORBL, CORBU, CORBWP, CORBRP, CORBCTL, CORBSIZE = 0x40, 0x44, 0x48, 0x4A, 0x4C, 0x4E
RIRBL, RIRBU, RIRBWP, RINTCNT, RIRBCTL, RIRBSTS, RIRBSIZE = 0x50, 0x54, 0x58, 0x5A, 0x5C, 0x5D, 0x5E
ICOI, ICII, ICIS, DPL, DPU = 0x60, 0x64, 0x68, 0x70, 0x74
STREAMS: Final = 0x80
STRIDE: Final = 0x20
OUTPUTS: Final = 2
_COMMON_WIDTHS: Final = {
    **dict.fromkeys((0x00, 0x0C, STATESTS, CORBWP, CORBRP, RIRBWP, RINTCNT, ICIS), 2),
    **dict.fromkeys((0x02, 0x03, CORBCTL, 0x4D, CORBSIZE, RIRBCTL, RIRBSTS, RIRBSIZE), 1),
}
_STREAM_WIDTHS: Final = {0x00: 1, 0x02: 1, 0x03: 1, 0x0C: 2, 0x10: 2, 0x12: 2}
_ONE_CLEARS: Final = {STATESTS: 0x7FFF, 0x4D: 1, RIRBSTS: 5}
_SD_CLEARS: Final = 0x1C
_RUN: Final = 2
_PATTERN: Final = 251  # recorded bytes repeat after so many: no sub-buffer is like its neighbour


class HdaModel:
    """A controller with streams each way and the codecs it is given, by their numbers.

    What was played is in `heard`, all streams' bytes in order; what is recorded is a pattern.
    `violations` collects what the driver did against the specification.
    """

    window_size: int = WINDOW
    vectors: int = 0

    def __init__(self, codecs: Mapping[int, CodecModel] | None = None, *, inputs: int = 2) -> None:
        self.ids: Final = PciIds(0x8086, 0x2668, 0x8086, 0x2668, 0x040300, 1)
        self.codecs: Final = dict(codecs) if codecs is not None else {0: desktop()}
        self.inputs: Final = inputs  # streams
        self.violations: Final[list[str]] = []
        self.faults: Final[list[Fault]] = []
        self.heard: Final = bytearray()
        self.recorded = 0  # bytes
        self.resets = 0
        self.asked = 0  # verbs
        self._host: Host | None = None
        self._bytes = bytearray(WINDOW)
        self.reset()

    def plug(self, host: Host, /) -> None:
        """Sit in a slot."""
        self._host = host

    @property
    def host(self) -> Host:
        """The slot this sits in."""
        if self._host is None:
            raise ValueError("the model is in no slot")
        return self._host

    def reset(self) -> None:
        """Start over with the registers' defaults; the controller is in reset."""
        self._bytes[:] = bytes(WINDOW)
        self._put(0x00, OUTPUTS << 12 | self.inputs << 8 | 1, 2)
        self._put(0x03, 1, 1)
        self._put(CORBSIZE, 0x42, 1)
        self._put(RIRBSIZE, 0x42, 1)
        for number in range(self.inputs + OUTPUTS):
            self._put(STREAMS + STRIDE * number + 0x10, 0xBF, 2)
        self._interrupt()

    # -- registers ---------------------------------------------------------------------------------

    def get(self, offset: int, width: int = 4) -> int:
        """Return what a register holds, without the effects of reading."""
        return int.from_bytes(self._bytes[offset : offset + width], "little")

    def _put(self, offset: int, value: int, width: int) -> None:
        self._bytes[offset : offset + width] = value.to_bytes(width, "little")

    def _width(self, offset: int) -> int:
        if offset < STREAMS:
            return _COMMON_WIDTHS.get(offset, 4)
        return _STREAM_WIDTHS.get((offset - STREAMS) % STRIDE, 4)

    def read(self, offset: int, width: int, /) -> int:
        """Read a register."""
        if width != self._width(offset):
            self.violations.append(f"{offset:#x} is read with {width} bytes")
        if offset == INTSTS:
            return self._causes()
        value = self.get(offset, width)
        fault = self._fault(Misdeed.POSITION) if (offset - STREAMS) % STRIDE == 4 else None
        return fault.value if fault is not None and offset >= STREAMS else value

    def write(self, offset: int, value: int, width: int, /) -> None:
        """Write a register."""
        if width != self._width(offset):
            self.violations.append(f"{offset:#x} is written with {width} bytes")
        if not self.get(GCTL) & 1 and offset not in (GCTL, 0x0C) and value:
            self.violations.append(f"{offset:#x} is written in reset")
        if offset in _ONE_CLEARS:
            self._put(offset, self.get(offset, width) & ~(value & _ONE_CLEARS[offset]), width)
        elif offset >= STREAMS:
            self._write_stream(*divmod(offset - STREAMS, STRIDE), value, width)
        elif offset == GCTL:
            self._write_gctl(value)
        elif offset == CORBRP:
            self._put(offset, value & 0x8000, 2)
        elif offset == RIRBWP:
            self._put(offset, 0 if value >> 15 else self.get(offset, 2), 2)
        elif offset == ICIS:
            self._write_icis(value)
        else:
            self._put(offset, value, width)
        if offset in (CORBWP, CORBCTL, RIRBSTS):
            self._run_corb()
        self._interrupt()

    def _write_gctl(self, value: int) -> None:
        was = self.get(GCTL)
        if not value & 1:
            self.reset()
            return
        if self._fault(Misdeed.HELD_IN_RESET):
            return
        self._put(GCTL, value & 0x103, 4)
        if not was & 1:
            self.resets += 1
            if not self._fault(Misdeed.NO_CODECS):
                self._put(STATESTS, sum(1 << number for number in self.codecs), 2)

    # -- verbs -------------------------------------------------------------------------------------

    def _run_corb(self) -> None:
        while self.get(CORBCTL, 1) & _RUN and self.get(CORBRP, 2) != self.get(CORBWP, 2):
            if self._fault(Misdeed.STUCK_CORB) or self._fault(Misdeed.DEAF):
                return
            at = (self.get(CORBRP, 2) + 1) % 256
            where = self.get(CORBU) << 32 | self.get(CORBL) + 4 * at
            memory = self.host.memory(where, 4, "fetching a command")
            if memory is None:
                return
            self._put(CORBRP, at, 2)
            (command,) = struct.unpack("<I", memory)
            codec = command >> 28
            if codec not in self.codecs or self._fault(Misdeed.NO_ANSWER):
                continue
            if self._fault(Misdeed.WRONG_CODEC):
                codec = 9
            self.respond(self._do(command), codec)

    def _do(self, command: int) -> int:
        self.asked += 1
        verb, payload = command >> 8 & 0xFFF, command & 0xFF
        if verb >> 8 not in (0x7, 0xF):
            verb, payload = verb >> 8, command & 0xFFFF
        answer = self.codecs[command >> 28].answer(command >> 20 & 0xFF, verb, payload)
        garbage = self._fault(Misdeed.GARBAGE)
        return answer if garbage is None else garbage.value

    def respond(self, response: int, extended: int) -> None:
        """Put a response into the ring."""
        if not self.get(RIRBCTL, 1) & _RUN:
            return
        at = (self.get(RIRBWP, 2) + 1) % 256
        where = self.get(RIRBU) << 32 | self.get(RIRBL) + 8 * at
        memory = self.host.memory(where, 8, "storing a response")
        if memory is None:
            return
        memory[:] = struct.pack("<II", response, extended)
        self._put(RIRBWP, at, 2)
        if self.get(RIRBCTL, 1) & 1:
            self._put(RIRBSTS, self.get(RIRBSTS, 1) | 1, 1)
        self._interrupt()

    def plug_in(self, codec: int, node: int, present: bool) -> None:
        """Put something into a jack, or take it out; the codec tells, if it was told to."""
        found = self.codecs[codec].nodes[node]
        found.present = present
        if found.unsolicited & 0x80 and self.get(GCTL) >> 8 & 1:
            self.respond((found.unsolicited & 0x3F) << 26, 1 << 4 | codec)

    def _write_icis(self, value: int) -> None:
        status = self.get(ICIS, 2) & ~(value & 2)
        if value & 1 and not self._fault(Misdeed.DEAF):
            command = self.get(ICOI)
            if command >> 28 in self.codecs:
                self._put(ICII, self._do(command), 4)
                status |= 2
        elif value & 1:
            status |= 1
        self._put(ICIS, status, 2)

    # -- streams -----------------------------------------------------------------------------------

    def _write_stream(self, number: int, register: int, value: int, width: int) -> None:
        base = STREAMS + STRIDE * number
        runs = self.get(base, 1) & _RUN
        if register == 3:
            self._put(base + 3, self.get(base + 3, 1) & ~(value & _SD_CLEARS), 1)
        elif register == 0 and value & 1:
            if runs:
                self.violations.append(f"stream {number} is reset while it runs")
            self._bytes[base : base + STRIDE] = bytes(STRIDE)
            self._put(base, 1, 1)
        else:
            if runs and register in (2, 8, 0xC, 0x12, 0x18, 0x1C):
                self.violations.append(f"stream {number}: {register:#x} is written while it runs")
            if register == 0 and value & _RUN and not runs:
                self._check_stream(number, base)
            self._put(base + register, value, width)

    def _check_stream(self, number: int, base: int) -> None:
        if not self.get(base + 2, 1) >> 4:
            self.violations.append(f"stream {number} runs as number 0")
        if not self.get(base + 0xC, 2):
            self.violations.append(f"stream {number} has fewer than two buffers")
        if self.get(base + 0x18) % 128:
            self.violations.append(f"stream {number}: its list is not aligned")

    def run(self, seconds: float, step: float = 0.001) -> None:
        """Let time pass for all streams that run."""
        for _ in range(max(1, round(seconds / step))):
            for number in range(self.inputs + OUTPUTS):
                base = STREAMS + STRIDE * number
                if self.get(base, 1) & _RUN:
                    rate = 44100 if self.get(base + 0x12, 2) >> 14 & 1 else 48000
                    self._transfer(number, base, int(rate * step) * 4)

    def _transfer(self, number: int, base: int, count: int) -> None:
        if self._fault(Misdeed.STALL):
            return
        if self._fault(Misdeed.DESCRIPTOR_ERROR):
            self._put(base + 3, self.get(base + 3, 1) | 0x10, 1)
            self._put(base, self.get(base, 1) & ~_RUN, 1)
            self._interrupt()
            return
        table = self.get(base + 0x1C) << 32 | self.get(base + 0x18)
        length = self.get(base + 8)
        while count:
            at = self.get(base + 4)
            index, within = divmod(at, length // (self.get(base + 0xC, 2) + 1))
            entry = self.host.memory(table + 16 * index, 16, "fetching a descriptor")
            if entry is None:
                return
            address, size, flags = struct.unpack("<QII", entry)
            piece = min(count, size - within)
            memory = self.host.memory(address + within, piece, "moving samples")
            if memory is None:
                return
            if number < self.inputs:
                memory[:] = bytes((self.recorded + it) % _PATTERN for it in range(piece))
                self.recorded += piece
            else:
                self.heard.extend(memory)
            count -= piece
            self._put(base + 4, (at + piece) % length, 4)
            self._tell(number, base)
            if within + piece == size and flags & 1:
                self._complete(base)

    def _tell(self, number: int, base: int) -> None:
        low = self.get(DPL)
        if not low & 1 or self._fault(Misdeed.UNTOLD):
            return
        where = self.get(DPU) << 32 | (low & ~0x7F) + 8 * number
        memory = self.host.memory(where, 4, "telling a position")
        if memory is not None:
            fault = self._fault(Misdeed.POSITION)
            value = self.get(base + 4) if fault is None else fault.value
            memory[:] = value.to_bytes(4, "little")

    def _complete(self, base: int) -> None:
        status = self.get(base + 3, 1) | 4
        if self._fault(Misdeed.FIFO_ERROR):
            status |= 8
        if not self._fault(Misdeed.LOSE_INTERRUPT):
            self._put(base + 3, status, 1)
        self._interrupt()

    # -- interrupts --------------------------------------------------------------------------------

    def _causes(self) -> int:
        bits = 0
        for number in range(self.inputs + OUTPUTS):
            base = STREAMS + STRIDE * number
            # The enables are bits 2 to 4 as well.
            if self.get(base + 3, 1) & self.get(base, 1) & _SD_CLEARS:
                bits |= 1 << number
        if self.get(RIRBSTS, 1) & 5:
            bits |= 1 << 30
        if self._peek(Misdeed.STUCK_CAUSE):
            bits |= 1 << self.inputs
        return bits | 1 << 31 if bits else 0

    def _interrupt(self) -> None:
        if self._host is None:
            return
        enabled = self.get(INTCTL)
        up = bool(enabled >> 31 and self._causes() & enabled & 0x7FFF_FFFF)
        stuck = enabled >> 31 and self._peek(Misdeed.STUCK_INTERRUPT)
        self._host.line(bool(up or stuck))

    def vanish(self) -> None:
        """Leave the bus."""
        if isinstance(self._host, Slot):
            self._host.pull()

    def _peek(self, misdeed: Misdeed) -> bool:
        return any(fault.misdeed is misdeed and fault.times for fault in self.faults)

    def _fault(self, misdeed: Misdeed) -> Fault | None:
        for fault in self.faults:
            if fault.misdeed is misdeed and fault.times:
                fault.times -= 1
                return fault
        return None
