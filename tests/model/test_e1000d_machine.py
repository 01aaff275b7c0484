"""e1000d under random use of a random card with random faults.

What must hold, whatever happens: frames that come are frames that were on the wire, whole, in
order, none twice; frames that go are those that were committed, in order; after faults end, all of
them come and go; the card reaches no memory but the rings'; nothing is raised.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from e1000d_bench import Bench, frame
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from daemons.e1000d.driver import State, Wishes
from redbear_host.hw.ports import InterruptKind
from redbear_host.models.e1000 import Fault, Misdeed

LONGEST = 5000
KINDS: list[tuple[InterruptKind, dict[str, Any]]] = [
    (InterruptKind.INTX, {}),
    (InterruptKind.INTX, {"express": True}),
    (InterruptKind.MSIX, {"express": True}),
    (InterruptKind.MSIX, {"express": True, "masks": True}),
]
lengths = st.one_of(st.integers(60, 200), st.integers(60, LONGEST), st.sampled_from([2048, 4096]))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of warnings are to be expected here."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


class Machine(RuleBasedStateMachine):
    @initialize(kind=st.sampled_from(KINDS))
    def begin(self, kind: tuple[InterruptKind, dict[str, Any]]) -> None:
        self.bench = Bench(kind[0], Wishes(64, 64, max_frame=LONGEST), **kind[1])
        self.bench.start()
        self.number = 0
        self.arrived: list[bytes] = []
        self.committed: list[bytes] = []
        self.lost = False  # a fault or a kill may have cost frames

    def new(self, length: int) -> bytes:
        self.number += 1
        return frame(length, self.number)

    def judge(self) -> None:
        """Compare what came and went, and start the lists over."""
        for found, wanted in (
            (self.bench.frames, self.arrived),
            (self.bench.model.sent, self.committed),
        ):
            if self.lost:
                rest = iter(wanted)
                assert all(content in rest for content in found), "out of order, or never there"
            else:
                assert found == wanted
            found.clear()
            wanted.clear()
        self.lost = False

    def several(self, count: int, length: int, step: int) -> list[bytes]:
        span = LONGEST - 60 + 1
        return [self.new(60 + (length - 60 + n * step) % span) for n in range(count)]

    @rule(count=st.integers(1, 40), length=lengths, step=st.integers(0, 999))
    def receive(self, count: int, length: int, step: int) -> None:
        for content in self.several(count, length, step):
            if self.bench.model.receive(content):
                self.arrived.append(content)

    @rule(count=st.integers(1, 70), length=lengths, step=st.integers(0, 999))
    def send(self, count: int, length: int, step: int) -> None:
        frames = self.several(count, length, step)
        self.committed += frames[: self.bench.send(*frames)]

    @rule()
    def interrupt(self) -> None:
        self.bench.deliver()

    @rule(reads=st.booleans())
    def read_or_not(self, reads: bool) -> None:
        self.bench.reads = reads
        self.bench.take()

    @rule(seconds=st.sampled_from([0.1, 0.6, 5.0]))
    def wait(self, seconds: float) -> None:
        self.bench.deliver()
        self.bench.pass_time(seconds)

    @rule(up=st.booleans())
    def link(self, up: bool) -> None:
        self.bench.model.set_link(up)
        self.bench.deliver()
        assert self.bench.card.state is not State.RUNNING or bool(self.bench.card.link) is up

    @rule(
        misdeed=st.sampled_from([it for it in Misdeed if it is not Misdeed.VANISH]),
        value=st.one_of(st.integers(0, 0xFF), st.sampled_from([13, 2047, 2049, 0xFFFF])),
        times=st.integers(1, 3),
    )
    def fault(self, misdeed: Misdeed, value: int, times: int) -> None:
        small = misdeed in (Misdeed.ERRORS, Misdeed.STATUS)
        self.bench.model.faults.append(Fault(misdeed, value & 0xFF if small else value, times))

    @precondition(lambda self: self.bench.model.faults)
    @rule()
    def faults_end(self) -> None:
        """Whatever happened, it works again in time, and nothing was made up."""
        bench = self.bench
        bench.model.faults.clear()
        bench.model.set_link(True)
        bench.reads = True
        bench.deliver()
        bench.pass_time(40)  # more than a card is left alone for
        assert bench.card.state is State.RUNNING
        bench.frames.clear()  # a wrong length that is plausible cannot be told from a right one
        bench.model.sent.clear()
        self.arrived.clear()
        self.committed.clear()

    @precondition(lambda self: not self.bench.model.faults)
    @rule(crashed=st.booleans())
    def kill(self, crashed: bool) -> None:
        self.lost = True
        self.judge()
        self.bench.open()
        self.bench.start(inherited=not crashed)
        self.bench.model.sent.clear()

    @precondition(lambda self: not self.bench.model.faults)
    @rule()
    def everything_comes_and_goes(self) -> None:
        bench = self.bench
        bench.model.set_link(True)
        bench.reads = True
        bench.take()
        bench.deliver()
        bench.pass_time(1.1)
        assert bench.card.state is State.RUNNING
        self.judge()
        assert bench.model.violations == []

    def teardown(self) -> None:
        if not self.bench.model.faults:
            self.everything_comes_and_goes()


Machine.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestMachine = Machine.TestCase
