"""Batches of frames over a ring: in the client's own memory, which it can change and leave."""

from __future__ import annotations

import random
import struct

import pytest
from network_rig import Card, frame
from ring_rig import NO_OFFSET
from ring_rig import Rig as RingRig

from redbear_host.abi import errno as e
from redbear_host.abi.sqe import Opcode as Op
from redbear_host.classes import frames as fr
from redbear_host.classes.network import NetworkScheme
from redbear_host.errors import Refused
from redbear_host.ring.arena import TRANSFER_MOST
from redbear_host.scheme.loop import Loop

ARENA = 2 << 20
FUZZED = 200_000
BATCHES = 64  # entries for one bell


@pytest.fixture
def card():
    return Card(depth=64)


@pytest.fixture
def scheme(card):
    return NetworkScheme("network.test", card, Loop())


@pytest.fixture
def ring(tmp_path, scheme):
    made = RingRig(tmp_path, scheme)
    made.loop.at_round_end(scheme.end_batch)
    yield made
    made.close()


def batch(*frames):
    return fr.table(len(frames)).pack(*map(len, frames)) + b"".join(frames)


def test_a_batch_goes_from_the_clients_memory_to_the_cards(ring, card):
    client = ring.connect(arena=ARENA)
    handle = ring.open(client, b"")
    frames = [frame(number, 60 + number) for number in range(20)]
    place = client.place(4096, batch(*frames))
    assert ring.call(client, Op.CALL, handle, *place, fr.SEND, 20) == 20
    assert card.wire == frames
    assert card.doorbells == 1


def test_a_batch_that_waits_is_answered_when_frames_come(ring, card):
    client = ring.connect(arena=ARENA)
    handle = ring.open(client, b"")
    client.put(Op.CALL, 7, handle, 8192, 65536, fr.RECEIVE, 16)
    client.ring()
    ring.turn()
    assert client.taken() == []
    card.come(frame(1), frame(2, 1514))
    assert ring.until(client.taken) == [(0, 0, 7, 2)]
    assert struct.unpack("<II", client.payload(8192, 8)) == (60, 1514)
    assert client.payload(8192 + 64, 60 + 1514) == frame(1) + frame(2, 1514)


def test_a_batch_that_waits_for_room_is_sent_as_it_is_then(ring, card):
    client = ring.connect(arena=ARENA)
    handle = ring.open(client, b"")
    place = client.place(0, batch(*[frame(number) for number in range(64)]))
    assert ring.call(client, Op.CALL, handle, *place, fr.SEND, 64) == 64
    client.put(Op.CALL, 9, handle, *client.place(0, batch(frame(64))), fr.SEND, 1)
    client.ring()
    ring.turn()
    assert client.taken() == []
    client.place(0, batch(bytes(13)))  # too late to get past the check
    card.drain()
    assert ring.until(client.taken) == [(0, 0, 9, -e.EINVAL)]
    assert len(card.wire) == 64


def test_a_client_may_leave_while_its_batch_waits(ring, card, scheme):
    client = ring.connect(arena=ARENA)
    handle = ring.open(client, b"")
    client.put(Op.CALL, 7, handle, 0, 65536, fr.RECEIVE, 16)
    client.ring()
    ring.turn()
    client.socket.close()
    ring.until(lambda: not scheme._open)
    card.come(frame(1))
    assert card.waiting == []  # nobody is left to read it


@pytest.mark.parametrize(
    ("at", "size", "error"),
    [
        (ARENA, 8, e.EFAULT),
        (ARENA - 7, 8, e.EFAULT),
        ((1 << 64) - 8, 8, e.EFAULT),
        (0, TRANSFER_MOST + 1, e.EINVAL),
        (0, (1 << 64) - 1, e.EINVAL),
        (0, 0, e.EINVAL),
    ],
)
def test_a_payload_outside_the_clients_memory_is_refused(ring, card, at, size, error):
    client = ring.connect(arena=ARENA)
    handle = ring.open(client, b"")
    card.come(frame(1))
    for verb in (fr.SEND, fr.RECEIVE):
        assert ring.call(client, Op.CALL, handle, at, size, verb, 1) == -error
    assert ring.call(client, Op.READ, handle, 0, 100, NO_OFFSET, 0) == 60


def test_a_scheme_that_keeps_no_view_lets_the_memory_go(ring, card, monkeypatch):
    """An error in the middle of a call must not keep the client's memory mapped."""
    client = ring.connect(arena=ARENA)
    handle = ring.open(client, b"")

    def fail(lengths, frames):
        raise Refused(e.EIO)

    monkeypatch.setattr(ring.scheme._wire, "send", fail)
    assert (
        ring.call(client, Op.CALL, handle, *client.place(0, batch(frame(1))), fr.SEND, 1) == -e.EIO
    )
    client.socket.close()
    ring.until(lambda: not ring.door._clients)


def test_two_hundred_thousand_malformed_batches_by_ring_hurt_no_other_client(ring, card):
    chosen = random.Random(38)
    hostile, witness = ring.connect(entries=256, arena=65536), ring.connect(arena=65536)
    handle, other = ring.open(hostile, b""), ring.open(witness, b"")
    answers: dict[int, int] = {}
    made = 0
    while made < FUZZED:
        hostile.place(0, chosen.randbytes(512))
        for tag in range(BATCHES):
            bits = chosen.getrandbits(64)
            at = bits & 511 if bits & 1024 else bits >> 4 & 0x1FFFF
            size = bits >> 24 & 2047 if bits & 2048 else bits >> 24 & 0x1FFFFF
            verb = (fr.SEND, fr.RECEIVE, fr.SEND, fr.PROMISCUOUS, 0, 99)[bits >> 45 & 3]
            count = bits >> 48 & 7 if bits & 4096 else bits >> 48
            if bits & 8192:
                length = (60, 14, 13, 1514, 1515, 1 << 31)[(bits >> 61) % 6]
                hostile.place(at & 511, length.to_bytes(4, "little") * 2)
            hostile.put(Op.CALL, tag, handle, at, size, verb, count)
        made += BATCHES
        hostile.ring()
        ring.turn(2)
        card.drain()
        card.come(frame(made))
        ring.turn(2)
        for _, _, _, result in hostile.taken():
            answers[min(result, 1)] = answers.get(min(result, 1), 0) + 1
        hostile.listen()
        assert ring.call(witness, Op.READ, other, 0, 100, NO_OFFSET, 0) == 60
        assert witness.payload(0, 60) == frame(made)
    assert set(answers) >= {1, -e.EINVAL, -e.EFAULT, -e.EMSGSIZE}
