"""What the disk scheme itself costs per request, over a disk that is done at once.

Run `python benchmarks/disk_scheme.py`; prints nanoseconds per request, the best of several rounds,
with 32 requests per batch.  Doors and drivers come on top.
"""

from __future__ import annotations

import time
from typing import Any, Final

from redbear_host.abi import flags as f
from redbear_host.classes.block import DiskScheme
from redbear_host.classes.disk import Chunk, Done
from redbear_host.models.ramdisk import RamChunk
from redbear_host.scheme.request import Caller, Request
from redbear_host.scheme.scheme import ROOT, Opened

DEPTH: Final = 32
BATCHES: Final = 300
ROUNDS: Final = 10
OFFSETS: Final = [n * 4096 * 7 for n in range(DEPTH)]


class InstantDisk:
    """Moves no bytes and ends every command when it is rung for."""

    number = 0
    block_size = 512
    block_count = 1 << 21
    writable = True
    max_transfer = 1 << 20

    def __init__(self) -> None:
        self.due: list[Done] = []

    def chunk(self, size: int) -> RamChunk:
        """Make memory."""
        return RamChunk(size)

    def read(self, lba: int, blocks: int, chunk: Chunk, done: Done, /) -> None:
        """Queue a read."""
        self.due.append(done)

    def write(self, lba: int, blocks: int, chunk: Chunk, done: Done, /) -> None:
        """Queue a write."""
        self.due.append(done)

    def flush(self, done: Done, /) -> None:
        """Queue a flush."""
        self.due.append(done)

    def write_zeroes(self, lba: int, blocks: int, deallocate: bool, done: Done, /) -> None:
        """Queue zeroing."""
        self.due.append(done)

    def discard(self, lba: int, blocks: int, done: Done, /) -> None:
        """Queue a discard."""
        self.due.append(done)

    def flush_queue(self) -> None:
        """End what was queued."""
        due, self.due = self.due, []
        for done in due:
            done(0)


class Unheard(Request):
    """A request whose answer costs nothing."""

    __slots__ = ()

    def answer(self, result: Any, /) -> None:
        """Drop the answer."""

    def refuse(self, errno: int, /) -> None:
        """Fail: this disk has no errors."""
        raise AssertionError(errno)


def nanoseconds(scheme: DiskScheme, handle: int, write: bool, size: int, skew: int) -> float:
    """Time one shape of request."""
    data, request, best = memoryview(bytes(size)), Unheard(), float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(BATCHES):
            if write:
                for offset in OFFSETS:
                    scheme.write(handle, data, offset + skew, 0, request)
            else:
                for offset in OFFSETS:
                    scheme.read(handle, size, offset + skew, 0, request)
            scheme.end_batch()
        best = min(best, time.perf_counter() - start)
    return best / BATCHES / DEPTH * 1e9


def main() -> None:
    """Time the shapes that matter."""
    scheme = DiskScheme("disk.bench", [InstantDisk()])
    request = Unheard()
    request.caller = Caller(0, 0, 0)
    opened = scheme.openat(ROOT, "0", f.O_RDWR, 0, request)
    assert isinstance(opened, Opened)
    for name, write, size, skew in (
        ("read 4 KiB", False, 4096, 0),
        ("write 4 KiB", True, 4096, 0),
        ("read 128 KiB", False, 128 << 10, 0),
        ("write 128 KiB", True, 128 << 10, 0),
        ("read 4 KiB at 100", False, 4096, 100),
        ("write 100 bytes at 100", True, 100, 100),
        ("write 4 KiB at 100", True, 4096, 100),
    ):
        print(f"{name:24} {nanoseconds(scheme, opened.handle, write, size, skew):8.0f} ns")


if __name__ == "__main__":
    main()
