"""Displays: which one is the best, and the handles through which drivers hear of the active VT."""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import Final

VT_EVENT: Final = Struct("<QQ")  # VtEvent: kind, VT
ACTIVATE: Final = 0
_MOST: Final = 16  # events a driver has not read; all but the newest are history
_EARLY: Final = "display.vesa"  # what firmware had set up, or the plainest of cards


class DisplayHandle:
    """A display driver that wants to hear which VT is active."""

    def __init__(self, name: str, early: bool) -> None:
        self.name: Final = name
        self.early: Final = early
        self._events: Final[deque[int]] = deque(maxlen=_MOST)

    def __len__(self) -> int:
        return len(self._events)

    def activate(self, vt: int) -> None:
        """Tell that a VT is active now."""
        self._events.append(vt)

    def take(self, room: int) -> bytes:
        """Take as many events as have room, in bytes."""
        count = min(room // VT_EVENT.size, len(self._events))
        return b"".join(VT_EVENT.pack(ACTIVATE, self._events.popleft()) for _ in range(count))


class Displays:
    """All displays: those whose drivers have opened a handle, and those that are served.

    The best is the newest that said `handle`; then the newest that is served; then those that were
    there early.
    """

    def __init__(self) -> None:
        self.handles: Final[list[DisplayHandle]] = []
        self._served: Final[list[str]] = []
        self.best = ""  # stays when the last display goes: its driver may be starting again

    def add(self, handle: DisplayHandle) -> bool:
        """Take a driver's handle; True if another display has taken over."""
        self.handles.append(handle)
        return self._choose()

    def remove(self, handle: DisplayHandle) -> bool:
        """Forget a driver's handle; True if another display has taken over."""
        self.handles.remove(handle)
        return self._choose()

    def serve(self, name: str) -> bool:
        """Hear that a display is served; True if it has taken over."""
        if name not in self._served:
            self._served.append(name)
        return self._choose()

    def end(self, name: str) -> bool:
        """Hear that a display is served no more; True if another has taken over."""
        if name in self._served:
            self._served.remove(name)
        return self._choose()

    def names(self) -> list[tuple[str, str]]:
        """Return all displays and how they are known: handle, handle_early or served."""
        known = dict.fromkeys(self._served, "served")
        for handle in self.handles:
            known[handle.name] = "handle_early" if handle.early else "handle"
        return sorted(known.items())

    def _choose(self) -> bool:
        ranked = [(0 if name.startswith(_EARLY) else 2, name) for name in self._served]
        ranked += [(1 if handle.early else 3, handle.name) for handle in self.handles]
        if not ranked:
            return False
        highest = max(rank for rank, _ in ranked)
        before, self.best = self.best, [name for rank, name in ranked if rank == highest][-1]
        return before not in ("", self.best)
