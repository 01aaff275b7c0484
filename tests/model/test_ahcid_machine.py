"""ahcid under random use of a random adapter with random faults.

What must hold, whatever happens: every command ends exactly once, data is what was written, the
adapter reaches no memory but that of commands that have not ended, queued commands never mix with
others, and every wait ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from ahcid_bench import Bench
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemons.ahcid.chunk import DmaChunk
from daemons.ahcid.disk import AtaDisk
from daemons.ahcid.driver import State
from daemons.ahcid.state import State as PortState
from redbear_host.abi import errno as e
from redbear_host.classes.commands import AtaCommand, AtaResult, Transfer
from redbear_host.hw.ports import InterruptKind
from redbear_host.models.ahci import Drive, Fault, Misdeed

BLOCKS = 48
LONGEST = 20
READ_VERIFY = 0x40  # a command without data that the model aborts

lbas = st.integers(0, BLOCKS - 1)
counts = st.integers(1, LONGEST)
ports = st.integers(0, 1)


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
        slots=st.sampled_from([1, 3, 32]),
        depth=st.sampled_from([0, 2, 32]),
        ncq=st.booleans(),
        logs=st.booleans(),
        intx=st.booleans(),
        polled=st.booleans(),
        staggered=st.booleans(),
    )
    def begin(
        self,
        slots: int,
        depth: int,
        ncq: bool,
        logs: bool,
        intx: bool,
        polled: bool,
        staggered: bool,
    ) -> None:
        drives = [
            Drive(blocks=BLOCKS, depth=depth, logs=logs, serial="A"),
            None,
            Drive(blocks=BLOCKS, shift=12, serial="B"),
        ]
        self.bench = Bench(
            drives,
            kind=InterruptKind.INTX if intx else InterruptKind.MSIX,
            slots=slots,
            staggered=staggered,
            driver={"ncq": ncq, "polled": polled},
        )
        self.polled = polled
        self.bench.start()
        self.bench.model.automatic = False
        self.uses: dict[int, Use] = {}
        self.next = 0
        # What a block may hold: more than one value after a write that ended with an error.
        self.may: dict[tuple[int, int], set[bytes]] = {}
        self.healthy = True  # no fault so far: then no command may fail
        self.unplugged: dict[int, Drive] = {}

    # -- what a client does

    def disk(self, index: int) -> AtaDisk:
        return self.bench.disk(index)

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
        assert errno in (0, e.EIO, e.ENODEV, e.ENXIO), errno
        # A client's own command is not issued twice, so that a reset ends it.
        spoiled = errno and self.healthy and use.kind != "ask"
        assert not spoiled, f"{use} ended with {errno} on a healthy adapter"
        if use.chunk is not None and use.kind == "read" and errno == 0:
            size = self.disk(use.disk).block_size
            for index in range(use.blocks):
                seen = bytes(use.chunk.view[index * size : (index + 1) * size])
                possible = self.possible(use.disk, use.lba + index)
                assert seen in possible, f"block {use.lba + index} holds {seen[:4]!r}…"
                self.may[use.disk, use.lba + index] = {seen}
        if use.kind in ("write", "discard"):
            for lba in range(use.lba, use.lba + use.blocks):
                if errno == 0:
                    self.may[use.disk, lba] = {use.value}
                else:
                    self.possible(use.disk, lba).add(use.value)
        if use.chunk is not None:
            use.chunk.free()  # from here on the adapter must not touch it

    def chunk(self, use: Use) -> DmaChunk | None:
        try:
            return self.disk(use.disk).chunk(use.blocks * self.disk(use.disk).block_size)
        except MemoryError:
            return None

    @rule(index=ports, lba=lbas, blocks=counts)
    def read(self, index: int, lba: int, blocks: int) -> None:
        use = self.admit("read", index, lba, blocks)
        if use is not None and (chunk := self.chunk(use)) is not None:
            use.chunk = chunk
            self.disk(index).read(use.lba, use.blocks, chunk, self.register(use))

    @rule(index=ports, lba=lbas, blocks=counts, byte=st.integers(1, 255))
    def write(self, index: int, lba: int, blocks: int, byte: int) -> None:
        use = self.admit("write", index, lba, blocks)
        if use is not None and (chunk := self.chunk(use)) is not None:
            use.chunk, use.value = chunk, bytes([byte]) * self.disk(index).block_size
            chunk.view[:] = use.value * use.blocks
            self.disk(index).write(use.lba, use.blocks, chunk, self.register(use))

    @rule(index=ports, many=st.sets(lbas, min_size=1, max_size=40))
    def read_many(self, index: int, many: set[int]) -> None:
        ready: list[tuple[Use, DmaChunk]] = []
        for lba in many:
            use = self.admit("read", index, lba, 1)
            if use is not None and (chunk := self.chunk(use)) is not None:
                use.chunk = chunk
                ready.append((use, chunk))
        if ready:
            dones = [self.register(use) for use, _ in ready]
            self.disk(index).read_many(
                [use.lba for use, _ in ready], 1, [chunk for _, chunk in ready], dones
            )

    @rule(index=ports, lba=lbas, blocks=counts)
    def discard(self, index: int, lba: int, blocks: int) -> None:
        use = self.admit("discard", index, lba, blocks)
        if use is not None:
            use.value = bytes(self.disk(index).block_size)
            self.disk(index).discard(use.lba, use.blocks, self.register(use))

    @rule(index=ports)
    def flush(self, index: int) -> None:
        self.disk(index).flush(self.register(Use("flush", index, 0, 0)))

    @rule(index=ports)
    def ask(self, index: int) -> None:
        disk = self.disk(index)
        done = self.register(Use("ask", index, 0, 0))

        def ended(result: AtaResult) -> None:
            assert result.errno or result.status & 1, "the model knows no such command"
            done(0 if not result.errno else result.errno)

        disk.ata(AtaCommand(READ_VERIFY, Transfer.NON_DATA), None, 0, ended)

    @rule()
    def flush_queue(self) -> None:
        self.bench.controller.flush_queue()

    # -- what the devices and time do

    @rule(index=ports, data=st.data())
    def complete(self, index: int, data: st.DataObject) -> None:
        port = self.bench.model.ports[2 * index]
        waiting = [it for it in port.running if not it.held]
        if waiting:
            port.complete(data.draw(st.sampled_from(waiting)))

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
        self.bench.model.shout()

    # -- what goes wrong

    @rule(
        misdeed=st.sampled_from(
            [Misdeed.HOLD, Misdeed.LOSE_INTERRUPT, Misdeed.FATAL, Misdeed.LINK, Misdeed.SHORT]
        ),
        times=st.integers(1, 3),
        opcode=st.sampled_from([None, 0x60, 0x61, 0xEA, 0xEC, 0x2F]),
    )
    def misbehave(self, misdeed: Misdeed, times: int, opcode: int | None) -> None:
        self.healthy = False
        self.bench.model.faults.append(Fault(misdeed, times=times, opcode=opcode))

    @rule(tag=st.integers(0, 31))
    def stray(self, tag: int) -> None:
        # A tag that hits another command's cannot be told from the truth by anybody.
        self.healthy = False
        for port in self.bench.model.ports:
            active = sum(1 << it.slot for it in port.running)
            if port.read(0x18) & 1 and not active >> tag & 1:
                port.stray(1 << tag)

    @rule(error=st.sampled_from([0x40, 0x84, 0x10]), times=st.integers(1, 3), lba=lbas)
    def fail(self, error: int, times: int, lba: int) -> None:
        self.healthy = False
        self.bench.model.faults.append(Fault(Misdeed.FAIL, error, times=times, lba=lba))

    @rule(seconds=st.sampled_from([0.0, 0.2, 0.8]))
    def dawdle(self, seconds: float) -> None:
        self.bench.model.reset_after = seconds
        for port in self.bench.model.ports:
            port.ready_after = seconds

    @rule(index=ports, stuck=st.booleans())
    def jam(self, index: int, stuck: bool) -> None:
        self.healthy = False
        self.bench.model.ports[2 * index].stuck_running = stuck

    @rule(index=ports)
    def unplug(self, index: int) -> None:
        self.healthy = False
        drive = self.bench.model.ports[2 * index].unplug()
        if drive is not None:
            self.unplugged[2 * index] = drive

    @rule()
    def plug(self) -> None:
        for number, drive in self.unplugged.items():
            self.bench.model.ports[number].replug(drive)
        self.unplugged.clear()

    @rule(index=ports)
    @precondition(lambda self: self.bench.controller.state is State.RUNNING)
    def reset(self, index: int) -> None:
        port = self.bench.port(index)
        if port.state is PortState.RUNNING:
            port.recover("a test asks for it", trusted=True)

    @rule()
    def release(self) -> None:
        self.bench.model.release()

    # -- what must hold

    @invariant()
    def the_driver_keeps_to_the_specification(self) -> None:
        if hasattr(self, "bench"):
            assert not self.bench.model.violations, self.bench.model.violations

    @invariant()
    def a_dead_adapter_reaches_no_memory(self) -> None:
        if hasattr(self, "bench") and self.bench.controller.state is State.FAILED:
            assert not self.bench.slot.config.bus_master

    def settle(self) -> None:
        bench = self.bench
        bench.model.faults.clear()
        self.plug()
        bench.model.reset_after = 0.0
        for port in bench.model.ports:
            port.stuck_running, port.ready_after = False, 0.0
        bench.model.automatic = True
        bench.controller.flush_queue()
        for _ in range(60):
            bench.model.release()
            bench.model.run()
            bench.wait(0.5)

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.settle()
        assert self.uses == {}, "some commands never ended"
        bench = self.bench
        for index in (0, 1):
            if bench.port(index).state is PortState.RUNNING:
                for lba in range(0, BLOCKS, 16):
                    self.read(index, lba, 16)
                    self.disk(index).flush_queue()
                    bench.wait(0.5)
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
TestAhcid = Machine.TestCase


class DoomedMachine(Machine):
    """The same, and the adapter may be pulled out at any moment."""

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
TestDoomedAhcid = DoomedMachine.TestCase
