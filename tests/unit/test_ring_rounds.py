"""When the door looks for more before it sleeps, and that it does not look in vain for long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ring_rig import RawClient, Rig
from ring_scheme import Toy

from redbear_host.abi.sqe import Opcode as Op
from redbear_host.ring import door as door_module
from redbear_host.ring.client import Client
from redbear_host.scheme.meter import Meter


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    toy = Toy()
    made = Rig(tmp_path, toy)
    made.door._lingers = True
    yield made
    made.close()
    toy.shut()


def test_looking_in_vain_is_soon_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    client = rig.connect()
    handle = rig.open(client, b"file")
    looks = []
    monkeypatch.setattr(Client, "awaits", lambda self, count: bool(looks.append(count)))
    for _ in range(1000):
        assert rig.call(client, Op.FSIZE, handle) == 19
    assert 5 <= len(looks) <= 11  # after 1, 2, 4, … calls


def test_a_call_that_comes_while_it_looks_is_taken_without_a_bell(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = rig.connect()
    handle = rig.open(client, b"file")
    rig.door._skip = 0
    left = [5, 4, 3]

    def awaits(self: Client, count: int) -> bool:
        if not left:
            return False
        client.put(Op.FSIZE, left.pop(), handle)  # the bell is not rung
        return True

    monkeypatch.setattr(Client, "awaits", awaits)
    client.put(Op.FSIZE, 6, handle)
    client.ring()
    rig.turn(1)
    assert [tag for _, _, tag, _ in client.taken()] == [6, 3, 4, 5]


def test_others_come_first_after_a_few_turns(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    client = rig.connect()
    handle = rig.open(client, b"file")
    rig.door._skip = 0

    def awaits(self: Client, count: int) -> bool:
        client.put(Op.FSIZE, 1, handle)
        return True

    monkeypatch.setattr(Client, "awaits", awaits)
    client.put(Op.FSIZE, 1, handle)
    client.ring()
    rig.turn(1)
    assert len(client.taken()) == 1 + door_module._STREAK


def test_looking_sees_an_entry_at_once_later_or_never(rig: Rig) -> None:
    client: RawClient = rig.connect()
    ours = next(iter(rig.door._clients))
    assert ours.awaits(10) is False
    client.put(Op.FSIZE, 1, 1)
    assert ours.awaits(10) is None
    ours.fail("")
    assert ours.awaits(10) is False
    rig.turn()


def test_calls_are_counted_and_sampled(tmp_path: Path, rig: Rig) -> None:
    meter: Meter = rig.door._meter
    client = rig.connect()
    handle = rig.open(client, b"file")
    meter.every = 1
    before, _ = meter.calls, rig.call(client, Op.FSIZE, handle)
    for _ in range(100):
        rig.call(client, Op.FSIZE, handle)
    assert meter.calls == before + 101
    rig.call(client, Op.READ, handle, 0, 8, 4, 0)
    rig.call(client, Op.READ, 99, 0, 8, 4, 0)
    last, refused = meter.since(meter.recorded - 66)[0][-2:]
    assert (last.opcode, last.subject, last.offset, last.size) == (Op.READ, handle, 4, 8)
    assert (last.result, last.door) == (8, 1)
    assert refused.result == -9
    assert 0 < last.latency < 10**9
