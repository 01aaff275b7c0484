"""Events and timers (redox_syscall, src/data.rs; flags in `redbear_host.abi.flags`)."""

from __future__ import annotations

from typing import Final

from redbear_host.bits import Struct, at

EVENT_TIMEOUT_ID: Final = (1 << 64) - 3  # written with milliseconds as data: the next read ends


class Event(Struct, size=24):
    """One registration written to an event queue, or one event read from it."""

    id: int = at(0, "Q")  # the descriptor as it was registered
    flags: int = at(8, "Q")  # EVENT_READ, EVENT_WRITE; 0 ends a registration
    data: int = at(16, "Q")  # the user's own


class ITimerSpec(Struct, size=32):
    """An interval timer: two TimeSpecs."""

    it_interval_sec: int = at(0, "q")
    it_interval_nsec: int = at(8, "i")
    it_value_sec: int = at(16, "q")
    it_value_nsec: int = at(24, "i")
