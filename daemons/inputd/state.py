"""What a successor has to know: memory that the shim keeps, written as it happens.

```
0x00  u32  the version of this layout
0x04  u32  the active VT, 0 for none
0x08  u32  the keymap's place in KEYMAPS
0x0c  u32  1: the user has let go of all input devices
0x20  256 bits, the keys that the active VT has seen pressed
0x40  64 times u32, for each VT the process that has it, 0 for none
```
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from struct import Struct
from typing import Final

VTS: Final = 64  # numbers from 0; 0 is none

_VERSION: Final = 1
_SIZE: Final = 4096
_WORD: Final = Struct("<I")
_ACTIVE, _KEYMAP, _RELEASED, _HELD, _OWNERS = 0x04, 0x08, 0x0C, 0x20, 0x40


def make_memory() -> int:
    """Return a descriptor of new memory."""
    fd = os.memfd_create("inputd", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _SIZE)
    return fd


class State:
    """The memory behind a descriptor; one of another version counts as empty."""

    def __init__(self, fd: int) -> None:
        """Map it; the descriptor may be closed then."""
        self._map: Final = mmap.mmap(fd, _SIZE)
        self.is_new: Final = self._get(0) != _VERSION
        if self.is_new:
            self._map[:] = bytes(_SIZE)
            self._put(0, _VERSION)

    def close(self) -> None:
        """Unmap it."""
        self._map.close()

    def _get(self, offset: int) -> int:
        value: int = _WORD.unpack_from(self._map, offset)[0]
        return value

    def _put(self, offset: int, value: int) -> None:
        _WORD.pack_into(self._map, offset, value)

    @property
    def active(self) -> int:
        """The active VT."""
        return self._get(_ACTIVE)

    @active.setter
    def active(self, vt: int) -> None:
        self._put(_ACTIVE, vt)

    @property
    def keymap(self) -> int:
        """The keymap's place."""
        return self._get(_KEYMAP)

    @keymap.setter
    def keymap(self, place: int) -> None:
        self._put(_KEYMAP, place)

    @property
    def released(self) -> bool:
        """Whether the user has let go of all input devices."""
        return bool(self._get(_RELEASED))

    @released.setter
    def released(self, released: bool) -> None:
        self._put(_RELEASED, int(released))

    @property
    def owners(self) -> dict[int, int]:
        """The processes that have VTs, by these."""
        pids = {vt: self._get(_OWNERS + 4 * vt) for vt in range(1, VTS)}
        return {vt: pid for vt, pid in pids.items() if pid}

    def set_owner(self, vt: int, pid: int) -> None:
        """Note who has a VT; 0 for nobody."""
        self._put(_OWNERS + 4 * vt, pid)

    @property
    def held(self) -> list[int]:
        """The keys that are down."""
        bits = int.from_bytes(self._map[_HELD : _HELD + 32], "little")
        return [key for key in range(256) if bits >> key & 1]

    def hold(self, keys: Iterable[int]) -> None:
        """Note which keys are down."""
        bits = 0
        for key in keys:
            if key < 256:
                bits |= 1 << key
        self._map[_HELD : _HELD + 32] = bits.to_bytes(32, "little")
