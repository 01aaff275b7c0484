"""What calls on sockets carry: whatever it is, it is understood or EINVAL."""

from __future__ import annotations

import random
import struct

import pytest
from smolnetd_fakes import read

from daemons.smolnetd import headers, messages
from daemons.smolnetd.addresses import Endpoint, endpoint
from redbear_host.abi import errno as e
from redbear_host.errors import Refused

ROUNDS = 200_000


def word(number):
    return struct.pack("=Q", number)


def test_names_are_endpoints_with_or_without_the_scheme():
    for text in (b"/scheme/udp/192.0.2.1:7", b"192.0.2.1:7", b"/192.0.2.1:7\0"):
        assert messages.name(memoryview(text), "udp") == endpoint("192.0.2.1:7")
    with pytest.raises(Refused):
        messages.name(memoryview(b"/scheme/tcp/192.0.2.1:7"), "udp")


def test_a_message_is_delivered_as_redox_does():
    payload = memoryview(bytearray(word(64) + word(100) + word(0) + bytes(200)))
    rooms = messages.rooms(payload)
    count = messages.deliver(payload, rooms, b"/scheme/udp/192.0.2.1:7", memoryview(b"data"))
    assert payload[:count] == word(23) + b"/scheme/udp/192.0.2.1:7" + word(4) + b"data"


def test_a_message_with_descriptors_is_einval():
    controls = struct.pack("=iiQ", 1, 1, 8) + word(1)
    with pytest.raises(Refused) as raised:
        messages.outgoing(memoryview(word(0) + word(1) + b"x" + controls))
    assert raised.value.errno == e.EINVAL


def test_no_payload_does_anything_but_to_be_understood_or_refused():
    rng = random.Random(10)
    sizes = (0, 1, 8, 64, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
    understood = 0
    for _ in range(ROUNDS):
        words = b"".join(word(rng.choice(sizes)) for _ in range(rng.randrange(4)))
        payload = bytearray(words + rng.randbytes(rng.randrange(100)))
        view = memoryview(payload)
        message = read(messages.outgoing, view)
        if message is not None:
            understood += 1
            assert len(message.name) + len(message.payload) <= len(payload)
        rooms = read(messages.rooms, view)
        if rooms is not None:
            understood += 1
            data = memoryview(bytes(rooms.payload))
            assert messages.deliver(view, rooms, b"n" * 300, data) <= len(payload)
        assert read(lambda view: messages.name(view, "tcp"), view) is None
    assert understood > ROUNDS // 100


def test_packets_name_their_target_or_are_einval():
    rng = random.Random(11)
    peers = [Endpoint(2, "192.0.2.1", 0), Endpoint(10, "2001:db8::1", 0)]
    for _ in range(ROUNDS):
        packet = bytearray(rng.randbytes(rng.randrange(120)))
        if packet:
            packet[0] = rng.choice((0x45, 0x4F, 0x40, 0x60, 0x00))
        found = read(headers.target, memoryview(packet))
        assert found is None or len(packet) >= 20
        for peer in peers:
            assert not headers.is_about(memoryview(packet), peer)
