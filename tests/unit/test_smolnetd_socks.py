"""SOCKS 5 as clients speak it, and as they do not."""

from __future__ import annotations

import random
import socket

import pytest

from daemons.smolnetd import socks

ROUNDS = 200_000

REQUESTS = [
    (b"\5\1\0\1\x7f\0\0\1\0\x50", ("127.0.0.1", False, 80)),
    (b"\5\1\0\3\x09localhost\x1f\x90", ("localhost", True, 8080)),
    (b"\5\1\0\4" + bytes(15) + b"\1\0\x16", ("::1", False, 22)),
]


def test_a_greeting_is_read_when_it_is_whole():
    said = b"\5\3\0\1\2"
    for size in range(len(said)):
        assert socks.greeting(said[:size]) is None
    assert socks.greeting(said + b"more") == (5, socks.NO_AUTHENTICATION)
    assert socks.greeting(b"\5\1\2") == (3, socks.NO_METHOD)
    assert socks.greeting(b"\5\0") == (2, socks.NO_METHOD)
    assert socks.method(socks.NO_AUTHENTICATION) == b"\5\0"


@pytest.mark.parametrize(("said", "meant"), REQUESTS)
def test_a_request_is_read_when_it_is_whole(said, meant):
    for size in range(len(said)):
        assert socks.request(said[:size]) is None
    found = socks.request(bytearray(said + b"GET /"))
    assert found == (socks.CONNECT, *meant, len(said))


@pytest.mark.parametrize("said", [b"\4\1\0\x50", b"GET / HTTP/1.0", b"\0"])
def test_other_protocols_are_malformed(said):
    for read in (socks.greeting, socks.request):
        with pytest.raises(socks.Malformed):
            read(said)


def test_an_unknown_kind_of_address_has_no_host():
    assert socks.request(b"\5\1\0\x09x")[1] == ""


def test_answers_are_rfc_1928_s():
    assert socks.answer(socks.Reply.REFUSED) == b"\5\5\0\1\0\0\0\0\0\0"
    made = socks.answer(socks.Reply.SUCCEEDED, socket.AF_INET6, "2001:db8::1", 443)
    assert made == b"\5\0\0\4" + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + b"\1\xbb"


def test_nothing_that_is_said_does_anything_but_to_be_read_or_refused():
    rng = random.Random(5)
    samples = [said for said, _ in REQUESTS] + [b"\5\3\0\1\2"]
    whole = 0
    for _ in range(ROUNDS):
        data = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 3, 4, 5, 255, rng.randrange(256)))
        del data[rng.randrange(len(data) + 1) :]
        data += rng.randbytes(rng.choice((0, 0, 1, 300)))
        for read in (socks.greeting, socks.request):
            try:
                found = read(data)
            except socks.Malformed:
                assert data[0] != socks.VERSION
                continue
            if found is None:
                assert len(data) < socks.BYTES_MOST
                continue
            whole += 1
            assert 2 <= found[0 if read is socks.greeting else -1] <= len(data)
    assert whole > ROUNDS // 10
