"""Records of `network.*` in which many frames travel at once.

A **batch** is the payload of the calls SEND and RECEIVE on a data handle, all numbers little-endian
(metadata words: verb, count):

```
SEND, n        0     n u32     lengths of the frames
               4n    frames    one right after the other          → how many were taken
RECEIVE, n     0     n u32     lengths of the frames that came, the rest as they were
               4n    frames    one right after the other          → how many came
PROMISCUOUS, b             frames to others come as well (1) or not (0), while the handle is open
```

A **record** is what `monitor` reads: a header of 24 bytes, the frame, zeroes up to a multiple of 8.

```
0    u64    time     nanoseconds since 1970, of the moment the daemon had the frame
8    u32    length   bytes of the frame
12   u32    flags    SENT: it went out; else it came in
16   u32    lost     frames that this reader has lost before this one
20   u32    0
```
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

Bytes: TypeAlias = bytes | bytearray | memoryview

FRAME_LEAST: Final = 14  # bytes: two addresses and a type
BATCH_MOST: Final = 256  # frames
LENGTH: Final = 4  # bytes of an entry in a batch's table

SEND: Final = 1
RECEIVE: Final = 2
PROMISCUOUS: Final = 3

SENT: Final = 1

HEADER: Final = Struct("<QIIII")
_ALIGNED: Final = 8
_SHORT: Final = 512  # bytes of a frame up to which two copies of all together are cheaper than many


class Record(NamedTuple):
    """One frame as `monitor` saw it."""

    time: int  # nanoseconds since 1970
    flags: int
    lost: int
    frame: memoryview


@lru_cache(BATCH_MOST)
def table(count: int) -> Struct:
    """Return the lengths of `count` frames as a structure."""
    return Struct(f"<{count}I")


def lay(frames: Sequence[bytes | memoryview], room: memoryview) -> None:
    """Copy frames to the start of `room`, one right after the other."""
    if sum(map(len, frames)) < _SHORT * len(frames):
        together = b"".join(frames)
        room[: len(together)] = together
        return
    at = 0
    for frame in frames:
        end = at + len(frame)
        room[at:end] = frame
        at = end


def pack_record(time: int, flags: int, lost: int, frame: bytes) -> bytes:
    """Return a record whole."""
    length = len(frame)
    return HEADER.pack(time, length, flags, lost, 0) + frame + bytes(-length % _ALIGNED)


def records(data: Bytes) -> Iterator[Record]:
    """Take apart what `monitor` was read; ValueError when it ends in the middle of a record."""
    view = memoryview(data)
    at = 0
    while at < len(view):
        if len(view) - at < HEADER.size:
            raise ValueError(f"{len(view) - at} bytes are no record")
        time, length, flags, lost, _ = HEADER.unpack_from(view, at)
        at += HEADER.size
        if len(view) - at < length:
            raise ValueError(f"a frame of {length} bytes, of which {len(view) - at} are there")
        yield Record(time, flags, lost, view[at : at + length])
        at += length + -length % _ALIGNED
