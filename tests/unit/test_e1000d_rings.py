"""e1000d's rings alone: descriptors of every kind, most of which no card should write."""

from __future__ import annotations

import random
import struct
from array import array

import pytest

from daemons.e1000d.receive import ReceiveRing
from daemons.e1000d.transmit import TransmitRing
from redbear_host.hw.dma import Arena

ENTRIES = 64
LONGEST = 9000
DESCRIPTORS = 200_000
USUAL = (0x03, 0x07, 0x63, 0x83)  # done, ends, and what else may be set


class Doorbell:
    def __init__(self) -> None:
        self.rung: list[int] = []

    def __call__(self, register: int, value: int) -> None:
        assert register == 0x2818
        self.rung.append(value)


def receive_ring(bell: Doorbell, tagged: bool = False) -> ReceiveRing:
    arena = Arena(memoryview(bytearray(1 << 20)), 0x1000_0000)
    return ReceiveRing(arena, ENTRIES, LONGEST, tagged, bell, 0x2818)


def put(ring: ReceiveRing, at: int, length: int, status: int, errors: int = 0) -> None:
    at %= ENTRIES
    struct.pack_into("<HHBBH", ring._memory, 16 * at + 8, length, 0xFFFF, status, errors, 0xFFFF)


@pytest.mark.parametrize("tagged", [False, True])
def test_no_descriptor_whatever_is_in_it_upsets_the_driver(tagged: bool) -> None:
    dice = random.Random(7)
    bell = Doorbell()
    ring = receive_ring(bell, tagged)
    seen = troubles = frames = 0
    while seen < DESCRIPTORS:
        ring.reset(dice.randrange(ENTRIES))
        wild = dice.random()
        for at in range(ENTRIES):
            if dice.random() < wild:
                length, status, errors = struct.unpack("<HBB", dice.randbytes(4))
            else:
                length, status = dice.choice((60, 64, 1514, 2048)), dice.choice(USUAL)
                status, errors = status | 8 * tagged, 0
            put(ring, at, length, status, errors)
        seen += ENTRIES
        for _ in range(2 * ENTRIES):
            found = ring.received(dice.randrange(1, 80))
            if not ring.trouble:
                again = ring.received(len(found))
                assert [bytes(it) for it in again] == [bytes(it) for it in found]
            assert all(14 <= len(it) <= LONGEST for it in found)
            frames += len(found)
            ring.release(len(found))
            if not found:
                break
        else:
            raise AssertionError("the ring never ends")
        troubles += bool(ring.trouble)
    assert troubles > 100
    assert frames > 10_000
    assert all(0 <= tail < ENTRIES for tail in bell.rung)


def test_looking_at_columns_finds_what_looking_at_each_finds() -> None:
    dice = random.Random(8)
    for _ in range(500):
        start, most = dice.randrange(ENTRIES), dice.randrange(1, 70)
        lengths = [dice.choice((60, 60, 60, 700, 1514)) for _ in range(dice.randrange(ENTRIES))]
        rings = [receive_ring(Doorbell()) for _ in range(2)]
        for ring in rings:
            ring.reset(start)
            for number, length in enumerate(lengths):
                put(ring, start + number, length, USUAL[number % 4])
                where = (start + number) % ENTRIES * 2048
                ring._bytes[where : where + 60] = bytes([number]) * 60
        fast, slow = rings[0].received(most), rings[1]._walk(min(most, ENTRIES - 1))
        assert [bytes(it) for it in fast] == [bytes(it) for it in slow]
        assert [len(it) for it in fast] == lengths[:most]


def test_the_card_hears_of_buffers_a_few_at_a_time() -> None:
    bell = Doorbell()
    ring = receive_ring(bell)
    assert ring.tail == ENTRIES - 1
    for number in range(10):
        put(ring, number, 60, 0x03)
        assert len(ring.received(9)) == 1
        ring.release(1)
    assert bell.rung == [3, 7]
    assert bytes(ring._memory) == bytes(ring._fresh), "what is given back is as new"


def transmit_ring(bell: list[int]) -> TransmitRing:
    arena = Arena(memoryview(bytearray(1 << 20)), 0x1000_0000)
    return TransmitRing(arena, ENTRIES, 1518, 0, lambda _, tail: bell.append(tail), 0x3818)


def report(ring: TransmitRing) -> None:
    """Report every descriptor that asks for it."""
    for at in ring._marks:
        ring._descriptors[16 * at + 12] |= 1
    ring.reclaim()


def commands(ring: TransmitRing) -> list[int]:
    return [ring._descriptors[16 * at + 11] for at in range(ENTRIES)]


@pytest.mark.parametrize("batch", [1, 5, 16, 63])
def test_one_descriptor_in_eight_reports_however_they_are_committed(batch: int) -> None:
    ring = transmit_ring([])
    for _ in range(63 // batch):
        ring.slots(batch)
        ring.commit([60] * batch)
    committed = 63 // batch * batch
    wanted = [0x0B if at % 8 == 7 and at < committed else 0x03 for at in range(ENTRIES)]
    assert commands(ring) == wanted


def test_reported_descriptors_come_back_as_they_were() -> None:
    ring = transmit_ring([])
    fresh = commands(ring)
    for _ in range(40):
        room = len(ring.slots(20))
        ring.commit([77] * room)
        report(ring)
    assert commands(ring) == fresh
    assert ENTRIES - 9 <= len(ring.slots(100)) <= ENTRIES - 1


def test_lengths_may_be_any_sequence_and_wrap() -> None:
    bell: list[int] = []
    ring = transmit_ring(bell)
    dice = random.Random(9)
    sent: list[int] = []
    for _ in range(60):
        count = len(ring.slots(dice.randrange(1, 40)))
        plain = [dice.choice((60, 60, 61, 1518)) for _ in range(count)]
        tail = ring.rung
        ring.commit(dice.choice((list, tuple, lambda it: array("H", it)))(plain))
        ring.flush_queue()
        sent = [
            struct.unpack_from("<H", ring._descriptors, 16 * ((tail + at) % ENTRIES) + 8)[0]
            for at in range(count)
        ]
        assert sent == plain
        report(ring)
    assert len(bell) == 60


@pytest.mark.parametrize("length", [14, 59, 60, 61, 1518])
def test_one_frame_put_is_a_slot_filled_and_committed(length: int) -> None:
    once, other = transmit_ring([]), transmit_ring([])
    frame = bytes(range(1, 15)) + bytes(length - 14)
    for ring in (once, other):  # what an earlier frame left behind is no padding
        for slot in ring._slots[:ENTRIES]:
            slot[:100] = b"\xaa" * 100
    for _ in range(ENTRIES - 1):
        assert once.put(frame)
        slot = other.slots(1)[0]
        slot[:length] = frame
        other.commit([length])
    assert bytes(once._ring.view) == bytes(other._ring.view)
    assert bytes(once._memory.view) == bytes(other._memory.view)
    assert not once.put(frame)
    assert once.starved
    report(once)
    assert once.put(frame)


@pytest.mark.parametrize("length", [0, 13, 1519, 20_000])
def test_what_is_no_frame_is_not_put(length: int) -> None:
    ring = transmit_ring([])
    with pytest.raises(ValueError, match=f"a frame has 14 to 1518 bytes, not {length}"):
        ring.put(bytes(length))
    assert (ring._tail, ring._room) == (0, ENTRIES - 1)
