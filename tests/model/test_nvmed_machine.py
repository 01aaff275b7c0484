"""nvmed under random use of a random controller with random faults.

What must hold, whatever happens: every command ends exactly once, data is what was written, the
device reaches no memory but that of commands that have not ended, and every wait ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from nvmed_bench import Bench

from daemons.nvmed.namespace import Namespace
from daemons.nvmed.prp import DmaChunk
from daemons.nvmed.state import State
from redbear_host.abi import errno as e
from redbear_host.errors import Gone
from redbear_host.models.nvme import Fault, Media, Misdeed

BLOCKS = 48
LONGEST = 20

lbas = st.integers(0, BLOCKS - 1)
counts = st.integers(1, LONGEST)

# Commands in flight have identifiers far below these; a wrong one that hits another command's
# cannot be told from the truth by anybody.
NOBODY = st.sampled_from([0x7000, 0xFFFF])


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of warnings are to be expected here."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@dataclass
class Use:
    """A command that has not ended."""

    kind: str
    disk: int
    lba: int
    blocks: int
    chunk: DmaChunk | None = None
    value: bytes = b""  # of one block

    def touches(self, other: Use) -> bool:
        return (
            self.disk == other.disk
            and self.lba < other.lba + other.blocks
            and other.lba < self.lba + self.blocks
        )


class Machine(RuleBasedStateMachine):
    @initialize(
        entries=st.sampled_from([2, 4, 16]),
        queues=st.integers(1, 3),
        vectors=st.integers(1, 3),
        polled=st.booleans(),
        aborts=st.booleans(),
        cache=st.booleans(),
        mpsmin=st.integers(0, 1),
    )
    def begin(
        self,
        entries: int,
        queues: int,
        vectors: int,
        polled: bool,
        aborts: bool,
        cache: bool,
        mpsmin: int,
    ) -> None:
        self.media = {1: Media(blocks=BLOCKS), 2: Media(blocks=BLOCKS, shift=12)}
        self.bench = Bench(
            self.media,
            vectors=vectors,
            entries=entries,
            aborts=aborts,
            volatile_cache=cache,
            mpsmin=mpsmin,
            automatic=False,
            driver={"queues": queues, "polled": polled},
        )
        self.polled = polled
        self.bench.start()
        self.uses: dict[int, Use] = {}
        self.next = 0
        # What a block may hold: more than one value after a write that ended with an error.
        self.may: dict[tuple[int, int], set[bytes]] = {}
        self.healthy = True  # no fault so far: then no command may fail

    # -- what a client does

    def disk(self, index: int) -> Namespace:
        return self.bench.controller.namespaces[index]

    def possible(self, disk: int, lba: int) -> set[bytes]:
        return self.may.setdefault((disk, lba), {bytes(self.disk(disk).block_size)})

    def admit(self, kind: str, disk: int, lba: int, blocks: int) -> Use | None:
        """A new use, unless it would meet another in flight; clients hold block locks."""
        use = Use(kind, disk, lba, min(blocks, BLOCKS - lba))
        if any(use.touches(other) for other in self.uses.values()):
            return None
        return use

    def register(self, use: Use) -> Any:
        tag, self.next = self.next, self.next + 1
        self.uses[tag] = use

        def done(errno: int) -> None:
            assert tag in self.uses, f"command {tag} ended twice"
            self.ended(self.uses.pop(tag), errno)

        return done

    def ended(self, use: Use, errno: int) -> None:
        assert errno in (0, e.EIO, e.ENODEV, e.ENOSPC), errno
        assert not (errno and self.healthy), f"{use} ended with {errno} on a healthy controller"
        if use.chunk is not None and use.kind == "read" and errno == 0:
            size = self.disk(use.disk).block_size
            for index in range(use.blocks):
                seen = bytes(use.chunk.view[index * size : (index + 1) * size])
                possible = self.possible(use.disk, use.lba + index)
                assert seen in possible, f"block {use.lba + index} holds {seen[:4]!r}…"
                self.may[use.disk, use.lba + index] = {seen}
        if use.kind in ("write", "zero", "discard"):
            for lba in range(use.lba, use.lba + use.blocks):
                old = self.possible(use.disk, lba) if errno else set()
                self.may[use.disk, lba] = old | {use.value}
        if use.chunk is not None:
            use.chunk.free()

    def chunk(self, disk: Namespace, blocks: int) -> DmaChunk | None:
        try:
            return disk.chunk(blocks * disk.block_size)
        except MemoryError:
            return None

    @rule(index=st.integers(0, 1), lba=lbas, blocks=counts, fill=st.integers(1, 255))
    def write(self, index: int, lba: int, blocks: int, fill: int) -> None:
        use = self.admit("write", index, lba, blocks)
        disk = self.disk(index)
        if use is None or (chunk := self.chunk(disk, use.blocks)) is None:
            return
        use.chunk, use.value = chunk, bytes([fill]) * disk.block_size
        chunk.view[:] = use.value * use.blocks
        disk.write(use.lba, use.blocks, chunk, self.register(use))

    @rule(index=st.integers(0, 1), lba=lbas, blocks=counts)
    def read(self, index: int, lba: int, blocks: int) -> None:
        use = self.admit("read", index, lba, blocks)
        disk = self.disk(index)
        if use is None or (chunk := self.chunk(disk, use.blocks)) is None:
            return
        use.chunk = chunk
        disk.read(use.lba, use.blocks, chunk, self.register(use))

    @rule(index=st.integers(0, 1), where=st.sets(lbas, max_size=12))
    def read_many(self, index: int, where: set[int]) -> None:
        disk = self.disk(index)
        admitted = [use for lba in sorted(where) if (use := self.admit("read", index, lba, 1))]
        ready = []
        for use in admitted:
            use.chunk = self.chunk(disk, 1)
            if use.chunk is not None:
                ready.append((use, use.chunk))
        dones = [self.register(use) for use, _ in ready]
        disk.read_many([use.lba for use, _ in ready], 1, [chunk for _, chunk in ready], dones)

    @rule(
        index=st.integers(0, 1),
        kind=st.sampled_from(["zero", "discard"]),
        lba=lbas,
        blocks=counts,
    )
    def wipe(self, index: int, kind: str, lba: int, blocks: int) -> None:
        use = self.admit(kind, index, lba, blocks)
        if use is None:
            return
        disk = self.disk(index)
        use.value = bytes(disk.block_size)
        if kind == "zero":
            disk.write_zeroes(use.lba, use.blocks, True, self.register(use))
        else:
            disk.discard(use.lba, use.blocks, self.register(use))

    @rule(index=st.integers(0, 1))
    def flush(self, index: int) -> None:
        self.disk(index).flush(self.register(Use("flush", index, 0, 0)))

    @rule()
    def flush_queue(self) -> None:
        self.disk(0).flush_queue()

    @rule()
    def ask(self) -> None:
        done = self.register(Use("smart", 0, 0, 0))
        self.bench.controller.inquiry.smart(lambda errno, log: done(errno))

    # -- what the controller and time do

    @rule()
    def fetch(self) -> None:
        self.bench.model.fetch()

    @rule(data=st.data())
    @precondition(lambda self: self.bench.model.running)
    def complete(self, data: st.DataObject) -> None:
        self.bench.model.complete(data.draw(st.integers(0, len(self.bench.model.running) - 1)))

    @rule()
    def run(self) -> None:
        self.bench.model.run()

    @rule()
    def deliver(self) -> None:
        if self.polled:
            self.bench.controller.poll()
        self.bench.deliver()

    @rule(seconds=st.sampled_from([0.01, 0.3, 0.7]))
    def wait(self, seconds: float) -> None:
        if seconds > 0.1 and self.uses:
            self.healthy = False  # the model sits on them, and they may run out of time
        self.bench.wait(seconds)

    @rule()
    def spurious(self) -> None:
        for cq in self.bench.model.cqs.values():
            self.bench.model.interrupt(cq)

    @rule()
    def event(self) -> None:
        self.bench.model.warn(0x02_01_01)

    # -- what goes wrong

    @rule(
        misdeed=st.sampled_from(
            [
                Misdeed.HOLD,
                Misdeed.LOSE_INTERRUPT,
                Misdeed.DUPLICATE,
                Misdeed.STALE_PHASE,
                Misdeed.SKIP_SLOT,
                Misdeed.WRONG_SQHD,
                Misdeed.WRONG_SQID,
                Misdeed.FATAL,
                Misdeed.RESET,
            ]
        ),
        times=st.integers(1, 3),
    )
    def misbehave(self, misdeed: Misdeed, times: int) -> None:
        self.healthy = False
        self.bench.model.faults.append(Fault(misdeed, 0xFFFF, times=times))

    @rule(cid=NOBODY)
    def wrong_cid(self, cid: int) -> None:
        self.healthy = False
        self.bench.model.faults.append(Fault(Misdeed.WRONG_CID, cid))

    @rule(status=st.sampled_from([0x281, 0x006, 0x081]), times=st.integers(1, 3))
    def fail(self, status: int, times: int) -> None:
        self.healthy = False
        self.bench.model.faults.append(Fault(Misdeed.STATUS, status, times=times))

    @rule(misdeed=st.sampled_from([Misdeed.HOLD, Misdeed.STATUS, Misdeed.DUPLICATE]))
    def admin_misbehaves(self, misdeed: Misdeed) -> None:
        self.healthy = False
        self.bench.model.faults.append(Fault(misdeed, 0x006, admin=True))

    @rule(seconds=st.sampled_from([0.0, 0.2, 0.8]))
    def dawdle(self, seconds: float) -> None:
        self.bench.model.registers.ready_after = seconds

    @rule()
    def die(self) -> None:
        self.healthy = False
        self.bench.model.registers.fatal = True

    @rule()
    def release(self) -> None:
        self.bench.model.release()

    @rule()
    @precondition(lambda self: self.bench.controller.state is State.RUNNING)
    def reset(self) -> None:
        self.bench.model.faults[:] = [it for it in self.bench.model.faults if not it.admin]
        self.healthy = False
        if self.bench.slot.gone:
            with pytest.raises(Gone):
                self.bench.controller.reset()
        else:
            self.bench.controller.reset()

    # -- what must hold

    @invariant()
    def the_driver_keeps_to_the_specification(self) -> None:
        if hasattr(self, "bench"):
            assert not self.bench.model.violations, self.bench.model.violations

    @invariant()
    def a_dead_controller_reaches_no_memory(self) -> None:
        if hasattr(self, "bench") and self.bench.controller.state is State.FAILED:
            assert not self.bench.slot.config.bus_master

    def settle(self) -> None:
        bench = self.bench
        bench.model.faults.clear()
        bench.model.registers.ready_after = 0.0
        bench.model.automatic = True
        self.disk(0).flush_queue()
        for _ in range(20):
            bench.model.release()
            bench.model.run()
            while self.polled and bench.controller.poll():
                pass
            bench.wait(0.5)

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.settle()
        assert self.uses == {}, "some commands never ended"
        bench = self.bench
        if bench.controller.state is State.RUNNING:
            for index in (0, 1):
                for lba in range(0, BLOCKS, 16):
                    self.read(index, lba, 16)
                    self.disk(index).flush_queue()
                    bench.controller.poll()
                    bench.deliver()
            assert self.uses == {}
        bench.controller.stop()
        bench.deliver()
        assert bench.slot.dma.allocated == 0
        assert not bench.model.violations, bench.model.violations


Machine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestNvmed = Machine.TestCase


class DoomedMachine(Machine):
    """The same, and the device may be pulled out at any moment."""

    @rule()
    @precondition(lambda self: not self.bench.slot.gone)
    def pull(self) -> None:
        self.healthy = False
        self.bench.slot.pull()

    @rule()
    @precondition(lambda self: self.bench.slot.gone)
    def hear(self) -> None:
        self.bench.controller.gone()


DoomedMachine.TestCase.settings = settings(Machine.TestCase.settings, max_examples=50)
TestDoomedNvmed = DoomedMachine.TestCase
