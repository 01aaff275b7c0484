"""The general call, the file calls that travel inside it, and the passing of descriptors.

(redox_syscall, src/flag.rs and src/data.rs.)
"""

from __future__ import annotations

from enum import IntFlag
from typing import Final

from redbear_host.bits import SpecEnum, Struct, at

MAX_METADATA: Final = 3  # words a call carries beside its payload
METADATA_MASK: Final = 0xFF  # the bits of a call's flags that count them


class CallFlags(IntFlag):
    """How the payload of a call is to be treated; the low byte counts metadata words."""

    CONSUME = 1 << 8
    WRITE = 1 << 9
    READ = 1 << 10
    FD = 1 << 11  # the payload is descriptors
    FD_EXCLUSIVE = 1 << 12
    FD_CLONE = 1 << 13
    FD_UPPER = 1 << 14
    FD_CLOEXEC = 1 << 15
    STD_FS = 1 << 16  # the metadata is a StdFsCallMeta
    MULTIPLE_FDS = 1 << 17


class StdFsCallKind(SpecEnum):
    """File calls that reach a scheme as STD_FS_CALL since 2026."""

    FCHMOD = 1
    FCHOWN = 2
    GETDENTS = 3
    FSTAT = 4
    FSTATVFS = 5
    FSYNC = 6
    FTRUNCATE = 7
    FUTIMENS = 8
    RELPATHAT = 11
    LOCK = 12
    UNLOCK = 13
    GET_LOCK = 14


class StdFsCallMeta(Struct, size=24):
    """The three metadata words of a STD_FS_CALL."""

    kind: int = at(0, "B")
    arg1: int = at(8, "Q")
    arg2: int = at(16, "Q")


class SendFdFlags(IntFlag):
    """What happens to descriptors a caller sends."""

    EXCLUSIVE = 1
    CLONE = 2


class RecvFdFlags(IntFlag):
    """Where descriptors that a caller asks for shall land."""

    MANUAL_FD = 1
    UPPER_TBL = 2
    CLOEXEC = 4


class SocketCall(SpecEnum):
    """First metadata word of a scheme's call on its own socket."""

    OBTAIN_FD = 0  # fetch the descriptors that came with a tag
    MOVE_FD = 1  # attach descriptors to the answer of a tag
