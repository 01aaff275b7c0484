"""What the controllers this daemon drives do not have in common (SDM 1.3, 82574 1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from daemons.e1000d.regs import DeviceId

_FCS: Final = 4


@dataclass(frozen=True)
class Part:
    """One kind of controller."""

    name: str
    express: bool  # PCI Express: master disable, interrupt causes of queues, IVAR
    wide_eerd: bool  # EERD's later layout
    longest: int  # bytes of the longest frame, without FCS
    packet_buffer: int  # KiB for receiving while frames are long; 0: as it comes


_OLD: Final = 16128 - _FCS  # SDM 1.3: jumbo frames of up to 16 KB
_NEW: Final = 9018 - _FCS  # 82574 1.1: of up to 9018 bytes

PARTS: Final[Mapping[int, Part]] = {
    DeviceId.I82543GC_COPPER: Part("82543GC", False, False, _OLD, 40),
    DeviceId.I82540EM: Part("82540EM", False, False, _OLD, 40),
    DeviceId.I82545EM_COPPER: Part("82545EM", False, False, _OLD, 40),
    DeviceId.I82573L: Part("82573L", True, True, _NEW, 0),
    DeviceId.I82574L: Part("82574L", True, True, _NEW, 0),
    DeviceId.I82579V: Part("82579V", True, True, _NEW, 0),
}
