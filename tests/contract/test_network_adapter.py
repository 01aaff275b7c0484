"""The contract of `NetworkAdapter`: e1000d on the Python model, and on QEMU's three cards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import e1000d_bench
import e1000d_rig
import pytest

from daemons.e1000d.driver import Wishes
from redbear_host.classes.adapter import NetworkAdapter
from redbear_host.hw.ports import InterruptKind

RING = 64


class Wire(Protocol):
    """An adapter with 64 descriptors each way, and what is at the other end of its wire."""

    @property
    def adapter(self) -> NetworkAdapter: ...
    def put(self, frame: bytes) -> None:
        """Let a frame arrive."""
        ...

    def until(self, what: Callable[[], bool]) -> None:
        """Let the card's time pass until something holds."""
        ...

    def gone_out(self) -> list[bytes]:
        """Return what has left so far."""
        ...

    def set_link(self, up: bool) -> None: ...


class ModelWire:
    def __init__(self, kind: InterruptKind, express: bool) -> None:
        self._bench = e1000d_bench.Bench(kind, Wishes(RING, RING), express=express)
        self._bench.reads = False
        self.adapter = self._bench.start()

    def put(self, frame: bytes) -> None:
        assert self._bench.model.receive(frame)

    def until(self, what: Callable[[], bool]) -> None:
        for _ in range(50):
            self._bench.deliver()
            if what():
                return
            self._bench.pass_time(0.1)
        raise AssertionError("not within 5 s")

    def gone_out(self) -> list[bytes]:
        return self._bench.model.sent

    def set_link(self, up: bool) -> None:
        self._bench.model.set_link(up)


class QemuWire:
    def __init__(self, rig: e1000d_rig.Rig) -> None:
        self._rig = rig
        self._heard: list[bytes] = []
        self.adapter = rig.card
        self.adapter.on_frames = lambda: None

    def put(self, frame: bytes) -> None:
        assert self._rig.peer.send(frame)

    def until(self, what: Callable[[], bool]) -> None:
        self._rig.until(what)

    def gone_out(self) -> list[bytes]:
        while (frame := self._rig.peer.receive()) is not None:
            self._heard.append(frame)
        return self._heard

    def set_link(self, up: bool) -> None:
        self._rig.machine.qmp.execute("set_link", {"name": "n0", "up": up})


@contextmanager
def model(kind: InterruptKind, express: bool) -> Iterator[Wire]:
    yield ModelWire(kind, express)


@contextmanager
def qemu(name: str) -> Iterator[Wire]:
    with e1000d_rig.started(name, mac=e1000d_bench.MAC, wishes=Wishes(RING, RING)) as rig:
        yield QemuWire(rig)


LANDINGS: dict[str, Callable[[], AbstractContextManager[Wire]]] = {
    "model": lambda: model(InterruptKind.INTX, False),
    "model-express": lambda: model(InterruptKind.MSIX, True),
    "e1000": lambda: qemu("e1000"),
    "e1000-82545em": lambda: qemu("e1000-82545em"),
    "e1000e": lambda: qemu("e1000e"),
}


@pytest.fixture(params=LANDINGS)
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with LANDINGS[request.param]() as wire:
        yield wire


def frame(length: int, number: int = 0) -> bytes:
    return e1000d_bench.frame(length, number)


def send(adapter: NetworkAdapter, *frames: bytes) -> None:
    slots = adapter.slots(len(frames))
    assert len(slots) == len(frames)
    for slot, content in zip(slots, frames, strict=True):
        slot[: len(content)] = content
    adapter.commit([len(content) for content in frames])


def test_it_says_who_it_is_and_how_much_it_takes(wire: Wire) -> None:
    wire.until(lambda: wire.adapter.link == 1000)
    assert wire.adapter.mac == e1000d_bench.MAC
    assert wire.adapter.max_frame == 1518
    assert all(isinstance(it, int) for it in wire.adapter.statistics().values())


