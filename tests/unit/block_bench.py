"""A disk behind its scheme, and requests that keep their answers."""

from __future__ import annotations

from typing import Any

from redbear_host.abi import flags as f
from redbear_host.classes.block import DiskScheme
from redbear_host.classes.disk import Disk
from redbear_host.classes.diskio import DiskIo
from redbear_host.models.ramdisk import RamDisk
from redbear_host.scheme.request import LATER, Caller, Request
from redbear_host.scheme.scheme import ROOT

BLOCK = 512
KEEP, PUNCH, ZERO = 1, 2, 16  # modes of fallocate, linux/falloc.h


class Call(Request):
    """A request that keeps its answer; a second one fails the test."""

    def __init__(self, uid: int = 0) -> None:
        super().__init__()
        self.caller = Caller(1, uid, uid)
        self.results: list[Any] = []
        self.errors: list[int] = []

    def answer(self, result: Any, /) -> None:
        assert self.open
        self.results.append(bytes(result) if isinstance(result, memoryview) else result)

    def refuse(self, errno: int, /) -> None:
        assert self.open
        self.errors.append(errno)

    @property
    def open(self) -> bool:
        return not self.results and not self.errors

    @property
    def result(self) -> Any:
        assert self.errors == []
        assert len(self.results) == 1
        return self.results[0]

    @property
    def error(self) -> int:
        assert self.results == []
        assert len(self.errors) == 1
        return self.errors[0]

    def give_up(self) -> None:
        self.cancelled = True
        assert self.on_cancel is not None
        self.on_cancel(self)


class Bench:
    """One disk behind its scheme, with an open handle on the whole of it."""

    def __init__(self, disk: RamDisk, path: str = "0", **pools: int) -> None:
        self.disk = disk
        self.ios: list[DiskIo] = []

        def make_io(disk: Disk) -> DiskIo:
            self.ios.append(DiskIo(disk, **{"small_bytes": 4 * BLOCK, "ahead_most": 0, **pools}))
            return self.ios[-1]

        self.scheme = DiskScheme("disk.test", [disk], make_io=make_io)
        self.scheme.load_partitions(lambda: None)
        self.settle()
        opened = self.scheme.openat(ROOT, path, f.O_RDWR, 0, Call())
        assert opened is not LATER
        self.handle = opened.handle

    def read(self, offset: int, size: int) -> Call:
        call = Call()
        found = self.scheme.read(self.handle, size, offset, 0, call)
        if found is not LATER:
            call.answer(found)
        return call

    def write(self, offset: int, data: bytes, flags: int = 0) -> Call:
        call = Call()
        found = self.scheme.write(self.handle, memoryview(data), offset, flags, call)
        if found is not LATER:
            call.answer(found)
        return call

    def zero(self, mode: int, offset: int, size: int) -> Call:
        call = Call()
        if self.scheme.fallocate(self.handle, mode, offset, size, call) is None:
            call.answer(None)
        return call

    def sync(self) -> Call:
        call = Call()
        assert self.scheme.fsync(self.handle, call) is LATER
        return call

    def commands(self) -> list[str]:
        """Ring the bell; return what runs now."""
        self.scheme.end_batch()
        return [f"{one.kind} {one.lba}+{one.blocks}" for one in self.disk.running]

    def end(self, index: int = 0, error: int = 0) -> None:
        self.scheme.end_batch()
        self.disk.running[index].end(error)

    def settle(self) -> None:
        for _ in range(1000):
            self.scheme.end_batch()
            if not self.disk.running:
                return
            self.disk.end_all()
        raise AssertionError("the disk never comes to rest")


def fill(disk: RamDisk) -> bytes:
    disk.data[:] = bytes(at * 7 % 251 for at in range(len(disk.data)))
    return bytes(disk.data)
