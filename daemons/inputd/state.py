"""What a successor has to know: memory that the shim keeps, written as it happens.

```
0x000  u32  the version of this layout
0x004  u32  the active VT, 0 for none
0x008  u32  the keymap's place in KEYMAPS
0x00c  u32  1: the user has let go of all input devices
0x040  64 times u32, for each VT the process that has it, 0 for none
0x200  64 times 256 bits, the keys that its reader has read as pressed, and not as released
0xa00  64 times u32, the buttons that he has read as held
```
"""

from __future__ import annotations

import mmap
import os
from struct import Struct
from typing import Final

VTS: Final = 64  # numbers from 0; 0 is none

_VERSION: Final = 2
_SIZE: Final = 4096
_WORD: Final = Struct("<I")
_ACTIVE, _KEYMAP, _RELEASED, _OWNERS, _KEYS, _BUTTONS = 0x04, 0x08, 0x0C, 0x40, 0x200, 0xA00
_KEYS_SIZE: Final = 32


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

    def seen(self, vt: int) -> tuple[int, int]:
        """Return what a VT's reader believes to be down: keys, a bit for each, and buttons."""
        at = _KEYS + _KEYS_SIZE * vt
        keys = int.from_bytes(self._map[at : at + _KEYS_SIZE], "little")
        return keys, self._get(_BUTTONS + 4 * vt)

    def see(self, vt: int, keys: int, buttons: int) -> None:
        """Note what a VT's reader believes to be down."""
        at = _KEYS + _KEYS_SIZE * vt
        self._map[at : at + _KEYS_SIZE] = keys.to_bytes(_KEYS_SIZE, "little")
        self._put(_BUTTONS + 4 * vt, buttons)
