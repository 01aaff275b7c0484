"""INIT: the first request of a connection, which the shim answers itself.

It comes once in a connection's life, and daemons come and go; so the shim answers it before the
first daemon gets the connection, with what every daemon can do.
"""

from __future__ import annotations

import errno
import os
import select
from typing import Final

from redbear_host.errors import ProtocolError, TransportError
from schemefs import protocol as p
from schemefs.journal import BIG_BYTES, PAGE

# Most reads and writes are not cached, so the flags are about concurrency and size; pages that are
# kept are dropped when the file's length or time of modification is seen to have changed.
_WANTED: Final = (
    p.ASYNC_READ
    | p.ATOMIC_O_TRUNC
    | p.BIG_WRITES
    | p.AUTO_INVAL_DATA
    | p.DO_READDIRPLUS
    | p.READDIRPLUS_AUTO
    | p.ASYNC_DIO
    | p.PARALLEL_DIROPS
    | p.MAX_PAGES
    | p.INIT_EXT
    | p.DIRECT_IO_ALLOW_MMAP
    | p.PASSTHROUGH
)
_BACKGROUND: Final = 512  # asynchronous requests (libaio, io_uring) the kernel may have in flight
_STACK_DEPTH: Final = 1  # files behind ours may be on any file system that is no stack itself
_BUFFER: Final = BIG_BYTES + PAGE


def answer_init(fd: int, within: float = 5.0) -> int:
    """Read INIT from a fresh connection and agree; return the minor version both sides speak.

    Raises `TransportError` if the kernel says nothing for `within` seconds or is too old.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(within * 1000):
        raise TransportError(f"the kernel sent no FUSE_INIT within {within:g} s")
    request = os.read(fd, _BUFFER)
    _, opcode, unique, *_ = p.IN_HEADER.unpack_from(request)
    if opcode != p.INIT:
        raise ProtocolError(f"the first FUSE request has opcode {opcode}, not INIT")
    major, minor, readahead, flags, flags2 = p.INIT_IN.unpack_from(request, p.IN_HEADER.size)
    if (major, minor) < (p.MAJOR, p.MIN_MINOR):
        raise TransportError(f"this kernel speaks FUSE {major}.{minor}; 7.31 (Linux 5.4) is needed")
    agreed_minor: int = min(minor, p.MINOR)
    agreed = _WANTED & (flags | (flags2 << 32 if flags & p.INIT_EXT else 0))
    reply = p.INIT_OUT.pack(
        p.MAJOR,
        agreed_minor,
        readahead,
        agreed & 0xFFFF_FFFF,
        _BACKGROUND,
        _BACKGROUND * 3 // 4,
        BIG_BYTES,
        1,
        BIG_BYTES // PAGE,
        0,
        agreed >> 32,
        _STACK_DEPTH if agreed & p.PASSTHROUGH else 0,
        0,
    )
    try:
        os.write(fd, p.OUT_HEADER.pack(p.OUT_HEADER.size + len(reply), 0, unique) + reply)
    except OSError as err:
        name = errno.errorcode.get(err.errno or 0, "?")
        raise TransportError(f"the kernel refused our answer to FUSE_INIT: {name}") from err
    return agreed_minor
