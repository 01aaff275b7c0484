"""The modelled controller's registers (section 3), and what writing them sets off."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redbear_host.models.nvme.controller import NvmeModel

CAP, VS, INTMS, INTMC, CC, CSTS = 0x00, 0x08, 0x0C, 0x10, 0x14, 0x1C
AQA, ASQ, ACQ, END = 0x24, 0x28, 0x30, 0x38
READY, FATAL, SHUTDOWN, SHUTDOWN_COMPLETE = 0x1, 0x2, 0xC, 0x8  # CSTS


class Registers:
    """Registers below the doorbells; the three faults they can have are plain attributes."""

    def __init__(self, model: NvmeModel, cap: int) -> None:
        """Made by `NvmeModel`."""
        self._model: Final = model
        self._cap: Final = cap
        self.ready_after = 0.0  # seconds from a change of CC.EN to that of CSTS.RDY
        self.never_ready = False  # CSTS.RDY stays 0 when CC.EN is set from now on
        self.never_idle = False  # CSTS.RDY is 1, whatever CC.EN says
        self.reset()

    def reset(self) -> None:
        """Take the defaults."""
        self._raw = bytearray(END)
        struct.pack_into("<QI", self._raw, CAP, self._cap, self._model.version)
        self._ready_at: float | None = None
        self._ready = False
        self.fatal = False
        self.fell_back = False

    @property
    def page(self) -> int:
        """Bytes of a memory page, as CC.MPS says."""
        return 4096 << (self._word(CC) >> 7 & 0xF)

    @property
    def running(self) -> bool:
        """Enabled, ready and not failed."""
        self._settle()
        return self._word(CSTS) & (READY | FATAL) == READY

    @property
    def interrupt_mask(self) -> int:
        """Bit n set: vector n does not raise the INTx line."""
        return self._word(INTMS)

    def fall_back(self) -> None:
        """Be as after a reset that nobody asked for, with CC.EN still set."""
        self.fell_back = True
        self._ready = False
        self._ready_at = None

    def read(self, offset: int, width: int, /) -> int:
        """Read a register, or a part of one; what is not modelled reads as zero."""
        self._settle()
        return int.from_bytes(self._raw[offset : offset + width], "little")

    def write(self, offset: int, value: int, width: int, /) -> None:
        """Write a register of 32 bits, or both halves of one of 64."""
        self._settle()
        if width == 8:
            self.write(offset, value & 0xFFFF_FFFF, 4)
            self.write(offset + 4, value >> 32, 4)
        elif width != 4:
            self._complain(f"register {offset:#x} was written with {width} bytes")
        elif offset == CC:
            self._configure(value)
        elif offset in (INTMS, INTMC):
            mask = self.interrupt_mask
            mask = mask | value if offset == INTMS else mask & ~value
            self._store(INTMS, mask)
            self._store(INTMC, mask)
            self._model.line()
        elif offset in (AQA, ASQ, ASQ + 4, ACQ, ACQ + 4):
            if self._word(CC) & 1:
                self._complain(f"admin queue register {offset:#x} was written while EN is 1")
            self._store(offset, value & ~0xFFF if offset in (ASQ, ACQ) else value)
        else:
            self._complain(f"register {offset:#x} cannot be written")

    def _configure(self, value: int) -> None:
        before = self._word(CC)
        self._store(CC, value)
        if value & ~before & 1:
            self._enable(value)
        elif before & ~value & 1:
            self._disable()
        if value >> 14 & 3 and value & 1:
            self._model.shut_down()
            self._store(CSTS, self._word(CSTS) & ~SHUTDOWN | SHUTDOWN_COMPLETE)
        self._settle()

    def _enable(self, value: int) -> None:
        if self._word(CSTS) & READY:
            self._complain("EN was set while RDY was still 1")
        sizes = value >> 16 & 0xF, value >> 20 & 0xF
        if sizes != (6, 4) or value >> 4 & 7 or (value >> 7 & 0xF) != self._cap >> 48 & 0xF:
            self._complain(f"CC {value:#x} asks for what this controller has not")
            self.fatal = True
        asq, acq = (struct.unpack_from("<Q", self._raw, at)[0] for at in (ASQ, ACQ))
        if (asq | acq) & self.page - 1:
            self._complain(f"admin queues at {asq:#x} and {acq:#x} are not page aligned")
        aqa = self._word(AQA)
        self._model.begin(asq, acq, (aqa & 0xFFF) + 1, (aqa >> 16 & 0xFFF) + 1)
        self._ready_at = self._model.clock.now() + self.ready_after

    def _disable(self) -> None:
        if self._ready_at is not None and not (self.never_ready or self.fatal):
            self._complain("EN was cleared before RDY became 1")
        self._model.forget()
        self.fatal = self.fell_back = False
        self._store(CSTS, self._word(CSTS) & ~SHUTDOWN)
        self._ready_at = self._model.clock.now() + self.ready_after

    def _settle(self) -> None:
        """Let CSTS follow the clock."""
        enabled = bool(self._word(CC) & 1)
        if self._ready_at is not None and self._model.clock.now() >= self._ready_at:
            self._ready_at = None
            self._ready = enabled and not self.never_ready
        ready = self._ready or self.never_idle
        status = self._word(CSTS) & ~(READY | FATAL)
        self._store(CSTS, status | READY * ready | FATAL * self.fatal)

    def _complain(self, what: str) -> None:
        self._model.violations.append(what)

    def _word(self, offset: int) -> int:
        return int.from_bytes(self._raw[offset : offset + 4], "little")

    def _store(self, offset: int, value: int) -> None:
        struct.pack_into("<I", self._raw, offset, value)