def test_frames_wait_until_they_are_released(wire: Wire) -> None:
    adapter = wire.adapter
    assert list(adapter.received(8)) == []
    frames = [frame(60 + 10 * number, number) for number in range(20)]
    for content in frames:
        wire.put(content)
    wire.until(lambda: len(adapter.received(64)) == 20)
    assert [bytes(it) for it in adapter.received(3)] == frames[:3]
    assert [bytes(it) for it in adapter.received(5)] == frames[:5]
    adapter.release(2)
    assert [bytes(it) for it in adapter.received(64)] == frames[2:]
    adapter.release(18)
    assert list(adapter.received(64)) == []


def test_rings_go_round_and_round(wire: Wire) -> None:
    adapter, came = wire.adapter, []
    for start in range(0, 5 * RING, 16):
        frames = [frame(60 + number % 300, number) for number in range(start, start + 16)]
        for content in frames:
            wire.put(content)
        wire.until(lambda: len(adapter.received(64)) == 16)
        came = [bytes(it) for it in adapter.received(64)]
        adapter.release(16)
        assert came == frames
        send(adapter, *frames)
        adapter.flush_queue()
        wire.until(lambda: len(wire.gone_out()) == 16)
        assert wire.gone_out() == frames
        wire.gone_out().clear()


def test_nothing_leaves_before_the_doorbell(wire: Wire) -> None:
    adapter = wire.adapter
    send(adapter, frame(100, 1))
    send(adapter, frame(200, 2), frame(300, 3))
    assert wire.gone_out() == []
    adapter.flush_queue()
    wire.until(lambda: len(wire.gone_out()) == 3)
    assert wire.gone_out() == [frame(100, 1), frame(200, 2), frame(300, 3)]
    adapter.flush_queue()


def test_asking_for_slots_is_free_and_their_number_is_bounded(wire: Wire) -> None:
    adapter = wire.adapter
    first = adapter.slots(4)
    assert [len(it) for it in first] == [adapter.max_frame] * 4
    first[0][:100] = frame(100)
    again = adapter.slots(1)
    assert bytes(again[0][:100]) == frame(100), "what is not committed is returned again"
    slots = adapter.slots(1000)
    assert len(slots) == RING - 1
    adapter.commit([60] * len(slots))
    assert list(adapter.slots(1)) == []


def test_there_is_room_again_after_there_was_none(wire: Wire) -> None:
    adapter, rooms = wire.adapter, []
    adapter.on_room = lambda: rooms.append(len(adapter.slots(RING)))
    slots = adapter.slots(RING)
    adapter.commit([60] * len(slots))
    assert list(adapter.slots(1)) == []
    adapter.flush_queue()
    wire.until(lambda: bool(rooms) or bool(adapter.slots(1)))
    wire.until(lambda: len(adapter.slots(RING)) > RING // 2)


def test_a_short_frame_is_padded(wire: Wire) -> None:
    send(wire.adapter, frame(14), frame(59))
    wire.adapter.flush_queue()
    wire.until(lambda: len(wire.gone_out()) == 2)
    assert wire.gone_out() == [frame(14).ljust(60, b"\0"), frame(59).ljust(60, b"\0")]


def test_the_link_is_told_of_when_it_changes(wire: Wire) -> None:
    links: list[int] = []
    wire.adapter.on_link = lambda: links.append(wire.adapter.link)
    wire.until(lambda: wire.adapter.link == 1000)
    links.clear()
    wire.set_link(False)
    wire.until(lambda: links == [0])
    wire.set_link(True)
    wire.until(lambda: links == [0, 1000])


def test_another_address_is_taken(wire: Wire) -> None:
    adapter = wire.adapter
    other = bytes.fromhex("525242000099")
    adapter.set_mac(other)
    assert adapter.mac == other
    wire.put(other + frame(100)[6:])
    wire.until(lambda: len(adapter.received(9)) == 1)
    assert bytes(adapter.received(9)[0]) == other + frame(100)[6:]
