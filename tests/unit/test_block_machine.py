"""Random concurrent requests against a disk that ends its commands in any order, and fails some."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from block_history import Call, Change, History, Read, Write
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.classes.block import DiskScheme
from redbear_host.classes.diskio import DiskIo
from redbear_host.errors import Refused
from redbear_host.models.ramdisk import Command, RamDisk
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import ROOT

BLOCK = 8
BLOCKS = 6
SIZE = BLOCK * BLOCKS


class BlockMachine(History, RuleBasedStateMachine):
    zeroes = True

    def __init__(self) -> None:
        super().__init__()
        self.begin(SIZE)
        self.disk = RamDisk(BLOCKS, BLOCK, max_transfer=4 * BLOCK, zeroes=self.zeroes)
        pools = partial(
            DiskIo,
            small_bytes=2 * BLOCK,
            small_most=3,
            large_most=2,
            ahead_most=0,
        )
        self.ios: list[DiskIo] = []

        def make_io(disk: Any) -> DiskIo:
            self.ios.append(pools(disk))
            return self.ios[-1]

        self.scheme = DiskScheme("disk.test", [self.disk], make_io=make_io, exclusive=False)
        self.handle = self.open()

    def open(self) -> int:
        opened = self.scheme.openat(ROOT, "0", f.O_RDWR, 0, Call(self, 0, 0))
        assert opened is not LATER
        return opened.handle

    places = st.integers(0, SIZE + 4)
    sizes = st.one_of(st.integers(1, 50), st.sampled_from([BLOCK, 2 * BLOCK, 4 * BLOCK]))
    aligned = st.integers(0, BLOCKS - 1).map(lambda block: block * BLOCK)
    offsets = st.one_of(places, aligned, aligned)

    @rule(offset=offsets, size=sizes)
    def read(self, offset: int, size: int) -> None:
        call = Read(self, size, offset)
        self.waiting.append(call)
        found = self.scheme.read(self.handle, size, offset, 0, call)
        if found is not LATER:
            assert offset >= SIZE
            call.answer(found)

    @rule(offset=offsets, size=sizes, sync=st.sampled_from([0, 0, 0, f.O_FSYNC]))
    def write(self, offset: int, size: int, sync: int) -> None:
        self.value = self.value % 255 + 1
        call = Write(self, size, offset, self.value)
        self.waiting.append(call)
        data = memoryview(bytes([self.value]) * size)
        if offset < SIZE:
            assert self.scheme.write(self.handle, data, offset, sync, call) is LATER
        else:
            with pytest.raises(Refused):
                self.scheme.write(self.handle, data, offset, sync, call)
            call.refuse(e.EIO)

    @rule(offset=offsets, size=sizes, mode=st.sampled_from([0x03, 0x11]))
    def zero(self, offset: int, size: int, mode: int) -> None:
        call = Change(self, size, offset, 0)
        self.waiting.append(call)
        if self.scheme.fallocate(self.handle, mode, offset, size, call) is None:
            assert offset >= SIZE
            call.answer(None)

    @rule()
    def flush(self) -> None:
        call = Call(self, 0, 0)
        self.waiting.append(call)
        assert self.scheme.fsync(self.handle, call) is LATER

    @rule()
    def ring(self) -> None:
        self.scheme.end_batch()

    @precondition(lambda self: self.disk.running)
    @rule(data=st.data())
    def execute(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.disk.running)).execute()

    @precondition(lambda self: self.disk.running)
    @rule(data=st.data(), error=st.sampled_from([0, 0, 0, 0, e.EIO]))
    def end(self, data: st.DataObject, error: int) -> None:
        self._end(data.draw(st.sampled_from(self.disk.running)), error)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.waiting))
        call.cancelled = True
        on_cancel, call.on_cancel = call.on_cancel, None
        if on_cancel is not None:
            on_cancel(call)

    def _end(self, command: Command, error: int = 0) -> None:
        command.end(e.EOPNOTSUPP if command.kind == "unknown" else error)

    @invariant()
    def nothing_waits_for_memory_that_is_free(self) -> None:
        for pool in (self.ios[0].small, self.ios[0].large):
            assert not (pool.free and pool.waiting)

    @invariant()
    def commands_that_could_lose_bytes_never_run_together(self) -> None:
        edited = set(self.ios[0].edits)
        for command in (*self.disk.running, *self.disk.queued):
            if command.kind in ("write", "zero") and command.blocks > 1:
                assert not edited & set(range(command.lba, command.lba + command.blocks))

    def teardown(self) -> None:
        for _ in range(10_000):
            self.scheme.end_batch()
            if not self.disk.running:
                break
            self._end(self.disk.running[-1])
        assert self.waiting == []
        io = self.ios[0]
        assert (io.edits, list(io.stalled), io.zeroing) == ({}, [], [])
        for pool in (io.small, io.large):
            assert not pool.waiting
            assert len(pool.free) == len(pool.transfers) <= pool.most
        end = self.tick()
        for at, value in enumerate(self.disk.data):
            assert value in self.possible(at, end)


class BlockMachineWithoutZeroes(BlockMachine):
    zeroes = False


BlockMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=60, deadline=None)
BlockMachineWithoutZeroes.TestCase.settings = settings(
    max_examples=25, stateful_step_count=50, deadline=None
)

TestBlockMachine = BlockMachine.TestCase
TestBlockMachineWithoutZeroes = BlockMachineWithoutZeroes.TestCase
