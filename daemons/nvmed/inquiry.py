"""What a client may ask a running controller: log pages and features (5.15, 5.16, 5.27)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

from daemons.nvmed.identify import Identity
from daemons.nvmed.queues import Answer
from daemons.nvmed.regs import (
    SQE,
    AdminOpcode,
    ErrorEntry,
    Feature,
    FirmwareLog,
    GetFeaturesDw10,
    LogDw10,
    LogPage,
    SetFeaturesDw10,
    SmartLog,
)
from daemons.nvmed.status import errno_of
from redbear_host.abi import errno as e
from redbear_host.hw.ports import Dma

T = TypeVar("T")
Told: TypeAlias = Callable[[int, T], None]
"""Called once with an errno and, when that is 0, the answer."""

BROADCAST: Final = 0xFFFF_FFFF  # NSID: the whole controller
MOST_LOG: Final = 4096  # bytes one request returns; a page, so that PRP1 suffices


def counter(raw: bytes, /) -> int:
    """One of the 16-byte counters of a log page."""
    return int.from_bytes(raw, "little")


class Inquiry:
    """Questions by admin command; the answers come by callback, as everything a disk does."""

    def __init__(
        self,
        submit: Callable[[SQE, Callable[[Answer], None]], None],
        dma: Dma,
        page: int,
        identity: Identity,
    ) -> None:
        self._submit: Final = submit
        self._dma: Final = dma
        self._page: Final = page
        self._identity: Final = identity

    def smart(self, told: Told[SmartLog], /) -> None:
        """Read the SMART / Health Information log."""
        blank = SmartLog()
        self.log(
            LogPage.SMART_HEALTH,
            SmartLog.size,
            lambda errno, raw: told(errno, blank if errno else SmartLog.load(raw)),
        )

    def errors(self, told: Told[list[ErrorEntry]], /) -> None:
        """Read the Error Information log, newest first, without the entries never written."""

        def parse(errno: int, raw: bytes) -> None:
            starts = range(0, len(raw) - ErrorEntry.size + 1, ErrorEntry.size)
            entries = [ErrorEntry.load(raw, start) for start in starts]
            told(errno, [entry for entry in entries if entry.ERROR_COUNT])

        size = min(self._identity.error_entries * ErrorEntry.size, MOST_LOG)
        self.log(LogPage.ERROR_INFORMATION, size, parse)

    def firmware(self, told: Told[FirmwareLog], /) -> None:
        """Read the Firmware Slot Information log."""
        blank = FirmwareLog()
        self.log(
            LogPage.FIRMWARE_SLOT,
            FirmwareLog.size,
            lambda errno, raw: told(errno, blank if errno else FirmwareLog.load(raw)),
        )

    def log(self, page: LogPage, size: int, told: Told[bytes], /) -> None:
        """Read the first `size` bytes of a log page: a multiple of 4, at most 4096.

        Reading a page also lets the controller report the next event that concerns it.
        """
        if not 0 < size <= MOST_LOG or size % 4:
            raise ValueError(f"a log is read in 4 to {MOST_LOG} bytes, a multiple of 4, not {size}")
        try:
            buffer = self._dma.alloc(size, align=self._page)
        except MemoryError:
            told(e.ENOMEM, b"")
            return

        def answered(answer: Answer) -> None:
            errno = e.EIO if answer.status is None else errno_of(answer.status)
            raw = b"" if errno else bytes(buffer.view)
            buffer.free()
            told(errno, raw)

        dw10 = LogDw10(LID=page, NUMDL=size // 4 - 1).raw
        self._submit(
            SQE(OPC=AdminOpcode.GET_LOG_PAGE, NSID=BROADCAST, PRP1=buffer.iova, CDW10=dw10),
            answered,
        )

    def get_feature(self, feature: Feature, told: Told[int], /, nsid: int = 0) -> None:
        """Read the current value of a feature that has no data structure."""
        dw10 = GetFeaturesDw10(FID=feature).raw
        self._submit(SQE(OPC=AdminOpcode.GET_FEATURES, NSID=nsid, CDW10=dw10), _value(told))

    def set_feature(
        self, feature: Feature, value: int, told: Told[int], /, nsid: int = 0, save: bool = False
    ) -> None:
        """Set a feature to dword 11 `value`; with `save` across power cycles."""
        dw10 = SetFeaturesDw10(FID=feature, SV=save).raw
        sqe = SQE(OPC=AdminOpcode.SET_FEATURES, NSID=nsid, CDW10=dw10, CDW11=value)
        self._submit(sqe, _value(told))


def _value(told: Told[int]) -> Callable[[Answer], None]:
    def answered(answer: Answer) -> None:
        errno = e.EIO if answer.status is None else errno_of(answer.status)
        told(errno, 0 if errno else answer.result)

    return answered
