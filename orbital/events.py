"""What waits for the owner of a window to read it."""

from __future__ import annotations

import struct
from collections import deque
from typing import Final

from redbear_host.abi.orbital import EventCode

RECORD: Final = 24  # bytes of an OrbitalEvent
MOST: Final = 1024  # records kept for a client that does not read

_PACK: Final = struct.Struct("<qqq").pack
_TAIL: Final = frozenset({EventCode.MOUSE, EventCode.MOUSE_RELATIVE, EventCode.SCROLL})
"""Join only the newest record: what was pressed between two movements was pressed there."""
_SUMS: Final = frozenset({EventCode.MOUSE_RELATIVE, EventCode.SCROLL})
_STATES: Final = frozenset({EventCode.MOVE, EventCode.RESIZE, EventCode.SCREEN, EventCode.SCALE})
"""Replace the last record of their code wherever it is: only the newest state matters."""


class EventQueue:
    """Events in the order in which they came, joined where only the last or the sum matters.

    At most `MOST`: a client that never reads loses the oldest, and costs no more than that.
    """

    __slots__ = ("_records", "_states", "lost")

    def __init__(self) -> None:
        self.lost = 0  # records that were dropped
        self._records: deque[list[int]] = deque()  # code, a, b
        self._states: dict[int, list[int]] = {}  # the last record of each of `_STATES`

    def __len__(self) -> int:
        return len(self._records)

    def put(self, code: int, a: int, b: int) -> None:
        """Add an event, or join it to one that waits."""
        records = self._records
        if code in _TAIL:
            if records and records[-1][0] == code:
                last = records[-1]
                last[1], last[2] = (last[1] + a, last[2] + b) if code in _SUMS else (a, b)
                return
        elif code in _STATES:
            state = self._states.get(code)
            if state is not None:
                state[1], state[2] = a, b
                return
        record = [code, a, b]
        if code in _STATES:
            self._states[code] = record
        if len(records) >= MOST:
            self._drop(records.popleft())
            self.lost += 1
        records.append(record)

    def take(self, most: int) -> bytes:
        """Return up to `most` events as records of `RECORD` bytes, and forget them."""
        found: list[bytes] = []
        while self._records and len(found) < most:
            record = self._records.popleft()
            self._drop(record)
            found.append(_PACK(*record))
        return b"".join(found)

    def _drop(self, record: list[int]) -> None:
        if self._states.get(record[0]) is record:
            del self._states[record[0]]
