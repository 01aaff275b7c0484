"""What a successor has to know, in memory that the shim holds.

Two places take turns, so that a death in the middle of writing leaves the entry before it.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from struct import Struct
from typing import Any, Final

_PLACE: Final = 8 << 20  # bytes of each of the two; what was never written takes no memory
_HEAD: Final = Struct("<QII")  # number of the entry, its length, its checksum


class Ledger:
    """The newest entry counts."""

    def __init__(self, fd: int = -1) -> None:
        """Take over a predecessor's, or begin one."""
        if fd < 0:
            fd = os.memfd_create("orbital", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(fd, 2 * _PLACE)
        self.fd: Final = fd
        self._memory: Final = mmap.mmap(fd, 2 * _PLACE)
        self._number, self._entry = self._newest()

    @property
    def entry(self) -> dict[str, Any]:
        """The newest entry; empty where there is none."""
        return self._entry

    def write(self, entry: dict[str, Any]) -> None:
        """Write the next entry; one too long to be kept is not."""
        body = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )
        if len(body) > _PLACE - _HEAD.size:
            return
        self._number += 1
        at = self._number % 2 * _PLACE
        start = at + _HEAD.size
        self._memory[start : start + len(body)] = body
        _HEAD.pack_into(self._memory, at, self._number, len(body), zlib.crc32(body))
        self._entry = entry

    def _newest(self) -> tuple[int, dict[str, Any]]:
        found: tuple[int, dict[str, Any]] = (0, {})
        for at in (0, _PLACE):
            number, length, checksum = _HEAD.unpack_from(self._memory, at)
            if number <= found[0] or length > _PLACE - _HEAD.size:
                continue
            body = self._memory[at + _HEAD.size : at + _HEAD.size + length]
            if zlib.crc32(body) == checksum:
                found = number, json.loads(body.decode("utf-8", "surrogatepass"))
        return found

    def close(self) -> None:
        """Let go of it; the shim has it still."""
        self._memory.close()
        os.close(self.fd)
