"""Scheme protocol version 2, towards the scheme: what is asked (redox_syscall, src/schemev2.rs).

A submission queue entry says which call was made on which handle; bytes longer than a number travel
beside it, and the entry names them as pointer and length.  The answer is `redbear_host.abi.cqe`.
"""

from __future__ import annotations

from enum import IntFlag

from redbear_host.bits import SpecEnum, Struct, at


class Opcode(SpecEnum):
    """Which call; arguments as they lie in `Sqe.args`, handle first unless said otherwise."""

    OPEN = 0  # path, length, flags (until 2025)
    RMDIR = 1  # path, length (until 2025)
    UNLINK = 2  # path, length (until 2025)
    CLOSE = 3  # answered close; newer sockets get CLOSE_MSG
    DUP = 4  # buffer, length
    READ = 5  # buffer, length, offset, fcntl flags
    WRITE = 6  # buffer, length, offset, fcntl flags
    FSIZE = 7
    FCHMOD = 8  # mode
    FCHOWN = 9  # uid, gid
    FCNTL = 10  # command, argument
    FEVENT = 11  # mask of events
    SENDFD = 12  # SendFdFlags, first metadata word, number of descriptors
    FPATH = 13  # buffer, length
    FRENAME = 14  # path, length
    FSTAT = 15  # buffer, length of at least 104
    FSTATVFS = 16  # buffer, length of at least 32
    FSYNC = 17
    FTRUNCATE = 18  # length
    FUTIMENS = 19  # buffer, length of 0, 16 or 32: access time, modification time
    MMAP_PREP = 20  # length, map flags, offset
    REQUEST_MMAP = 21  # map flags, number of pages
    MREMAP = 22
    MUNMAP = 23  # length, munmap flags, offset
    MSYNC = 24
    CANCEL = 25  # `tag` names the call to cancel; nothing is answered
    GETDENTS = 26  # buffer, length, header size, opaque offset
    CLOSE_MSG = 27  # the last user of the handle is gone; tag and caller are 0, nothing is answered
    CALL = 28  # payload, length, three metadata words
    OPEN_AT = 29  # path, length, flags, fcntl flags; the handle is a directory
    FLINK = 30  # path, length
    RECVFD = 31  # RecvFdFlags, number of descriptors, two metadata words
    UNLINK_AT = 32  # path, length, flags; the handle is a directory
    STD_FS_CALL = 33  # payload, length, StdFsCallKind, two arguments
    DETACH = 34  # a holder is gone; tag is 0, nothing is answered


class SqeFlags(IntFlag):
    """How a call is to be treated."""

    ONEWAY = 1  # nobody waits for an answer
    MULTIPLE_IDS = 2  # two handles: the second is the last argument


class Sqe(Struct, size=64):
    """Submission queue entry."""

    opcode: int = at(0, "B")
    sqe_flags: int = at(1, "B")
    tag: int = at(4, "I")
    arg0: int = at(8, "Q")
    arg1: int = at(16, "Q")
    arg2: int = at(24, "Q")
    arg3: int = at(32, "Q")
    arg4: int = at(40, "Q")
    arg5: int = at(48, "Q")
    caller: int = at(56, "Q")

    @property
    def args(self) -> tuple[int, int, int, int, int, int]:
        """The six arguments in order."""
        return self.arg0, self.arg1, self.arg2, self.arg3, self.arg4, self.arg5

    @property
    def uid(self) -> int:
        """The caller's user; means nothing for CALL and STD_FS_CALL, whose arguments fill up."""
        return self.arg5 & 0xFFFF_FFFF

    @property
    def gid(self) -> int:
        """The caller's group; means nothing for CALL and STD_FS_CALL."""
        return self.arg5 >> 32
