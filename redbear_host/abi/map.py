"""What a program hands to fmap (redox_syscall, src/data.rs and src/flag.rs)."""

from __future__ import annotations

from enum import IntFlag

from redbear_host.bits import Struct, at


class Map(Struct, size=32):
    """One mapping; `flags` are PROT_… and MAP_… of `redbear_host.abi.flags`."""

    offset: int = at(0, "Q")
    length: int = at(8, "Q")  # Redox calls it `size`, which is the record's own here
    flags: int = at(16, "Q")
    address: int = at(24, "Q")  # a wish, or an order with MAP_FIXED


class MunmapFlags(IntFlag):
    """What unmapping asks of the scheme."""

    NEEDS_SYNC = 1


class MremapFlags(IntFlag):
    """How a mapping may move."""

    FIXED = 1
    FIXED_REPLACE = 3
    KEEP_OLD = 4
